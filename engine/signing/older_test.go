package signing

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"safemode/engine/authority"
	"safemode/engine/authority/authoritytest"
	"safemode/engine/custody"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
)

// begun is the evidence of the next start: one was made by the first approvals, and the
// journal has come to some record.
func (s *scene) begun(records uint64) Evidence {
	s.t.Helper()
	g, err := s.first.Decide()
	must(s.t, err)
	e, err := s.book.Append(custody.Entry{Act: custody.Started, Plan: s.o.Plan.SHA256, Journal: authoritytest.JournalID, Approvals: g.Spent})
	must(s.t, err)
	g.Entry = e.N
	opening := authoritytest.OpeningOf(s.first, g)
	opening.Custody = s.book.ID()
	ev := s.evidence()
	ev.Journal = Claims{
		ID: authoritytest.JournalID, Planned: s.o.Plan.SHA256, Content: s.o.Plan.Content, Records: records,
		Starts: []authority.Start{{Seq: 5, Opening: opening}}, Stop: authority.Stop{Seq: records},
		Hashes: map[uint64]string{records: hex.EncodeToString(bytesOf(records))},
	}
	return ev
}

// bytesOf stands for the hash of a record.
func bytesOf(seq uint64) []byte {
	b := make([]byte, 32)
	b[0], b[1] = byte(seq), byte(seq>>8)
	return b
}

// Journal, book and counters that are put back to one earlier instant together agree with
// each other, and with every check on the sweep's machine. The signer remembers.
func TestAllPutBackTogether(t *testing.T) {
	s := newScene(t, 3, nil).open()
	before := s.evidence()
	ev := s.begun(42)
	if _, err := s.client.Open(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	for name, attack := range map[string]func(*Evidence){
		"as it was before the start": func(e *Evidence) { *e = before },
		"a shorter journal": func(e *Evidence) {
			e.Journal.Records, e.Journal.Stop.Seq = 41, 41
			e.Journal.Hashes = map[uint64]string{41: hex.EncodeToString(bytesOf(41))}
		},
		"another journal's record": func(e *Evidence) { e.Journal.Hashes = map[uint64]string{42: hex.EncodeToString(bytesOf(43))} },
		"a shorter book":           func(e *Evidence) { e.Book = before.Book },
		"no start":                 func(e *Evidence) { e.Journal.Starts = nil },
		"a start by others' names": func(e *Evidence) {
			e.Journal.Starts = []authority.Start{{Seq: 5, Opening: record.Opening{PlanSHA256: s.o.Plan.SHA256, SweepID: s.o.Plan.SweepID(), Environment: "simulator"}}}
		},
	} {
		bad := ev
		attack(&bad)
		if _, err := s.client.Open(t.Context(), bad); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	s.stop()
	s.start() // it remembers
	if _, err := s.client.Open(t.Context(), before); err == nil || !strings.Contains(err.Error(), errOlder.Error()) {
		t.Errorf("after its restart: %v", err)
	}
	if err := s.request(s.id(firstMeter), supply); err != nil {
		t.Errorf("what was granted stands: %v", err)
	}
}

// A grant is for one plan. With another, the signer signs nothing until two have approved
// that one, and still knows every counter.
func TestGrantIsForOnePlan(t *testing.T) {
	s := newScene(t, 3, nil).open()
	used := s.id(firstMeter)
	must(t, s.request(used, supply))
	s.stop()
	next := *s.o.Plan
	next.SHA256, next.Journal = strings.Repeat("cd", 32), strings.Repeat("ef", 16)
	must(t, next.Sign(s.office.Keys["olga"]))
	s.o.Plan = &next
	s.start()
	if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrStopped) {
		t.Errorf("by the grant of the plan before: %v", err)
	}
	if _, err := s.client.Open(t.Context(), s.evidence()); err == nil {
		t.Error("opened by the approvals of the plan before")
	}
	s.first = s.office.FirstOf(t, &next)
	ev := s.evidence()
	ev.Journal.ID = next.Journal
	if _, err := s.client.Open(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	must(t, s.request(s.id(firstMeter), supply))
	if err := s.request(used, servicerequests.ReadPaymentMode); err == nil || !strings.Contains(err.Error(), errReused.Error()) {
		t.Errorf("a counter of the plan before, for another message: %v", err)
	}
}

// A log that cannot be written lets nothing be signed, and is no refusal: the sweep waits.
func TestLogThatFails(t *testing.T) {
	s := newScene(t, 3, nil).open()
	must(t, s.service.log.Close())
	for range 2 {
		if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}
