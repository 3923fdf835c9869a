package sweep

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// place is where a scripted fate strikes.
type place struct {
	leg     leg
	service servicerequests.Service
}

// newScript makes a walker whose world does what the test says, in order.
func newScript(t testing.TB, devices ...*device) *walker {
	w := &walker{world: newWorld(t, devices...)}
	w.start()
	return w
}

// strike scripts the fates of the first POSTs at a place.
func (w *walker) strike(at place, fates ...fate) {
	w.post = func(p piece) fate {
		if (place{p.leg, p.service}) != at || len(fates) == 0 {
			return taken
		}
		f := fates[0]
		fates = fates[1:]
		return f
	}
}

// strikeFlight scripts what becomes of the first request of a service.
func (w *walker) strikeFlight(service servicerequests.Service, f fate) {
	w.world.flight = func(x *flight) fate {
		if x.service != service {
			return answered
		}
		struck := f
		f = answered
		return struck
	}
}

// drain does all that can be done without time passing.
func (w *walker) drain() {
	for {
		w.s.pump()
		w.check()
		switch {
		case len(w.jobs) > 0:
			w.work()
		case len(w.results) > 0:
			w.finish()
		case len(w.flights) > 0:
			w.arrive(0)
		case len(w.world.inbox) > 0:
			w.take()
		default:
			return
		}
	}
}

// until drains and lets time pass until something holds, and says whether it came
// to that before the end.
func (w *walker) until(holds func() bool) bool {
	for range 1000 {
		w.s.pump()
		switch {
		case holds():
			return true
		case w.s.halt != nil || w.s.done == w.s.roll.size:
			return false
		case len(w.jobs) > 0:
			w.work()
		case len(w.results) > 0:
			w.finish()
		case len(w.flights) > 0:
			w.arrive(0)
		case len(w.world.inbox) > 0:
			w.take()
		default:
			w.wait()
		}
	}
	w.t.Fatal("no end")
	return false
}

func (w *walker) finishAll() { w.until(func() bool { return false }) }

// outcomes are those of the first request of a service, in order.
func (w *walker) outcomes(service servicerequests.Service) (classes []string) {
	var first servicerequests.RequestID
	for _, r := range w.disk.all() {
		if r.Service != service || first != (servicerequests.RequestID{}) && r.ID != first {
			continue
		}
		first = r.ID
		if r.Kind == record.Outcome {
			classes = append(classes, r.Code)
		}
	}
	return classes
}

func healthy() *device {
	return &device{
		eui: 0x00DB123456780001, kind: servicerequests.ESME,
		state: state{servicerequests.Prepayment, servicerequests.Enabled}, balance: 10 * servicerequests.Pound,
	}
}

// cutOff is a meter that is off for lack of credit and has no emergency credit left.
func cutOff() *device {
	return &device{
		eui: 0x00DB123456780001, kind: servicerequests.ESME,
		state: state{servicerequests.Prepayment, servicerequests.Disabled}, balance: -5 * servicerequests.Pound, emergency: spent,
	}
}

// What becomes of the first 1.6 by what the DCC and the meter do, and what of the
// meter in the end.
func TestOutcomes(t *testing.T) {
	transform, command := place{askLeg, to}, place{commandLeg, to}
	for name, c := range map[string]struct {
		at      place
		fates   []fate
		flight  fate
		classes string
		posts   int // at the place, of the first request; 0: any number
		verdict string
		halt    string
	}{
		"nothing goes wrong":              {classes: "success", verdict: record.VerdictOnSupply},
		"transform not written":           {at: transform, fates: []fate{notWritten}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"transform throttled":             {at: transform, fates: []fate{throttled}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"transform in doubt, not applied": {at: transform, fates: []fate{lostBefore}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"transform in doubt, applied":     {at: transform, fates: []fate{lostAfter}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"transform without end in doubt":  {at: transform, fates: []fate{lostAfter, lostAfter, lostBefore, lostAfter}, classes: "in_doubt", posts: 4, verdict: record.VerdictOnSupply},
		"transform reply not proven":      {at: transform, fates: []fate{badReply}, classes: "unverified", posts: 1, verdict: record.VerdictOnSupply},
		"transform HTTP 4xx":              {at: transform, fates: []fate{badStatus}, classes: "rejected", posts: 1, verdict: record.VerdictOnSupply},
		"transform invalid":               {at: transform, fates: []fate{"E5"}, classes: "rejected", posts: 1, verdict: record.VerdictNotSafe},
		"transform unregistered":          {at: transform, fates: []fate{"E4"}, classes: "rejected", posts: 1, verdict: record.VerdictExcluded},
		"transform unreachable":           {at: transform, fates: []fate{"E20"}, classes: "no_response", posts: 1, verdict: record.VerdictOnSupply},
		"transform only acknowledged":     {at: transform, fates: []fate{"I99"}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"transform known already":         {at: transform, fates: []fate{lostAfter, "E49"}, classes: "in_doubt", posts: 2, verdict: record.VerdictOnSupply},
		"transform refuses the User":      {at: transform, fates: []fate{"E1"}, classes: "rejected", posts: 1, halt: "the DCC refuses the User (E1)"},
		"command not written":             {at: command, fates: []fate{notWritten}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"command throttled":               {at: command, fates: []fate{throttled}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"command in doubt, not applied":   {at: command, fates: []fate{lostBefore}, classes: "success", posts: 2, verdict: record.VerdictOnSupply},
		"command in doubt, applied":       {at: command, fates: []fate{lostAfter}, classes: "success", posts: 1, verdict: record.VerdictOnSupply},
		"command never arrives":           {at: command, fates: []fate{lostBefore, lostBefore, lostBefore, lostBefore}, classes: "in_doubt", posts: 4, verdict: record.VerdictOnSupply},
		"command reply not proven":        {at: command, fates: []fate{badReply}, classes: "success", posts: 1, verdict: record.VerdictOnSupply},
		"command known already":           {at: command, fates: []fate{lostBefore, "E49"}, flight: answered, classes: "no_response", posts: 2, verdict: record.VerdictOnSupply},
		"command of another's counter":    {at: command, fates: []fate{"E49"}, classes: "rejected", posts: 1, verdict: record.VerdictNotSafe},
		"command E21 at once":             {at: command, fates: []fate{"E21"}, classes: "no_response", posts: 1, verdict: record.VerdictOnSupply},
		"command refuses the User":        {at: command, fates: []fate{"E3"}, classes: "rejected", posts: 1, halt: "the DCC refuses the User (E3)"},
		"meter says no":                   {flight: refused, classes: "negative", verdict: record.VerdictOnSupply},
		"meter not reached":               {flight: undeliv, classes: "no_response", verdict: record.VerdictOnSupply},
		"E21, not done":                   {flight: noAnswer, classes: "no_response", verdict: record.VerdictOnSupply},
		"done, answer lost":               {flight: doneSilent, classes: "no_response", verdict: record.VerdictOnSupply},
		"E21, done, answer lost":          {flight: doneE21, classes: "no_response", verdict: record.VerdictOnSupply},
		"E21, done, answer late":          {flight: doneLate, classes: "no_response success", verdict: record.VerdictOnSupply},
		"lost without a word":             {flight: lost, classes: "no_response", verdict: record.VerdictOnSupply},
		"answered twice":                  {flight: twice, classes: "success", verdict: record.VerdictOnSupply},
		"done, answer that is another's":  {flight: garbled, classes: "unverified", verdict: record.VerdictOnSupply},
		"transform, one after another":    {at: transform, fates: []fate{notWritten, notWritten, throttled, lostAfter}, classes: "success", posts: 5, verdict: record.VerdictOnSupply},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newScript(t, healthy())
				if c.fates != nil {
					w.strike(c.at, c.fates...)
				}
				posts := map[servicerequests.RequestID]int{}
				var first servicerequests.RequestID
				struck := w.post
				w.post = func(p piece) fate {
					if (place{p.leg, p.service}) == c.at {
						if posts[p.id]++; len(posts) == 1 {
							first = p.id
						}
					}
					return struck(p)
				}
				if c.flight != "" {
					w.strikeFlight(to, c.flight)
				}
				w.finishAll()
				if got := strings.Join(w.outcomes(to), " "); got != c.classes {
					t.Errorf("first 1.6 ended as %q, want %q", got, c.classes)
				}
				if c.posts != 0 && posts[first] != c.posts {
					t.Errorf("%d POSTs, want %d", posts[first], c.posts)
				}
				switch {
				case c.halt != "":
					if w.s.halt == nil || w.s.halt.Reason != c.halt {
						t.Errorf("halt %v, want %s", w.s.halt, c.halt)
					}
				case w.s.halt != nil:
					t.Errorf("halted: %v", w.s.halt)
				default:
					if v := w.s.ledger(0).verdict; v.Verdict != c.verdict {
						t.Errorf("verdict %s (%s), want %s", v.Verdict, v.Reason, c.verdict)
					}
					w.conclude()
				}
			})
		})
	}
}

// What the User is refused for says nothing about the meter that it was said of:
// the next run goes on with it.
func TestRefusedUserGoesOnWithTheSameMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		w.strike(place{askLeg, supply}, "E2")
		w.finishAll()
		if w.s.halt == nil {
			t.Fatal("not halted")
		}
		w.drain()
		w.die()
		w.finishAll()
		w.conclude()
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictOnSupply {
			t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
		}
	})
}

func TestRunOfHTTPRefusalsHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t)
		for i := range servicerequests.EUI(20) {
			d := healthy()
			d.eui += i * 16
			w.add(d, ourEUI, servicerequests.South)
		}
		w.perHub = 100
		w.start()
		w.post = func(piece) fate { return badStatus }
		w.finishAll()
		if w.s.halt == nil {
			t.Fatal("not halted")
		}
		// Somebody gives the User access again: nobody was lost by it.
		w.drain()
		w.post = func(piece) fate { return taken }
		w.die()
		w.finishAll()
		if n := w.s.verdicts[record.VerdictOnSupply]; n != 20 {
			t.Errorf("%d of 20 on supply: %v", n, w.s.verdicts)
		}
	})
}

func TestGateThatRefusesOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		w.sign = func(p piece) error {
			if p.service == to && p.leg == commandLeg {
				return &signer.RefusedError{ID: p.id, Err: gbcs.ErrNoPreCommand}
			}
			return nil
		}
		w.finishAll()
		if got := w.outcomes(to); !slices.Equal(got, []string{record.ClassWithdrawn}) {
			t.Errorf("1.6 ended as %v", got)
		}
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictNotSafe {
			t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
		}
		w.conclude()
	})
}

func TestKeyThatFailsHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		broken := errors.New("HSM is gone")
		w.sign = func(p piece) error {
			if p.leg == commandLeg {
				return broken
			}
			return nil
		}
		w.finishAll()
		if w.s.halt == nil || !errors.Is(w.s.halt, broken) {
			t.Fatalf("halt: %v", w.s.halt)
		}
		w.sign = func(piece) error { return nil }
		w.drain()
		w.die()
		w.finishAll()
		w.conclude()
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictOnSupply {
			t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
		}
	})
}

// A read that was sent while a command was open may have been carried out before
// it, whatever its counter.
func TestReadBesideACommandProvesNothing(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.now = a.now.Add(time.Minute)
	a.expect(to)
	// The read was held up and got a counter after the command's.
	r := a.m.openRequest(mode)
	r.id.Counter = a.counter + 1
	a.m.issued = r.id.Counter
	a.end(to, Succeeded, "", nil)
	a.end(mode, Succeeded, "", &record.Observation{Mode: prepay})
	if a.m.modeCurrent() {
		t.Error("a read beside the command counts as read-back")
	}
}

func TestReadAfterTheFirstSwitchDoesNotTellHowItWasFound(t *testing.T) {
	m := newMeter(1, record.TargetBody{Type: servicerequests.ESME})
	m.commit(to, 10)
	m.commit(to, 20)
	m.observe(record.Observation{Mode: credit, Supply: off, Balance: pounds(-1)}, 15, time.Now())
	if m.foundMode.known() || m.foundSupply.known() || m.foundBalance.known() {
		t.Error("a read between two switches counts as found")
	}
}

func TestSupplyThatWentOffLaterIsNotArmed(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(-1))
	a.step()
	a.end(buyTime, Negative, "250", nil)
	a.step()
	a.end(to, Succeeded, "", nil)
	a.step()
	a.read(credit, off, nil)
	a.expectVerdict(record.VerdictNotSafe, "turned off after it was found enabled")
}

// An answer that comes while a worker has the leg waits for the worker.
func TestAnswerBeforeTheAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		w.s.pump()
		r := w.s.ledger(0).openRequest(supply)
		// A stranger guesses the counter before anything is signed.
		w.s.deliver(proof.Delivery{ID: r.id, Device: r.id.Target, Code: servicerequests.Unreachable})
		if w.s.ledger(0).openAs(r.id) == nil {
			t.Fatal("ended before it was sent")
		}
		for len(w.jobs) > 0 {
			w.work()
		}
		for len(w.flights) > 0 {
			w.arrive(0)
		}
		for len(w.world.inbox) > 0 {
			w.take()
		}
		w.finishAll()
		if got := w.outcomes(supply); !slices.Equal(got, []string{record.ClassSuccess}) {
			t.Errorf("7.4 ended as %v", got)
		}
		w.conclude()
	})
}

// A lying DCC answers a Signed Pre-Command with the Pre-Command again: it is not
// signed a second time.
func TestPreCommandInPlaceOfAnAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		var signed string
		w.post = func(p piece) fate {
			if p.service == to && p.leg == commandLeg {
				signed = w.bodies[p]
				w.dcc[signed] = "pre-command of " + p.id.String()
			}
			return taken
		}
		w.finishAll()
		if got := w.outcomes(to); !slices.Equal(got, []string{record.ClassUnverified}) {
			t.Errorf("1.6 ended as %v", got)
		}
	})
}

func TestAlertReopensAMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newScript(t, healthy())
		w.finishAll()
		w.devices[0].supply, w.devices[0].found.supply = servicerequests.Disabled, servicerequests.Disabled
		w.world.inbox = append(w.world.inbox, proof.Delivery{Device: w.devices[0].eui, Signed: true, Alert: &gbcs.Alert{Code: alertLocked}})
		w.take()
		if w.s.done != 0 {
			t.Fatal("a meter that is locked keeps its verdict")
		}
		w.finishAll()
		if v := w.s.ledger(0).verdict; v.Verdict != record.VerdictNotSafe || v.Reason != "disabled then locked by the meter (81BE)" {
			t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
		}
		w.conclude()
	})
}

func TestHeadroom(t *testing.T) {
	now := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	h := newHeadroom(map[servicerequests.Service]Threshold{to: {Count: 4, Per: time.Hour}})
	for _, c := range []struct {
		after time.Duration
		send  int
		want  float64
	}{
		{0, 0, 1},
		{0, 1, 0.75},
		{30 * time.Minute, 2, 0.25},
		{29 * time.Minute, 2, -0.25},
		{3 * time.Minute, 0, 0},
		{30 * time.Minute, 0, 0.5},
		{24 * time.Hour, 0, 1},
	} {
		now = now.Add(c.after)
		for range c.send {
			h.count(to, now)
			h.count(arm, now)
		}
		if got := h[to].free(now); got != c.want {
			t.Errorf("at %v: %v free, want %v", now, got, c.want)
		}
	}
}
