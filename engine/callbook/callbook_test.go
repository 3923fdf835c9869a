package callbook_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/engine/callbook"
)

var now = time.Date(2026, 11, 30, 4, 0, 0, 0, time.UTC)

const sweepID = "146ddd8158c5"

func planned(mpxn string) (string, bool) { return mpxn, mpxn == "1200012345678" || mpxn == "7654321" }

// Rows with faults are told apart, each with its line and reason; the others are taken.
func TestParse(t *testing.T) {
	const at = "2026-11-30T03:10:00Z"
	rows := [][2]string{ // row, what its reason must name; empty: it is good
		{"1200012345678,pressed,Ada Byron," + at + ",all well", ""},
		{"7654321,no_answer,Ada Byron,2026-11-30T03:10:00+01:00,", ""},
		{"1200012345678,,,,", "blank"},
		{"9999999,pressed,Ada Byron," + at + ",", "mpxn: this sweep has no such home"},
		{"7654321,Pressed it,Ada Byron," + at + ",", "outcome: want no_answer"},
		{"7654321,pressed,," + at + ",", "person: "},
		{"7654321,pressed,Ada Byron,2026-11-30 03:10,", "at: want a time with its zone"},
		{"7654321,pressed,Ada Byron,2026-12-01T03:10:00Z,", "at: it is in the future"},
		{"7654321,pressed,Ada Byron," + at + "," + strings.Repeat("x", 501), "note: want 500 bytes"},
		{"7654321,pressed,Ada Byron," + at + ",\"two\nlines\"", "note: "},
		{"7654321,pressed", "2 fields where the header has 5"},
	}
	text := "mpxn,outcome,person,at,note\n"
	for _, r := range rows {
		text += r[0] + "\n"
	}
	good, bad, blank, err := callbook.Parse(strings.NewReader(text), planned, now)
	if err != nil || len(good) != 2 || blank != 1 {
		t.Fatalf("%d good, %d blank, %v", len(good), blank, err)
	}
	if !good[0].Done() || good[1].Done() || !good[1].At.Equal(now.Add(-110*time.Minute)) {
		t.Errorf("%+v", good)
	}
	want := rows[3:]
	if len(bad) != len(want) {
		t.Fatalf("%d rejected, want %d: %v", len(bad), len(want), bad)
	}
	for i, e := range bad {
		if !strings.HasPrefix(e.Reason, want[i][1]) || i > 0 && e.Line <= bad[i-1].Line || e.Line < 5 {
			t.Errorf("%s: line %d, %q", want[i][0], e.Line, e.Reason)
		}
	}
	if _, _, _, err := callbook.Parse(strings.NewReader("mpxn,person\n"), planned, now); err == nil {
		t.Error("a file without an outcome is taken")
	}
}

func add(t *testing.T, path string, all ...callbook.Call) int {
	t.Helper()
	n, err := callbook.Add(path, sweepID, "olga", now, all)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func call(mpxn, outcome string, hour int) callbook.Call {
	return callbook.Call{MPxN: mpxn, Outcome: outcome, Person: "Ada Byron", At: now.Add(time.Duration(hour) * time.Hour)}
}

// An imported call is there, once, with the importer's name; a later change is found.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db"+callbook.Suffix)
	if all, err := callbook.Read(path, sweepID); err != nil || len(all) != 0 {
		t.Fatalf("%v %v", all, err)
	}
	first := []callbook.Call{call("1", "no_answer", -3), call("2", "pressed", -2)}
	if n := add(t, path, first...); n != 2 {
		t.Fatalf("%d", n)
	}
	if n := add(t, path, append(first, call("1", "pressed", -1), call("1", "pressed", -1))...); n != 1 {
		t.Fatalf("%d are new", n)
	}
	all, err := callbook.Read(path, sweepID)
	if err != nil || len(all) != 3 || all[2].TakenInBy != "olga" || !all[2].TakenInAt.Equal(now) {
		t.Fatalf("%+v %v", all, err)
	}
	homes := callbook.ByHome(all, time.Time{})
	if h := homes["1"]; h.Attempts != 2 || !h.Done || h.Last.Outcome != "pressed" {
		t.Errorf("%+v", h)
	}
	if h := callbook.ByHome(all, now.Add(-150*time.Minute))["1"]; h.Attempts != 1 || h.Done {
		t.Errorf("until then: %+v", h)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for name, changed := range map[string][]byte{
		"altered":   bytes.Replace(text, []byte("no_answer"), []byte("call_back"), 1),
		"taken out": bytes.Join([][]byte{lines[0], lines[2]}, nil),
		"swapped":   bytes.Join([][]byte{lines[1], lines[0], lines[2]}, nil),
		"torn":      text[:len(text)-1],
		"added":     append(bytes.Clone(text), lines[2]...),
		"unknown":   bytes.Replace(text, []byte(`"note"`), []byte(`"nota"`), 1),
	} {
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := callbook.Read(path, sweepID); !errors.Is(err, callbook.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := callbook.Add(path, sweepID, "olga", now, first); !errors.Is(err, callbook.ErrDamaged) {
			t.Errorf("%s, added to: %v", name, err)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := callbook.Read(path, "000000000000"); !errors.Is(err, callbook.ErrDamaged) {
		t.Errorf("another sweep's: %v", err)
	}
}

// The record gives back the calls that Parse accepts.
func FuzzParse(f *testing.F) {
	f.Add("mpxn,outcome,person,at,note\n7654321,pressed,Ada Byron,2026-11-30T03:10:00Z,x\n")
	f.Add("note,at,person,outcome,mpxn\n\"a,b\",2026-11-30T03:10:00.5+01:00,O'Neil,message,1200012345678\n")
	path := filepath.Join(f.TempDir(), "record")
	n := 0
	f.Fuzz(func(t *testing.T, text string) {
		good, bad, _, err := callbook.Parse(strings.NewReader(text), planned, now)
		if err != nil {
			return
		}
		for _, e := range bad {
			if e.Reason == "" || e.Line < 1 {
				t.Errorf("%+v", e)
			}
		}
		n++
		path := fmt.Sprint(path, n)
		defer os.Remove(path)
		added, err := callbook.Add(path, sweepID, "olga", now, good)
		if err != nil {
			t.Fatal(err)
		}
		all, err := callbook.Read(path, sweepID)
		if err != nil || len(all) != added {
			t.Errorf("%d of %d: %v", len(all), added, err)
		}
	})
}
