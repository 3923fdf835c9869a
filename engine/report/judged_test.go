package report_test

import (
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// rests is an outcome that rests on the record of this number.
func (s *script) rests(q request, class record.Class, of uint64) {
	r := q.record(record.Outcome)
	r.Code, r.Body = class.String(), record.Encode(record.OutcomeBody{Class: class, Of: of, AnsweredAt: start})
	s.add(r)
}

func (s *script) last() uint64 { return uint64(len(s.records)) }

func (s *script) drop() { s.records = s.records[:len(s.records)-1] }

// An answer that was written before anybody judged it counts only if an outcome rests
// on it.
func TestOnlyWhatWasBelievedCounts(t *testing.T) {
	s := newScript(t)
	s.open()
	s.target(gasA, hubA, servicerequests.GSME)
	s.target(elecA, hubA, servicerequests.ESME)

	balance := request{gasA, 0, servicerequests.GSME, servicerequests.ReadMeterBalance, 100}
	low, high := servicerequests.Millipence(100), servicerequests.Millipence(900)
	s.answer(balance, 0x0069, gbcs.Response{HasBalance: true, Balance: high})
	s.drop() // its outcome: nobody believed it
	s.answer(balance, 0x0069, gbcs.Response{HasBalance: true, Balance: low})
	s.drop()
	believed := s.last()
	s.response(balance) // again, and not believed either
	s.rests(balance, record.ClassSuccess, believed)

	silent := request{elecA, 0, servicerequests.ESME, servicerequests.ReadSupplyStatus, 101}
	s.request(silent)
	s.reply(silent, "I99")
	s.response(silent) // a lie
	lie := s.last()
	s.outcome(silent, record.ClassNoResponse, "")
	s.add(record.Record{Kind: record.Refused, Device: elecA, Code: record.RefusedUnverified, Body: record.Encode(record.RefusedBody{Reason: "r", Of: lie})})

	s.add(record.Record{Kind: record.Alert, Code: "AD1"}) // a lie
	s.add(record.Record{Kind: record.Alert, Code: "AD1"})
	s.add(record.Record{Kind: record.Proven, Code: "AD1", Body: record.Encode(record.ProvenBody{Of: s.last(), Code: "AD1"})})
	s.add(record.Record{Kind: record.Received, Body: []byte("<a/>")})
	s.add(record.Record{Kind: record.Unmatched, Body: record.Encode(record.JudgedBody{Of: s.last()})})

	r := s.report()
	if r.Summary.Quarantined != 1 || r.Summary.Refused.Unverified != 1 {
		t.Errorf("quarantined %d, unverified %d", r.Summary.Quarantined, r.Summary.Refused.Unverified)
	}
	heard := map[servicerequests.EUI]time.Time{}
	for _, m := range r.Meters {
		heard[m.Device] = m.LastResponseAt
		if m.Device == gasA && (m.Before.Balance == nil || *m.Before.Balance != low) {
			t.Errorf("the balance is %v", m.Before.Balance)
		}
	}
	if want := s.records[believed-1].At; !heard[gasA].Equal(want) || !heard[elecA].IsZero() {
		t.Errorf("heard %v, want %v and never", heard, want)
	}
}

// A journal that was begun before goes by what came, up to the run that judges.
func TestOlderRunsGoByWhatCame(t *testing.T) {
	s := newScript(t)
	s.open()
	s.target(elecA, hubA, servicerequests.ESME)
	s.read(request{elecA, 0, servicerequests.ESME, servicerequests.ReadSupplyStatus, 100})
	heard := s.records[s.last()-2].At
	s.add(record.Record{Kind: record.Alert, Code: "AD1"})
	s.add(record.Record{Kind: record.Unmatched})
	s.close(record.ClosedInterrupted, 0)
	s.open()
	next := request{elecA, 0, servicerequests.ESME, servicerequests.ReadPaymentMode, 101}
	s.request(next)
	s.response(next)
	s.add(record.Record{Kind: record.Alert, Code: "AD1"})
	if r := s.report(); r.Summary.Quarantined != 2 || !r.Meters[0].LastResponseAt.After(heard) {
		t.Errorf("nothing has shown yet: %d, %v", r.Summary.Quarantined, r.Meters[0].LastResponseAt)
	}
	s.add(record.Record{Kind: record.Refused, Code: record.RefusedUnverified, Body: record.Encode(record.RefusedBody{Of: s.last()})})
	if r := s.report(); r.Summary.Quarantined != 1 || !r.Meters[0].LastResponseAt.Equal(heard) {
		t.Errorf("the second run judges: %d, %v, want 1 and %v", r.Summary.Quarantined, r.Meters[0].LastResponseAt, heard)
	}
}

// A message that nobody could read is shown as far as anybody can.
func TestProveWhatCannotBeRead(t *testing.T) {
	proofs, err := report.Prove(record.Record{Kind: record.Received, Body: []byte("<a/>")}, report.Witnesses{})
	if err != nil || len(proofs) != 1 || proofs[0].Result != "unsigned" {
		t.Errorf("got %+v, %v", proofs, err)
	}
}

func TestSayWhatARecordRestsOn(t *testing.T) {
	for want, r := range map[string]record.Record{
		"the alert was proven: 8F66, by record 7":                                        {Kind: record.Proven, Body: record.Encode(record.ProvenBody{Of: 7, Code: "8F66"})},
		"the message answers nothing of this sweep, by record 7":                         {Kind: record.Unmatched, Body: record.Encode(record.JudgedBody{Of: 7})},
		"a message came that answers nothing of this sweep":                              {Kind: record.Unmatched},
		"a message came that is neither an answer nor an alert as far as it can be read": {Kind: record.Received, Body: []byte("<a/>")},
		"refused: unverified, by record 7":                                               {Kind: record.Refused, Code: record.RefusedUnverified, Body: record.Encode(record.RefusedBody{Of: 7})},
	} {
		if got := report.Say(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
