package ledger

import (
	"slices"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// An actor stands for everything outside the ledger: it opens what the policy asks for
// and ends it as the test's script says. All it does goes the way of the dispatcher: by
// phases, and by the records that the journal would hold.
type actor struct {
	t       teller
	p       Policy
	m       *Meter
	now     time.Time
	counter uint64
	raised  uint64                    // counter of the device's last alert
	asked   []servicerequests.Service // in order, all of them
	verdict record.VerdictBody
	records []record.Record // what the journal holds of the meter
	slow    bool            // the DCC is slow to take the first request; else it takes it at once
}

// teller is a test, or a part of one that rapid draws.
type teller interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

const (
	ourEUI = servicerequests.EUI(0x90B3D51F30010000)
	dccEUI = servicerequests.EUI(0x90B3D51F30000002)
)

func testPolicy() Policy {
	return Policy{
		Strategy: record.CreditMode,
		Permits: func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
			return s != servicerequests.ReadPrepaymentConfiguration
		},
		ReadWait:             time.Minute,
		ProofWait:            PerFuel[time.Duration]{15 * time.Minute, 95 * time.Minute},
		EmergencyCreditBelow: 2 * servicerequests.Pound,
		ArmFresh:             PerFuel[time.Duration]{time.Minute, 45 * time.Minute},
		ResponseWait:         PerFuel[time.Duration]{time.Minute, 24 * time.Hour},
		Retry:                PerFuel[[]time.Duration]{[]time.Duration{time.Minute, time.Hour}, []time.Duration{time.Hour, 4 * time.Hour}},
		SwitchTries:          3,
		ArmTries:             2,
	}
}

func newActor(t teller, device servicerequests.DeviceType) *actor {
	return &actor{
		t: t, p: testPolicy(), now: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC), counter: 1000,
		m: New(0x00DB1234567890A0, record.TargetBody{Type: device, Claimed: servicerequests.Prepayment, Originator: ourEUI}),
	}
}

// move takes a request through events that must be possible.
func (a *actor) move(r *Request, events ...Event) {
	a.t.Helper()
	for _, e := range events {
		if err := r.Move(e); err != nil {
			a.t.Fatal(err)
		}
	}
}

// apply takes a record in.
func (a *actor) apply(rec record.Record) Effect {
	a.t.Helper()
	rec.At, rec.Device = a.now, a.m.Device
	a.records = append(a.records, rec)
	e, err := a.m.Apply(&a.p, &rec)
	if err != nil {
		a.t.Fatal(err)
	}
	return e
}

// sign gives a request that waits for a counter to a worker, who makes it durable.
func (a *actor) sign(r *Request) {
	a.t.Helper()
	if r.Phase == Behind {
		a.move(r, Room)
	}
	a.counter++
	r.ID.Counter, r.AskedAt = a.counter, a.now
	a.move(r, Sign)
	a.apply(record.Record{Kind: record.Request, Service: r.Service, ID: r.ID, Body: []byte("<request/>")})
}

// command has Transform answer a critical request and its command signed.
func (a *actor) command(r *Request) {
	a.t.Helper()
	a.move(r, Correlated)
	r.Asked, r.Body, r.Half = r.Body, nil, SecondHalf
	a.move(r, Sign)
	a.apply(record.Record{Kind: record.SignedCommand, Service: r.Service, ID: r.ID, Body: []byte("<command/>")})
}

// take has the DCC take a request as far as the half that reaches the device.
func (a *actor) take(r *Request) {
	a.t.Helper()
	if r.Service.Critical() && r.Half == FirstHalf {
		a.command(r)
	}
	if r.Phase.Working() {
		a.move(r, Acknowledged)
		a.p.Wait(a.m, r, true, a.now)
	}
}

// step opens what the policy wants now and returns it.
func (a *actor) step() []servicerequests.Service {
	a.t.Helper()
	s := a.p.Decide(a.m, a.now, Commanding)
	for _, service := range s.Ask {
		if service.Critical() && a.m.openCommand() != nil {
			a.t.Fatalf("SRV %v asked for while another critical command is open", service)
		}
		if a.m.PendingOf(service) != nil {
			a.t.Fatalf("SRV %v asked for twice at once", service)
		}
		a.sign(a.m.Ask(&a.p, service, dccEUI, false, a.now))
		a.asked = append(a.asked, service)
	}
	if !s.Waiting {
		a.verdict = a.p.Conclude(a.m)
	}
	if a.m.probing() && !a.slow {
		a.acknowledge()
		return append(s.Ask, a.step()...)
	}
	return s.Ask
}

// acknowledge has the DCC take every open request.
func (a *actor) acknowledge() {
	for _, r := range a.m.Open {
		a.take(r)
	}
}

// end ends the open request of a service; commands count as signed.
func (a *actor) end(service servicerequests.Service, class record.Class, code string, o *record.Observation) {
	a.t.Helper()
	r := a.m.PendingOf(service)
	if r == nil {
		a.t.Fatalf("SRV %v is not open", service)
	}
	a.take(r)
	a.move(r, End)
	a.outcome(service, r.ID, class, code, o)
}

func (a *actor) outcome(service servicerequests.Service, id servicerequests.RequestID, class record.Class, code string, o *record.Observation) Effect {
	a.t.Helper()
	body := record.OutcomeBody{Class: class, Code: code, AnsweredAt: a.now, Observed: o}
	if r := a.m.PendingWith(id); r != nil {
		body.Attempt = r.Attempt
	}
	return a.apply(record.Record{Kind: record.Outcome, Service: service, ID: id, Code: class.String(), Body: record.Encode(body)})
}

// alert has the device raise an alert a second from now.
func (a *actor) alert(code, futureDated uint16) bool {
	a.raised++
	return a.m.ApplyAlert(Alert{Code: code, Counter: a.raised, At: a.now.Add(time.Second), FutureDated: futureDated})
}

// drive has every request end as answer says, and time pass where nothing is asked, until
// the policy has done with the meter.
func (a *actor) drive(answer func(*Request) (record.Class, string, *record.Observation)) {
	a.t.Helper()
	for range 200 {
		if a.verdict.Verdict != "" {
			return
		}
		a.step()
		for len(a.m.Open) > 0 {
			r := a.m.Open[0]
			class, code, o := answer(r)
			a.end(r.Service, class, code, o)
		}
		if s := a.p.Decide(a.m, a.now, Commanding); len(s.Ask) == 0 && !s.Wake.IsZero() {
			a.now = s.Wake
		}
	}
	a.t.Fatal("the policy comes to no end")
}

func (a *actor) read(mode servicerequests.PaymentMode, supply servicerequests.SupplyState, balance *servicerequests.Millipence) {
	a.t.Helper()
	a.end(servicerequests.ReadSupplyStatus, record.ClassSuccess, "", &record.Observation{Supply: supply})
	a.end(servicerequests.ReadPaymentMode, record.ClassSuccess, "", &record.Observation{Mode: mode})
	if a.m.PendingOf(servicerequests.ReadMeterBalance) != nil {
		a.end(servicerequests.ReadMeterBalance, record.ClassSuccess, "", &record.Observation{Balance: balance})
	}
}

func (a *actor) expect(want ...servicerequests.Service) {
	a.t.Helper()
	if got := a.step(); !slices.Equal(got, want) {
		a.t.Fatalf("policy asks for %v, want %v", got, want)
	}
}

func (a *actor) expectVerdict(verdict, reason string) {
	a.t.Helper()
	a.expect()
	if a.verdict.Verdict != verdict || a.verdict.Reason != reason {
		a.t.Fatalf("verdict %q (%q), want %q (%q)", a.verdict.Verdict, a.verdict.Reason, verdict, reason)
	}
}

const (
	off      = servicerequests.Disabled
	armed    = servicerequests.Armed
	on       = servicerequests.Enabled
	credit   = servicerequests.Credit
	prepay   = servicerequests.Prepayment
	supply   = servicerequests.ReadSupplyStatus
	mode     = servicerequests.ReadPaymentMode
	balance  = servicerequests.ReadMeterBalance
	toCredit = servicerequests.SwitchToCredit
	arm      = servicerequests.ArmSupply
	buyTime  = servicerequests.ActivateEmergencyCredit
)

func pounds(n float64) *servicerequests.Millipence {
	m := servicerequests.Millipence(n * float64(servicerequests.Pound))
	return &m
}

// cutOff has a meter that is off for lack of credit put into Credit mode, and asks for the
// reads after that.
func (a *actor) cutOff() {
	a.t.Helper()
	a.step()
	a.read(prepay, off, pounds(-5))
	a.step()
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.step()
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
}

// expectArmed has a meter armed and read back.
func (a *actor) expectArmed() {
	a.t.Helper()
	a.expect(arm)
	a.end(arm, record.ClassSuccess, "", nil)
	a.expect(supply)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: armed})
	a.expectVerdict(record.VerdictArmed, "safe once the consumer presses the button")
}
