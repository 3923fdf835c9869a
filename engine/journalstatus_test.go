package engine_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine"
	"safemode/engine/advice"
	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/record"
)

// How a journal ends says how its sweep stands, whether it is real, and what is to be done.
func TestStatusOfAJournal(t *testing.T) {
	at := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	planned := record.Record{Kind: record.Planned, Code: strings.Repeat("ab", 32), Body: []byte(`{"environment":"live","counts":{"targets":3},"direction":{"reference":"DIR-7","supplier":{"eui":"90-B3-D5-1F-30-01-00-00","mpids":["ABCD"]},"not_after":"2099-12-21T00:00:00Z"}}`)}
	opened := func(resumes int) record.Record {
		return record.Record{Kind: record.Opened, Body: record.Encode(record.Opening{
			SweepID: "abababababab", Environment: "live", ResumesLeft: resumes, ApprovedUntil: time.Now().Add(time.Hour), StoreFirst: true,
		})}
	}
	closed := func(code string) record.Record {
		return record.Record{Kind: record.Closed, Code: code, Body: record.Encode(record.ClosedBody{Reason: "closed"})}
	}
	halted := record.Record{Kind: record.Halted, Body: record.Encode(record.HaltedBody{Reason: "a gate", Cause: record.HaltGate})}
	older := record.Record{Kind: record.Halted, Body: record.Encode(record.HaltedBody{Reason: "halted: a gate"})}
	tripped := record.Record{Kind: record.Tripwire, Code: "unregistered", Body: record.Encode(record.TripwireBody{Reason: "E4"})}
	approve, sweep, status := "safemode approve --config c --plan p --cert YOUR.pem --key YOUR.key", "safemode sweep --config c --plan p --journal ", "safemode status"
	for name, c := range map[string]struct {
		records  []record.Record
		state    string
		cause    string
		level    string
		commands []string // JOURNAL stands for the journal's path
	}{
		"not begun":           {[]record.Record{planned}, "planned", "", record.HealthNotSending, []string{approve, sweep + "JOURNAL"}},
		"cut off":             {[]record.Record{planned, opened(2)}, "open", "", record.HealthNotSending, []string{status, sweep + "JOURNAL"}},
		"cut off once more":   {[]record.Record{planned, opened(2), closed(record.ClosedInterrupted), opened(0)}, "open", "", record.HealthNotSending, []string{status, approve + " --journal JOURNAL", sweep + "JOURNAL"}},
		"interrupted":         {[]record.Record{planned, opened(2), closed(record.ClosedInterrupted)}, "interrupted", "", record.HealthNotSending, []string{sweep + "JOURNAL"}},
		"halted":              {[]record.Record{planned, opened(2), halted, closed(record.ClosedHalted)}, "halted", record.HaltGate, record.HealthNotSending, []string{approve + " --journal JOURNAL", sweep + "JOURNAL"}},
		"halted, and killed":  {[]record.Record{planned, opened(2), halted}, "halted", record.HaltGate, record.HealthNotSending, []string{approve + " --journal JOURNAL", sweep + "JOURNAL"}},
		"halted, older":       {[]record.Record{planned, opened(2), older}, "halted", "", record.HealthNotSending, []string{approve + " --journal JOURNAL", sweep + "JOURNAL"}},
		"a tripwire, older":   {[]record.Record{planned, opened(2), tripped}, "halted", record.HaltTripwire, record.HealthNotSending, []string{approve + " --journal JOURNAL", sweep + "JOURNAL"}},
		"halted, and goes on": {[]record.Record{planned, opened(2), halted, closed(record.ClosedHalted), opened(1)}, "open", "", record.HealthNotSending, []string{status, sweep + "JOURNAL"}},
		"ceased":              {[]record.Record{planned, opened(2), closed(record.ClosedCeased)}, "ceased", "", record.HealthNotSending, []string{"safemode report --journal JOURNAL --out REPORT"}},
		"finished":            {[]record.Record{planned, opened(2), closed(record.ClosedFinished)}, "finished", "", record.HealthOK, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			j, err := journal.Open(path, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range c.records {
				r.At = at
				if err := j.Commit(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			st, err := engine.StatusOf(t.Context(), path, "", nil, advice.Place{Config: "c", Plan: "p", Journal: path})
			if err != nil {
				t.Fatal(err)
			}
			if st.State != c.state || st.Cause != c.cause || st.Health.Level != c.level || st.SweepID != "abababababab" || st.Drill() || st.Direction != "DIR-7" || st.Meters != 3 {
				t.Errorf("%+v", st)
			}
			var commands []string
			for _, task := range st.ToDo {
				for _, command := range task.Commands {
					commands = append(commands, strings.ReplaceAll(command, path, "JOURNAL"))
				}
			}
			if !slices.Equal(commands, c.commands) {
				t.Errorf("%q, want %q", commands, c.commands)
			}
			for _, task := range st.ToDo {
				if strings.Contains(task.Says, "halted: halted") || strings.Contains(task.Says, "has halted: halted") {
					t.Errorf("it says %q", task.Says)
				}
			}
		})
	}
	if _, err := engine.StatusOf(t.Context(), filepath.Join(t.TempDir(), "none.db"), "", nil, advice.Place{}); err == nil {
		t.Error("a journal that is not there has a status")
	}
}

// A halt that the journal could not write is known by the folder of counters.
func TestStatusKnowsAHaltThatWasNotWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []record.Record{
		{Kind: record.Planned, Code: strings.Repeat("ab", 32), Body: []byte(`{"environment":"live","counts":{"targets":3}}`)},
		{Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "abababababab", ResumesLeft: 3, ApprovedUntil: time.Now().Add(time.Hour)})},
	} {
		r.At = time.Now()
		if err := j.Commit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	id := j.ID()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	book, err := custody.MakeBook(durable.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		entry custody.Entry
		state string
	}{
		{custody.Entry{Act: custody.Started, Journal: id}, "open"},
		{custody.Entry{Act: custody.Halted, Journal: "another", Reason: "not this one"}, "open"},
		{custody.Entry{Act: custody.Halted, Journal: id, Reason: "the journal cannot be written: full"}, "halted"},
		{custody.Entry{Act: custody.Started, Journal: id}, "open"},
	} {
		if _, err := book.Append(c.entry); err != nil {
			t.Fatal(err)
		}
		st, err := engine.StatusOf(t.Context(), path, dir, nil, advice.Place{})
		if err != nil || st.State != c.state || (st.State == "halted") != strings.Contains(st.Health.Says, "cannot be written: full") {
			t.Errorf("after %s of %s: %s, %q, %v", c.entry.Act, c.entry.Journal, st.State, st.Health.Says, err)
		}
	}
}
