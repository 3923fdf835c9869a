package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// last is the kind of the last record about the requests of a service.
func (w *walker) last(service servicerequests.Service) (kind record.Kind) {
	var id servicerequests.RequestID
	for _, r := range w.disk.durable {
		if r.Service == service {
			id = r.ID
		}
		if r.ID == id && id.Counter != 0 {
			kind = r.Kind
		}
	}
	return kind
}

// The process dies with the journal in each state that a command can leave it in.
// No byte is signed anew, and the command is carried out once.
func TestGoingOnFromEachState(t *testing.T) {
	for _, service := range []servicerequests.Service{to, arm} {
		for _, kind := range []record.Kind{
			record.Request, record.PreCommand, record.SignedCommand, record.Reply, record.Response, record.Outcome,
		} {
			t.Run(fmt.Sprint(service, " ", kind), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newScript(t, cutOff())
					switch kind {
					case record.Request:
						w.strike(place{askLeg, service}, lostAfter)
					case record.SignedCommand:
						w.strike(place{commandLeg, service}, lostAfter)
					}
					if !w.until(func() bool {
						w.disk.mu.Lock()
						w.disk.write(w.disk.queued) // what is appended is durable soon
						w.disk.queued = nil
						w.disk.mu.Unlock()
						if n := len(w.world.inbox); kind == record.Response && n > 0 && serviceOf(w.world.inbox[n-1]) == service {
							w.deliver(w.world.inbox[n-1], w.disk.keepOnly)
							w.world.inbox = w.world.inbox[:n-1]
						}
						return w.last(service) == kind
					}) {
						t.Fatal("never in this state")
					}
					w.die()
					w.finishAll()
					if got := w.outcomes(service); !slices.Equal(got, []string{record.ClassSuccess}) {
						t.Errorf("ended as %v", got)
					}
					if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictArmed {
						t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
					}
					w.conclude()
				})
			})
		}
	}
}

func serviceOf(d proof.Delivery) servicerequests.Service {
	if d.Message == nil {
		return 0
	}
	u, _ := gbcs.LookupUseCase(d.Message.Code)
	return u.Service
}

// An answer counts though the process died before it was acted on, whatever else
// was said of the same request afterwards.
func TestJournalledAnswersAreActedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		w.strikeFlight(supply, twice)
		if !w.until(func() bool { return len(w.world.inbox) > 0 }) {
			t.Fatal("nothing to deliver")
		}
		d := w.world.inbox[0]
		w.deliver(d, w.disk.keepOnly)
		w.deliver(proof.Delivery{ID: d.ID, Device: d.Device, Code: servicerequests.NoResponse}, w.disk.keepOnly)
		w.world.inbox = nil
		time.Sleep(time.Hour) // its deadline passes before the next run
		w.die()
		w.finishAll()
		if got := w.outcomes(serviceOf(d)); !slices.Equal(got, []string{record.ClassSuccess}) {
			t.Errorf("ended as %v", got)
		}
	})
}

// A verdict does not outlive what was learnt after it.
func TestVerdictOlderThanALateAnswerIsGivenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := healthy()
		d.mode, d.claimed = credit, credit
		w := newScript(t, d)
		w.world.flight = func(f *flight) fate { return doneLate }
		w.until(func() bool {
			w.world.inbox = slices.DeleteFunc(w.world.inbox, func(d proof.Delivery) bool { return d.Result != nil })
			return false
		})
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictUnknown {
			t.Fatalf("verdict %s", v.Verdict)
		}
		w.disk.crash(len(w.disk.queued))
		for _, r := range w.disk.all() {
			if r.Kind == record.Request && (r.Service == supply || r.Service == mode) {
				w.s.deliver(d.respond(r.Service, r.ID, true))
			}
		}
		w.drain()
		// All is durable but the new verdicts.
		w.disk.queued = slices.DeleteFunc(w.disk.queued, func(r record.Record) bool { return r.Kind == record.Verdict })
		w.disk.crash(len(w.disk.queued))
		w.start()
		w.finishAll()
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictOnSupply {
			t.Errorf("still %s (%s)", v.Verdict, v.Reason)
		}
	})
}

func TestUnprovenAnswerIsRememberedAcrossRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		w.strikeFlight(supply, lost)
		if !w.until(func() bool { r := w.s.ledger(0).openRequest(supply); return r != nil && r.acknowledged }) {
			t.Fatal("7.4 was not taken")
		}
		// The inbox refuses what the DCC has signed about it, and records that.
		w.disk.Append(record.Record{
			Kind: record.Refused, ID: w.s.ledger(0).openRequest(supply).id, Code: record.RefusedUnverified,
			Body: record.Encode(record.RefusedBody{Reason: "bad MAC"}),
		})
		w.disk.crash(len(w.disk.queued))
		w.start()
		w.finishAll()
		if got := w.outcomes(supply); !slices.Equal(got, []string{record.ClassUnverified}) {
			t.Errorf("ended as %v", got)
		}
	})
}

// Records of devices that are not planned are the User's other traffic.
func TestForeignRecordsDoNotStopAReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stranger = servicerequests.EUI(0x00DB999999999999)
		id := servicerequests.RequestID{Originator: ourEUI, Target: stranger, Counter: 7}
		w := newScript(t, healthy())
		w.deliver(proof.Delivery{ID: id, Device: stranger, Code: servicerequests.Unreachable}, w.hand)
		w.deliver(proof.Delivery{Device: stranger, Alert: &gbcs.Alert{Code: alertLocked}}, w.hand)
		w.disk.Append(record.Record{
			Kind: record.Refused, Device: stranger, ID: id, Code: record.RefusedUnverified, Body: record.Encode(record.RefusedBody{}),
		}, record.Record{
			Kind: record.Operator, Body: record.Encode(record.OrderBody{Action: record.OrderExclude, Devices: []servicerequests.EUI{stranger}}),
		}, record.Record{Kind: record.Closed})
		for range 2 {
			w.disk.crash(len(w.disk.queued))
			w.start()
		}
		unmatched := 0
		for _, r := range w.disk.all() {
			if r.Kind == record.Unmatched {
				unmatched++
			}
		}
		if unmatched != 2 {
			t.Errorf("%d unmatched messages, want the response and the alert, once each", unmatched)
		}
		w.finishAll()
		w.conclude()
	})
}

// An alert is taken in by its code even where it cannot be proven again.
func TestAlertsAreFolded(t *testing.T) {
	for code, want := range map[string]string{
		"81BE": "disabled then locked by the meter (81BE)", "81B5": "gas flow fault (81B5)", "8F66": "", "8F32": "", "N42": "",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newScript(t, healthy())
			w.finishAll()
			w.disk.crash(len(w.disk.queued))
			w.disk.write([]record.Record{{Kind: record.Alert, Device: w.devices[0].eui, Code: code, Body: []byte("lost")}})
			w.start()
			if got := w.s.ledger(0).person; got != want {
				t.Errorf("%s: person %q, want %q", code, got, want)
			}
			if reopened := w.s.done == 0; reopened != (want != "" || code == "8F66") {
				t.Errorf("%s: reopened %v", code, reopened)
			}
			w.finishAll()
			w.conclude()
		})
	}
}

// What became of a meter that is suppressed in the next run.
func TestSuppressedMeterIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		if !w.until(func() bool { return w.s.ledger(0).openRequest(to) != nil }) {
			t.Fatal("1.6 was not asked for")
		}
		w.disk.crash(len(w.disk.queued))
		posts := 0
		w.post = func(piece) fate { posts++; return taken }
		w.suppressed = map[servicerequests.EUI]struct{}{w.devices[0].eui: {}}
		w.start()
		w.finishAll()
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictExcluded || v.Reason != "suppressed" {
			t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
		}
		if posts != 0 {
			t.Errorf("%d POSTs", posts)
		}
	})
}

// undecided is an eye whose device keys cannot be asked for.
type undecided struct{ eye }

func (undecided) Delivery(context.Context, []byte) (proof.Delivery, error) {
	return proof.Delivery{}, proof.ErrUndecided
}

func TestReplayRefuses(t *testing.T) {
	target := record.Record{Kind: record.Target, Device: 1, Body: record.Encode(record.TargetBody{Type: servicerequests.ESME, Hub: 2, Region: servicerequests.North, Claimed: prepay, Originator: ourEUI})}
	id := servicerequests.RequestID{Originator: ourEUI, Target: 1, Counter: 5}
	request := record.Record{Kind: record.Request, Device: 1, Service: to, ID: id, Body: []byte("signed")}
	command := request
	command.Kind = record.SignedCommand
	response := record.Record{Kind: record.Response, Device: 1, ID: id, Body: []byte("answer")}
	for name, c := range map[string]struct {
		records []record.Record
		want    error
	}{
		"planned twice":                         {[]record.Record{target, target}, ErrReplay},
		"originator without an identity":        {[]record.Record{{Kind: record.Target, Device: 1, Body: record.Encode(record.TargetBody{Type: servicerequests.ESME, Hub: 2, Region: servicerequests.North, Claimed: prepay, Originator: 9})}}, ErrReplay},
		"a request of a meter not planned":      {[]record.Record{request}, ErrReplay},
		"a request signed twice":                {[]record.Record{target, request, request}, ErrReplay},
		"a command without its request":         {[]record.Record{target, command}, ErrReplay},
		"a command signed twice":                {[]record.Record{target, request, command, command}, ErrReplay},
		"an outcome of no class":                {[]record.Record{target, {Kind: record.Outcome, Device: 1, Body: record.Encode(record.OutcomeBody{Class: "odd"})}}, ErrReplay},
		"an answer that cannot be proven today": {[]record.Record{target, request, command, response}, proof.ErrUndecided},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.make()
			w.disk.write(c.records)
			if err := s.Replay(t.Context(), w.disk.records(1), undecided{eye{w}}); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
