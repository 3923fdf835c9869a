package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The roles are processes of the program itself, so of the test.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == roleFlag {
		if err := run(context.Background(), os.Args[1:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A small run: every figure is there, and none can be better than what it rests on.
func TestMeasure(t *testing.T) {
	o := options{Requests: 40, Homes: 20, Rate: 20_000, InFlight: 16, Workers: 32, Seed: 1, XMLRounds: 400, Dir: t.TempDir()}
	o.Meters = o.needed()
	m, err := measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	r := m.result()
	if r.Requests < o.Requests || r.failed() != 0 || r.Contacts != 0 || m.requests.facts.Reads != 0 {
		t.Errorf("%d requests, %d failed, %v contacts and %d reads among them", r.Requests, r.failed(), r.Contacts, m.requests.facts.Reads)
	}
	if r.Home.Times < o.Homes || r.Home.Reads < 2 || m.homes.facts.Contacts < o.Homes {
		t.Errorf("%d homes, %v reads with each, %d contacts", r.Home.Times, r.Home.Reads, m.homes.facts.Contacts)
	}
	for what, ratio := range map[string]ratios{"request": r.Ratio, "contact": r.Contact.Ratio, "home": r.Home.Ratio, "XMLDSig": {r.XMLDSigRatio.Sign, r.XMLDSigRatio.Verify}} {
		if !(ratio.Engine > 1) || !(ratio.Total > 1) {
			t.Errorf("%s: cheaper than its cryptography: %+v", what, ratio)
		}
	}
	if r.JournalUS <= 0 || r.RSSMB.Engine <= 0 || r.RSSMB.Simulator <= 0 || r.RequestsPerSecond <= 0 || r.Contact.Times == 0 {
		t.Errorf("a figure is missing: %+v", r)
	}
	var table bytes.Buffer
	if err := m.table(&table, r); err != nil || !strings.Contains(table.String(), "first contact") || !strings.Contains(table.String(), "whole home") {
		t.Errorf("%v: %s", err, &table)
	}
}

// Scripts hold on to the names of the object.
func TestResultNames(t *testing.T) {
	b, err := json.Marshal(result{})
	if err != nil {
		t.Fatal(err)
	}
	const fixed = `{"requests":0,"floor_us":{"engine":0,"simulator":0},"cpu_us":{"engine":0,"simulator":0},` +
		`"ratio":{"engine":0,"total":0},"service_requests_per_second":0,"xmldsig_ratio":{"sign":0,"verify":0},` +
		`"journal_us":0,"rss_mb":{"engine":0,"simulator":0},`
	if !strings.HasPrefix(string(b), fixed) {
		t.Errorf("got %s", b)
	}
}

func TestFloorOf(t *testing.T) {
	f := floor{sign: 30 * time.Microsecond, verify: 70 * time.Microsecond}
	if got := f.of(count{sign: 3, verify: 3}); got != 300*time.Microsecond {
		t.Errorf("got %v", got)
	}
	if got := f.of(criticalEngine.plus(readEngine, 0.5)); got != 350*time.Microsecond {
		t.Errorf("with half a read: %v", got)
	}
}

func TestAgainst(t *testing.T) {
	recorded := result{
		Ratio: ratios{2, 2}, XMLDSigRatio: signsProves{1.2, 1.02},
		Contact: work{Ratio: ratios{4, 3}}, Home: &home{work: work{Ratio: ratios{3, 3}}},
	}
	text, err := json.Marshal(recorded)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "recorded.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := readRecorded(name)
	if err != nil {
		t.Fatal(err)
	}
	same := recorded
	same.Ratio.Engine *= 1.24
	same.XMLDSigRatio.Verify = 1.2 // the target was held, and is within its tolerance
	if err := same.against(read); err != nil {
		t.Error(err)
	}
	for what, worsen := range map[string]func(*result){
		"engine": func(r *result) { r.Ratio.Engine *= 1.26 }, "total": func(r *result) { r.Ratio.Total *= 1.26 },
		"sign": func(r *result) { r.XMLDSigRatio.Sign *= 1.26 }, "verify": func(r *result) { r.XMLDSigRatio.Verify = 1.22 },
		"contact": func(r *result) { r.Contact.Ratio.Engine *= 1.26 }, "home": func(r *result) { r.Home = &home{work: work{Ratio: ratios{3, 3.8}}} },
		"failed": func(r *result) { r.Failed = 1 },
	} {
		worse := recorded
		worsen(&worse)
		if worse.against(read) == nil {
			t.Errorf("%s: passed", what)
		}
	}
	if err := os.WriteFile(name, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecorded(name); err == nil {
		t.Error("an empty record was taken")
	}
}

// CI compares with the recorded run.
func TestRecordedRunIsThere(t *testing.T) {
	if _, err := readRecorded("../results/cost.json"); err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range []string{"--requests 0", "--meters 10 --requests 10", "x", "--nonsense"} {
		if err := run(t.Context(), strings.Fields(args)); err == nil {
			t.Errorf("%s: accepted", args)
		}
	}
}
