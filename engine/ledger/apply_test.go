package ledger

import (
	"errors"
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// at is a request of a meter, taken to a phase the way it goes there.
func at(a *actor, phase Phase, service servicerequests.Service, half Half) *Request {
	r := a.m.Ask(&a.p, service, dccEUI, false, a.now)
	if phase == Behind {
		return r
	}
	a.move(r, Room)
	if phase == Queued {
		return r
	}
	a.sign(r)
	if half == SecondHalf && phase != Prepared {
		a.command(r)
	} else if phase == Prepared {
		a.move(r, Correlated)
		r.Asked, r.Body, r.Half = r.Body, nil, SecondHalf
	}
	switch phase {
	case Ready:
		a.move(r, Denied)
	case Posting:
		a.move(r, Denied, Post)
	case Resting:
		r.Reached = true
		a.move(r, Doubtful)
	case Sent:
		a.move(r, Acknowledged)
		a.p.Wait(a.m, r, true, a.now)
	case Quarantined:
		a.move(r, Denied)
		if err := r.Quarantine("event"); err != nil {
			a.t.Fatal(err)
		}
	}
	if r.Phase != phase {
		a.t.Fatalf("%v, want %v", r.Phase, phase)
	}
	return r
}

// An excluded meter is asked for nothing more, in whatever phase its requests are, and
// ends as excluded.
func TestExclusionInEveryPhase(t *testing.T) {
	for phase := range Phase(PhaseCount) {
		if phase == Ended {
			continue
		}
		for _, half := range []Half{FirstHalf, SecondHalf} {
			if half == SecondHalf && (phase == Behind || phase == Queued) {
				continue
			}
			service := toCredit
			if half == FirstHalf && phase != Prepared {
				service = supply
			}
			a := newActor(t, servicerequests.ESME)
			r := at(a, phase, service, half)
			a.m.Exclude("transferred")
			s := a.p.Decide(a.m, a.now.Add(48*time.Hour), Commanding)
			if len(s.Ask) > 0 || !s.Waiting {
				t.Errorf("%v: asked for %v, waiting: %t", phase, s.Ask, s.Waiting)
			}
			a.move(r, End)
			a.outcome2(r, record.ClassWithdrawn)
			if tries := a.m.Tally(service).Tries; tries != 0 {
				t.Errorf("%v: withdrawn, and %d tries", phase, tries)
			}
			a.expectVerdict(record.VerdictExcluded, "transferred")
		}
	}
}

// outcome2 ends a request that may have no counter, of which the journal knows nothing.
func (a *actor) outcome2(r *Request, class record.Class) {
	if r.ID.Counter != 0 {
		a.outcome(r.Service, r.ID, class, "", nil)
		return
	}
	a.m.End(&a.p, r.Service, r.ID, &record.OutcomeBody{Class: class, AnsweredAt: a.now}, a.now)
}

// The verdict of a meter that is excluded afterwards stays as history, and nothing is due
// of it.
func TestExclusionAfterTheVerdict(t *testing.T) {
	a := seen(t, on)
	a.p.RereadAfter, a.p.RereadShare, a.p.BalanceAfter = 24*time.Hour, 1, true
	a.m.Verdict, a.m.Done = a.p.Conclude(a.m), true
	if a.m.Verdict.Verdict != record.VerdictOnSupply {
		t.Fatal(a.m.Verdict)
	}
	tomorrow := a.now.Add(24 * time.Hour)
	if len(a.p.Rereads(a.m, tomorrow)) == 0 || !a.p.WantsBalance(a.m) {
		t.Fatal("nothing is due of it")
	}
	a.now = tomorrow
	r := a.m.Ask(&a.p, supply, dccEUI, true, a.now)
	a.sign(r)
	a.m.Exclude("another supplier's")
	if len(a.p.Rereads(a.m, tomorrow)) > 0 || a.p.WantsBalance(a.m) || !a.p.AfterAt(a.m).IsZero() {
		t.Error("something is due of a meter that is excluded")
	}
	a.take(r)
	a.move(r, End)
	a.outcome(supply, r.ID, record.ClassSuccess, "", &record.Observation{Supply: on})
	if a.m.Verdict.Verdict != record.VerdictOnSupply || !a.m.Done {
		t.Errorf("its verdict was history, it is %+v", a.m.Verdict)
	}
	// The new supplier's switch to Prepayment shows, and is no matter of ours.
	a.m.observe(record.Observation{Mode: prepay}, a.counter+1, a.now, a.now)
	if s := a.p.Decide(a.m, a.now, Commanding); len(s.Ask) > 0 || s.Waiting {
		t.Errorf("asked for %v", s.Ask)
	}
}

// A 7.3 on its way is stopped by the last check.
func TestExclusionStopsAnArm(t *testing.T) {
	a := cutOff(t)
	a.expect(arm)
	a.command(a.m.PendingOf(arm))
	if !a.p.MayArm(a.m, a.counter, a.now) {
		t.Fatal("it may not be armed at all")
	}
	a.m.Exclude("another supplier's")
	if a.p.MayArm(a.m, a.counter, a.now) || a.p.MayArm(a.m, 0, a.now) {
		t.Error("another supplier's home is armed")
	}
}

// An exclusion by a person stays, with the reason that was given first; an exclusion by E4
// can be taken back.
func TestExclusionByWhom(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.slow = true
	a.step()
	a.end(supply, record.ClassRejected, "E4", nil)
	if !a.m.Bars.Moved {
		t.Fatal("E4 is not taken in")
	}
	a.m.Exclude("by Ada")
	a.m.Exclude("by Bob")
	a.m.LiftExclusion()
	a.m.Rerun(a.now)
	if a.m.Bars.Excluded != "by Ada" || a.m.Bars.Moved {
		t.Errorf("%+v", a.m.Bars)
	}
}

// A home that was armed and is then turned off by hand is for a person, also where somebody
// has it asked again in between.
func TestRerunForgetsNoHand(t *testing.T) {
	for name, between := range map[string]func(*actor){
		"nothing":          func(*actor) {},
		"a rerun":          func(a *actor) { a.m.Rerun(a.now) },
		"two":              func(a *actor) { a.m.Rerun(a.now); a.m.Rerun(a.now) },
		"a lost past":      func(a *actor) { a.m.Forget() },
		"an alert of more": func(a *actor) { a.m.Counters.StaleSupply = a.m.Issued() },
	} {
		a := newActor(t, servicerequests.ESME)
		a.expect(supply, mode, balance)
		a.read(prepay, off, pounds(-1))
		a.drive(func(r *Request) (record.Class, string, *record.Observation) {
			switch r.Service {
			case supply:
				if a.m.Tally(arm).Tries > 0 {
					return record.ClassSuccess, "", &record.Observation{Supply: armed}
				}
				return record.ClassSuccess, "", &record.Observation{Supply: off}
			case mode:
				return record.ClassSuccess, "", &record.Observation{Mode: credit}
			case balance:
				return record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)}
			case buyTime:
				return record.ClassNegative, "250", nil
			}
			return record.ClassSuccess, "", nil
		})
		if a.verdict.Verdict != record.VerdictArmed {
			t.Fatalf("%s: %+v", name, a.verdict)
		}
		between(a)
		before := a.m.Tally(arm).Last
		a.verdict = record.VerdictBody{}
		a.m.Rerun(a.now)
		a.drive(func(r *Request) (record.Class, string, *record.Observation) {
			switch r.Service {
			case arm:
				t.Errorf("%s: 7.3 to a home that somebody turned off", name)
			case supply:
				return record.ClassSuccess, "", &record.Observation{Supply: off}
			case mode:
				return record.ClassSuccess, "", &record.Observation{Mode: credit}
			case balance:
				return record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)}
			}
			return record.ClassSuccess, "", nil
		})
		if a.m.Tally(arm).Last != before || a.m.Bars.Person != "turned off after it was read as armed" {
			t.Errorf("%s: %+v, %+v", name, a.m.Bars, a.verdict)
		}
	}
}

// A try that was withdrawn was none.
func TestWithdrawnGivesTheTryBack(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	for range 3 {
		r := at(a, Signing, supply, FirstHalf)
		if r.Attempt != 1 || a.m.Tally(supply).Tries != 1 {
			t.Fatalf("attempt %d, %d tries", r.Attempt, a.m.Tally(supply).Tries)
		}
		a.move(r, End)
		a.outcome(supply, r.ID, record.ClassWithdrawn, "", nil)
		if got := *a.m.Tally(supply); got.Tries != 0 || got.Failures != 0 || got.Barred || !got.Next.IsZero() {
			t.Fatalf("%+v", got)
		}
	}
	// A refusal in a run that trips a tripwire says more of the User than of the meter; so do E1 to E3.
	for _, o := range []record.OutcomeBody{{Class: record.ClassRejected, Code: "E4", Tripped: true}, {Class: record.ClassRejected, Code: "E1"}} {
		r := at(a, Sent, supply, FirstHalf)
		a.m.End(&a.p, supply, r.ID, &o, a.now)
		if got := *a.m.Tally(supply); got.Tries != 0 || got.Barred || a.m.Bars.Excluded != "" {
			t.Fatalf("%+v, %+v", got, a.m.Bars)
		}
	}
	// A try that a rerun has taken back is not taken back twice.
	r := at(a, Queued, supply, FirstHalf)
	a.m.Rerun(a.now)
	a.move(r, End)
	a.outcome2(r, record.ClassWithdrawn)
	if got := a.m.Tally(supply).Tries; got != 0 {
		t.Errorf("%d tries", got)
	}
	// A request that was withdrawn as outside the permitted set is never asked for again.
	r = at(a, Signing, supply, FirstHalf)
	a.move(r, End)
	a.outcome(supply, r.ID, record.ClassWithdrawn, record.RefusedUnpermitted, nil)
	if s := a.p.Decide(a.m, a.now, Commanding); slices.Contains(s.Ask, supply) {
		t.Error("what may not be signed is asked for again")
	}
}

// A late answer ends a request a second time, with a better class.
func TestLateAnswer(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(10))
	a.expect(toCredit)
	id := a.m.PendingOf(toCredit).ID
	a.end(toCredit, record.ClassNoResponse, "E21", nil)
	if got := *a.m.Tally(toCredit); got.Failures != 1 || got.Next.IsZero() || a.m.CreditAccepted {
		t.Fatalf("%+v", got)
	}
	a.expect(supply, mode) // asked before it is known that the switch was done only now
	past := len(a.m.Past)
	e := a.outcome(toCredit, id, record.ClassSuccess, "", nil)
	if e.Was != record.ClassNoResponse || e.Is != record.ClassSuccess || e.Request != nil || !e.Ended || !e.Sampled {
		t.Errorf("%+v", e)
	}
	if got := *a.m.Tally(toCredit); got.Failures != 0 || !got.Next.IsZero() || got.Answers != 1 || got.Tries != 1 || !a.m.CreditAccepted {
		t.Errorf("%+v, accepted: %t", got, a.m.CreditAccepted)
	}
	if len(a.m.Past) != past || a.m.PastWith(id).Class != record.ClassSuccess {
		t.Errorf("it is past twice, or as %v", a.m.PastWith(id).Class)
	}
	a.read(prepay, on, nil) // carried out before the switch, maybe
	if a.m.ModeCurrent() || a.m.SupplyCurrent() {
		t.Error("reads that were sent while the switch was open prove something about it")
	}
	a.expect(supply, mode)
	a.read(credit, on, nil)
	a.expectVerdict(record.VerdictOnSupply, "")
}

func TestApplyRefuses(t *testing.T) {
	id := servicerequests.RequestID{Originator: ourEUI, Target: 0x00DB1234567890A0, Counter: 7}
	body := []byte("<x/>")
	request := record.Record{Kind: record.Request, Service: toCredit, ID: id, Body: body}
	command := record.Record{Kind: record.SignedCommand, Service: toCredit, ID: id, Body: body}
	read := record.Record{Kind: record.Request, Service: supply, ID: id, Body: body}
	outcome := func(text string) record.Record {
		return record.Record{Kind: record.Outcome, Service: toCredit, ID: id, Body: []byte(text)}
	}
	with := func(r record.Record, change func(*record.Record)) record.Record { change(&r); return r }
	for name, records := range map[string][]record.Record{
		"a request that is signed twice":            {request, request},
		"a request that is signed after its end":    {request, outcome(`{"class":"success"}`), request},
		"a request without a counter":               {with(request, func(r *record.Record) { r.ID.Counter = 0 })},
		"a request of no service":                   {with(request, func(r *record.Record) { r.Service = 0 })},
		"a request of an unknown service":           {with(request, func(r *record.Record) { r.Service = 200 })},
		"a command without its request":             {command},
		"a command that is signed twice":            {request, command, command},
		"a command after its end":                   {request, command, outcome(`{"class":"success"}`), command},
		"a command of another service":              {request, with(command, func(r *record.Record) { r.Service = arm })},
		"a command of a read":                       {read, with(command, func(r *record.Record) { r.Service = supply })},
		"an outcome of an unknown class":            {request, outcome(`{"class":"fine"}`)},
		"an outcome that is open":                   {request, outcome(`{"class":"open"}`)},
		"an outcome without a class":                {request, outcome(`{}`)},
		"an outcome that is no JSON":                {request, outcome(`<x/>`)},
		"a verdict that is no JSON":                 {{Kind: record.Verdict, Body: []byte("<x/>")}},
		"a command whose request is with a worker":  {request, {Kind: record.Reply, Service: toCredit, ID: id, Code: "I99"}, command, command},
		"a command of a request that was held, two": {request, {Kind: record.Alert}, command, command},
	} {
		p := testPolicy()
		m := New(id.Target, record.TargetBody{Type: servicerequests.ESME, Originator: ourEUI})
		var err error
		for i := range records {
			if records[i].Kind == record.Alert {
				err = m.Open[0].Quarantine("event")
			} else {
				_, err = m.Apply(&p, &records[i])
			}
			if (err != nil) != (i == len(records)-1) {
				t.Errorf("%s: record %d: %v", name, i+1, err)
			}
		}
		if !errors.Is(err, errRecord) {
			t.Errorf("%s: %v, want ErrRecord", name, err)
		}
	}
}

// Records that say nothing about a meter change nothing.
func TestApplyPassesOver(t *testing.T) {
	a := seen(t, on)
	was := *a.m
	for kind := record.Made; kind <= record.Halted; kind++ {
		switch kind {
		case record.Request, record.SignedCommand, record.Outcome, record.Verdict:
			continue
		}
		e, err := a.m.Apply(&a.p, &record.Record{Kind: kind, At: a.now, Device: a.m.Device, Code: "I99"})
		if err != nil || e != (Effect{}) {
			t.Errorf("%v: %+v, %v", kind, e, err)
		}
	}
	if diff := different(&was, a.m); diff != "" {
		t.Errorf("they change %s", diff)
	}
}

// That the DCC holds a command back may be told, and written, before the command is: the
// worker has it then. A start takes both in, in that order.
func TestHeldBackBeforeItsCommandIsDurable(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	r := at(a, Ready, toCredit, FirstHalf)
	if err := r.Quarantine("event"); err != nil {
		t.Fatal(err)
	}
	e := a.apply(record.Record{Kind: record.SignedCommand, Service: toCredit, ID: r.ID, Body: []byte("<command/>")})
	if e.Request != r || !e.Opened || r.Phase != Quarantined || r.Half != SecondHalf || r.Body != nil || a.m.Counters.LastCommand != r.ID.Counter {
		t.Errorf("%+v, %+v, %+v", e, r, a.m.Counters)
	}
	a.end(toCredit, record.ClassSuccess, "", nil) // released, and carried out
	if !a.m.CreditAccepted {
		t.Error("its answer is passed over")
	}
}

func TestHold(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	for phase, holds := range map[Phase]bool{
		Behind: false, Queued: false, Signing: false, Ready: true, Posting: false, Resting: true, Prepared: false, Sent: true, Quarantined: true, Ended: false,
	} {
		r := &Request{Service: supply, Phase: phase, Body: []byte{1}, Asked: []byte{2}, Deadline: a.now, RetryAt: a.now}
		err := r.Quarantine("event")
		if (err == nil) != holds || !holds && (!errors.Is(err, errDefect) || r.Phase != phase || r.Event != "" || r.Body == nil) {
			t.Errorf("%v: %v, %+v", phase, err, r)
		}
		if holds && (r.Phase != Quarantined || r.Event != "event" || phase != Quarantined && (r.Body != nil || r.Asked != nil || !r.Deadline.IsZero() || !r.RetryAt.IsZero())) {
			t.Errorf("%v: %+v", phase, r)
		}
	}
}

// A meter began with its first durable request, whichever of two is heard of first.
func TestBeganWithTheFirstDurable(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	first := a.m.Ask(&a.p, supply, dccEUI, false, a.now)
	second := a.m.Ask(&a.p, mode, dccEUI, false, a.now)
	at := a.now
	a.now = at.Add(time.Hour)
	a.sign(second)
	a.take(second)
	a.now = at
	a.sign(first)
	if !a.m.Started.Equal(at) || !a.m.Heard.Equal(at) {
		t.Errorf("began %v, heard %v; want %v", a.m.Started, a.m.Heard, at)
	}
}
