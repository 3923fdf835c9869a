package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"safemode/engine/console"
	"safemode/engine/record"
)

// An order that cannot be undone is given only by a named person who types the id of the
// very sweep, after being shown which one it is and whether it is real. A script gives the
// id with --confirm.
func TestFinalOrdersAreConfirmed(t *testing.T) {
	var orders []console.Order
	var people []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			st := record.Status{Identity: record.Identity{Environment: record.Live, SweepID: "0123456789ab"}, State: "running", Meters: 9}
			_ = json.NewEncoder(w).Encode(st) // the test's own client reads it
			return
		}
		var o console.Order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			t.Error(err)
		}
		orders, people = append(orders, o), append(people, r.Header.Get(console.PersonHeader))
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	list := putFile(t, filepath.Join(t.TempDir(), "list.txt"), []byte("00-DB-12-34-56-78-90-A1\n00-DB-12-34-56-78-90-A2 # moved\n"))
	for _, args := range [][]string{
		{"cease", "--reference", "notice 12"}, {"exclude", "--file", list}, {"suppress", "--file", list},
	} {
		orders, people = nil, nil
		args = append(args, "--operations", server.URL)
		if r := safemode(t, "0123456789ab\n", args...); r.code != exitUsage || len(orders) != 0 {
			t.Errorf("%s by nobody: %+v", args[0], r)
		}
		args = append(args, "--person", "Ada Byron")
		r := safemode(t, "ba9876543210\n", args...)
		if r.code != exitRefused || len(orders) != 0 || !strings.HasPrefix(r.err, "LIVE: real homes\nsweep 0123456789ab") || !strings.Contains(r.err, "FOR GOOD") {
			t.Errorf("%s of another sweep: %+v", args[0], r)
		}
		if r := safemode(t, "", args...); r.code != exitRefused || len(orders) != 0 {
			t.Errorf("%s, and nothing is typed: %+v", args[0], r)
		}
		if r = safemode(t, "0123456789ab\n", args...); r.code != exitDone || len(orders) != 1 || orders[0].Confirm != "0123456789ab" || people[0] != "Ada Byron" {
			t.Errorf("%s: %+v, %+v by %q", args[0], r, orders, people)
		}
		if args[0] != "cease" && (len(orders[0].Devices) != 2 || !strings.Contains(r.err, "leave 2 meters alone")) {
			t.Errorf("%s: %+v, %s", args[0], orders[0], r.err)
		}
		orders = nil
		if r := safemode(t, "", append(args, "--confirm", "0123456789ab")...); r.code != exitDone || len(orders) != 1 {
			t.Errorf("%s by a script: %+v", args[0], r)
		}
	}
	// An order that can be taken back is not asked about.
	orders = nil
	if r := safemode(t, "", "pause", "--operations", server.URL); r.code != exitDone || len(orders) != 1 || orders[0].Confirm != "" {
		t.Errorf("pause: %+v, %+v", r, orders)
	}
}
