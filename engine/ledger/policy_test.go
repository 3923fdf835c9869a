package ledger

import (
	"slices"
	"testing"
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
	r.Asked, r.Body, r.Leg = r.Body, nil, CommandLeg
	a.move(r, Sign)
	a.apply(record.Record{Kind: record.SignedCommand, Service: r.Service, ID: r.ID, Body: []byte("<command/>")})
}

// take has the DCC take a request as far as the leg that reaches the device.
func (a *actor) take(r *Request) {
	a.t.Helper()
	if r.Service.Critical() && r.Leg == AskLeg {
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
	s := a.p.Decide(a.m, a.now, Acting)
	for _, service := range s.Ask {
		if service.Critical() && a.m.OpenCommand() != nil {
			a.t.Fatalf("SRV %v asked for while another critical command is open", service)
		}
		if a.m.OpenOf(service) != nil {
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
	r := a.m.OpenOf(service)
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
	if r := a.m.OpenAs(id); r != nil {
		body.Attempt = r.Attempt
	}
	return a.apply(record.Record{Kind: record.Outcome, Service: service, ID: id, Code: class.String(), Body: record.Encode(body)})
}

// alert has the device raise an alert a second from now.
func (a *actor) alert(code, futureDated uint16) bool {
	a.raised++
	return a.m.TakeAlert(Alert{Code: code, Counter: a.raised, At: a.now.Add(time.Second), FutureDated: futureDated})
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
		if s := a.p.Decide(a.m, a.now, Acting); len(s.Ask) == 0 && !s.Wake.IsZero() {
			a.now = s.Wake
		}
	}
	a.t.Fatal("the policy comes to no end")
}

func (a *actor) read(mode servicerequests.PaymentMode, supply servicerequests.SupplyState, balance *servicerequests.Millipence) {
	a.t.Helper()
	a.end(servicerequests.ReadSupplyStatus, record.ClassSuccess, "", &record.Observation{Supply: supply})
	a.end(servicerequests.ReadPaymentMode, record.ClassSuccess, "", &record.Observation{Mode: mode})
	if a.m.OpenOf(servicerequests.ReadMeterBalance) != nil {
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

func TestHealthyPrepaymentMeterIsSwitched(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.expect(supply, mode, balance)
	a.read(prepay, on, pounds(10))
	a.expect(toCredit)
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.expect(supply, mode)
	a.read(credit, on, nil)
	a.expectVerdict(record.VerdictOnSupply, "")
}

// A meter that has been transferred costs one request, which the DCC refuses.
func TestNothingIsAskedBeforeTheFirstRequestIsTaken(t *testing.T) {
	for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		a := newActor(t, device)
		a.slow = true
		a.expect(supply)
		a.expect()
		a.end(supply, record.ClassRejected, "E4", nil)
		a.expectVerdict(record.VerdictExcluded, record.ReasonTransferred+" (E4)")
	}
}

// No home waits for a DCC that says nothing.
func TestFirstRequestHoldsTheOthersUpNotLong(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.slow = true
	a.expect(supply)
	a.expect()
	if s := a.p.Decide(a.m, a.now, Acting); !s.Wake.Equal(a.now.Add(time.Minute)) {
		t.Fatalf("policy looks again at %v, want one read_wait after the start", s.Wake)
	}
	a.now = a.now.Add(time.Minute)
	a.expect(mode, balance)
}

func TestMeterAlreadyInCreditIsOnlyRead(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(credit, on, pounds(10))
	a.expectVerdict(record.VerdictOnSupply, "")
}

func TestPendingSwitchIsOverruledThoughTheMeterReadsCredit(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.m = New(a.m.Device, record.TargetBody{Type: servicerequests.ESME, Claimed: credit, History: []string{HistoryPendingMode}})
	a.step()
	a.read(credit, on, pounds(10))
	a.expect(toCredit)
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
	a.read(credit, on, nil)
	a.expectVerdict(record.VerdictOnSupply, "")
}

func TestEmergencyCreditFirstWhereItBuysTimeAndNeverBlocks(t *testing.T) {
	for _, class := range []record.Class{record.ClassSuccess, record.ClassNegative, record.ClassNoResponse, record.ClassInDoubt, record.ClassRejected, record.ClassUnverified} {
		a := newActor(t, servicerequests.ESME)
		a.step()
		a.read(prepay, on, pounds(1))
		a.expect(buyTime)
		a.end(buyTime, class, "", nil)
		a.expect(toCredit)
	}
}

func TestDisabledForLackOfCreditIsArmedOnProof(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-5))
	a.expect(buyTime)
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.expect(toCredit)
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.expect(supply, mode)
	a.read(credit, off, nil)
	a.expect(arm)
	a.end(arm, record.ClassSuccess, "", nil)
	a.expect(supply)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: armed})
	a.expectVerdict(record.VerdictArmed, "safe once the consumer presses the button")
}

func TestArmNeedsAFreshRead(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-5))
	a.step()
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.step()
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
	a.read(credit, off, nil)
	a.now = a.now.Add(61 * time.Second)
	if a.p.MayArm(a.m, 0, a.now) {
		t.Fatal("mayArm allows 7.3 on a read that is 61 s old")
	}
	a.expect(supply)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	a.expect(arm)
}

func TestWhatAPersonMustDecideIsNotArmed(t *testing.T) {
	for name, c := range map[string]struct {
		mode    servicerequests.PaymentMode
		balance *servicerequests.Millipence
		change  func(*actor)
		reason  string
	}{
		"found in credit":      {mode: credit, balance: pounds(-5), reason: "found in credit and disabled"},
		"credit left":          {mode: prepay, balance: pounds(5), reason: "disabled with credit left"},
		"balance not known":    {mode: prepay, reason: "disabled, balance not known"},
		"tamper alert":         {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.alert(0x81BE, 0) }, reason: "disabled then locked by the meter (81BE)"},
		"flow fault":           {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.alert(0x81B5, 0) }, reason: "gas flow fault (81B5)"},
		"disabled by supplier": {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.m.Bars.Person = "disabled by the supplier" }, reason: "disabled by the supplier"},
		"not permitted": {mode: prepay, balance: pounds(-5), change: func(a *actor) {
			a.p.Permits = func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
				return s != arm && s != servicerequests.ReadPrepaymentConfiguration
			}
		}, reason: "arming is not permitted by the direction"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newActor(t, servicerequests.ESME)
			a.step()
			a.read(c.mode, off, c.balance)
			if c.change != nil {
				c.change(a)
			}
			for range 20 {
				if a.verdict.Verdict != "" {
					break
				}
				for _, s := range a.step() {
					switch s {
					case arm:
						t.Fatal("7.3 asked for")
					case buyTime:
						a.end(s, record.ClassNegative, "250", nil)
					case toCredit:
						a.end(s, record.ClassSuccess, "", nil)
					case supply:
						a.end(s, record.ClassSuccess, "", &record.Observation{Supply: off})
					case mode:
						a.end(s, record.ClassSuccess, "", &record.Observation{Mode: credit})
					case balance:
						a.end(s, record.ClassNegative, record.CodeNoValue, nil)
					}
				}
				if next := a.p.Decide(a.m, a.now, Acting); len(next.Ask) == 0 && !next.Wake.IsZero() {
					a.now = next.Wake
				}
			}
			if a.verdict.Verdict != record.VerdictNotSafe || a.verdict.Reason != c.reason {
				t.Errorf("verdict %q (%q), want not_safe (%q)", a.verdict.Verdict, a.verdict.Reason, c.reason)
			}
		})
	}
}

func TestElectricitySwitchWaitsForReadsButNotLong(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.acknowledge()
	a.expect()
	if s := a.p.Decide(a.m, a.now, Acting); !s.Wake.Equal(a.now.Add(15 * time.Minute)) {
		t.Fatalf("policy looks again at %v, want one proof_wait after the start: it may be off", s.Wake)
	}
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: on})
	if s := a.p.Decide(a.m, a.now, Acting); !s.Wake.Equal(a.now.Add(time.Minute)) {
		t.Fatalf("policy looks again at %v, want one read_wait after the start: it is on", s.Wake)
	}
	a.now = a.now.Add(time.Minute)
	a.expect(toCredit)
}

// A home that reads Disabled, and whose mode was lost, is asked for it once more before 1.6
// takes the proof away.
func TestALostModeOfADarkHomeIsReadAgain(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.expect(supply, mode, balance)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	a.end(mode, record.ClassNoResponse, "E21", nil)
	a.expect()
	a.now = a.now.Add(90 * time.Second)
	a.expect(mode)
	a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: prepay})
	a.expect(servicerequests.ActivateEmergencyCredit)
}

func TestGasSwitchFollowsTheAcknowledgements(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.expect(supply, mode, balance)
	a.expect()
	a.acknowledge()
	a.expect() // it may be off: how it was found is to be proven
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(5)})
	a.expect(toCredit)
}

// A gas meter that may be off is switched when it has told how it was found, or when that
// has been waited for long enough.
func TestGasThatMayBeOffIsProvenFirst(t *testing.T) {
	for _, told := range []bool{true, false} {
		a := newActor(t, servicerequests.GSME)
		a.expect(supply, mode, balance)
		a.acknowledge()
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
		a.expect()
		if told {
			a.read(prepay, off, nil)
		} else {
			a.now = a.now.Add(a.p.ProofWait.Gas)
		}
		a.expect(toCredit)
	}
}

// That a gas meter was found in Prepayment its proxy may say, which need not be woken. That
// it is in Credit is the meter's to say.
func TestGasModeIsFoundByTheProxy(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.m.Proxy = proxyEUI
	a.expect(supply, mode, balance)
	if target := a.m.OpenOf(mode).ID.Target; target != proxyEUI {
		t.Fatalf("the mode is asked of %v", target)
	}
	a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: credit})
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	a.expect(mode)
	if target := a.m.OpenOf(mode).ID.Target; a.m.Now.Mode.Known() || target != a.m.Device {
		t.Errorf("%+v, and the mode is asked of %v", a.m.Now.Mode, target)
	}

	lost := newActor(t, servicerequests.GSME)
	lost.m.Proxy = proxyEUI
	lost.expect(supply, mode, balance)
	lost.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	lost.end(mode, record.ClassNoResponse, "E21", nil)
	lost.expect(mode) // at once, of the meter
	if lost.m.OpenOf(mode).ID.Target != lost.m.Device || lost.m.Tally(mode).Failures != 0 {
		t.Errorf("%+v", lost.m.Tally(mode))
	}

	b := newActor(t, servicerequests.GSME)
	b.m.Proxy = proxyEUI
	b.expect(supply, mode, balance)
	b.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
	b.end(mode, record.ClassSuccess, "", &record.Observation{Mode: prepay})
	b.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	b.expect(toCredit)
}

// What was heard after a command was signed does not show how a meter was found, unless it
// is what no command of the engine sets.
func TestFoundIsWhatWasHeardBeforeTheSwitch(t *testing.T) {
	for _, c := range []struct {
		mode  servicerequests.PaymentMode
		found servicerequests.PaymentMode
	}{{prepay, prepay}, {credit, servicerequests.UnknownMode}} {
		a := newActor(t, servicerequests.GSME)
		a.expect(supply, mode, balance)
		a.acknowledge()
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(5)})
		a.expect(toCredit)
		a.acknowledge()
		a.now = a.now.Add(time.Second)
		a.read(c.mode, off, nil)
		if f := a.m.Found; f.Mode.Value != c.found || f.Supply.Known() || !f.Balance.Known() {
			t.Errorf("%v, read after the switch: found %+v", c.mode, f)
		}
	}
}

func TestGasBalanceGoesToTheProxy(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.expect(supply, mode, servicerequests.ReadInventory)
	a.acknowledge()
	a.m.Proxy = 0x00DB1234567890A3
	a.end(servicerequests.ReadInventory, record.ClassSuccess, "I0", nil)
	a.expect(balance)
	a.acknowledge()
	a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(5)})
	a.expect(toCredit)
}

// A proxy's balance is up to half an hour old: the meter that is off has used its last
// pence since. It is asked itself, and what it says decides.
func TestProxyThatLagsBehindProvesNothing(t *testing.T) {
	for _, c := range []struct {
		own   float64
		armed bool
	}{{-0.01, true}, {0, true}, {3, false}} {
		a := newActor(t, servicerequests.GSME)
		a.p.GasBalanceFromProxy, a.p.DailySpend = true, 5*servicerequests.Pound
		a.m.Proxy = 0x00DB1234567890A3
		a.expect(supply, mode, balance)
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(0.05)})
		a.acknowledge()
		a.expect()
		a.read(prepay, off, nil)
		a.expect(toCredit)
		a.end(toCredit, record.ClassSuccess, "", nil)
		a.expect(supply, mode, balance)
		a.read(credit, off, pounds(c.own))
		if !c.armed {
			a.expectVerdict(record.VerdictNotSafe, "disabled with credit left")
			continue
		}
		a.expect(arm)
		a.end(arm, record.ClassSuccess, "", nil)
		a.expect(supply)
		a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: armed})
		a.expectVerdict(record.VerdictArmed, "safe once the consumer presses the button")
	}
}

// A meter that was found on, and tells before its switch that it went off for lack of
// credit, has proven the cause; its balance then confirms it. Without its word, or once
// it was on again, the cause is another's to find.
func TestRunOutBetweenReadAndSwitch(t *testing.T) {
	for name, c := range map[string]struct {
		alert, onAgain bool
		found, own     float64
		asked          bool   // for its balance once more
		reason         string // empty: it is armed
	}{
		"its last pence":          {alert: true, found: 0.30, own: -0.02, asked: true},
		"its window had ended":    {alert: true, found: -1},
		"credit left":             {alert: true, found: 0.30, own: 0.30, asked: true, reason: "disabled with credit left"},
		"it said nothing":         {found: 0.30, reason: "turned off after it was found enabled"},
		"on again, and off again": {alert: true, onAgain: true, found: 0.30, reason: "turned off after it was read as enabled"},
	} {
		a := newActor(t, servicerequests.ESME)
		a.expect(supply, mode, balance)
		a.read(prepay, on, pounds(c.found))
		if c.alert {
			a.alert(AlertBelow, 0)
		}
		if got := a.step(); got[len(got)-1] == buyTime {
			a.end(buyTime, record.ClassNegative, "250", nil)
			a.step()
		}
		a.end(toCredit, record.ClassSuccess, "", nil)
		wants := []servicerequests.Service{supply, mode}
		if c.asked || c.onAgain {
			wants = append(wants, balance)
		}
		a.expect(wants...)
		if c.onAgain {
			a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(-1)})
			a.read(credit, on, nil)
			a.m.Counters.StaleSupply = a.m.Issued() // as by an alert that something changed
			a.expect(supply)
			a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
		} else {
			a.read(credit, off, pounds(c.own))
		}
		if c.reason != "" {
			a.expectVerdict(record.VerdictNotSafe, c.reason)
			continue
		}
		if got := a.step(); !slices.Equal(got, []servicerequests.Service{arm}) {
			t.Errorf("%s: asked for %v, want 7.3", name, got)
		}
	}
}

// What has credit left by its proxy and was found on is not asked for more, nor is one
// that a person must arm in any case.
func TestProxyIsBelievedWhereNothingRestsOnIt(t *testing.T) {
	for name, change := range map[string]func(*actor){
		"found on":     func(a *actor) { a.read(prepay, on, nil) },
		"for a person": func(a *actor) { a.m.Bars.Person = "disabled by the supplier"; a.read(prepay, off, nil) },
		"in credit":    func(a *actor) { a.read(credit, off, nil) },
	} {
		a := newActor(t, servicerequests.GSME)
		a.p.GasBalanceFromProxy = true
		a.m.Proxy = 0x00DB1234567890A3
		a.expect(supply, mode, balance)
		a.end(balance, record.ClassSuccess, "", &record.Observation{Balance: pounds(0.05)})
		a.acknowledge()
		a.expect(toCredit)
		change(a)
		a.end(toCredit, record.ClassSuccess, "", nil)
		if got := a.step(); !slices.Equal(got, []servicerequests.Service{supply, mode}) {
			t.Errorf("%s: asked for %v", name, got)
		}
	}
}

// A home that is found off while its proxy is still being looked up needs its balance for
// two reasons. It is asked for once.
func TestBalanceIsAskedForOnceAtATime(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.expect(supply, mode, servicerequests.ReadInventory)
	a.read(prepay, off, nil)
	a.m.Proxy = proxyEUI
	a.end(servicerequests.ReadInventory, record.ClassSuccess, "I0", nil)
	a.expect(balance)
	if target := a.m.OpenOf(balance).ID.Target; target != proxyEUI {
		t.Errorf("it is asked of %v", target)
	}
}

// The DCC's service for inventories may be down for hours.
func TestInventoryThatCannotBeAskedForHoldsUpNoHome(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.step()
	a.acknowledge()
	r := a.m.OpenOf(servicerequests.ReadInventory)
	r.Phase, r.AskedAt = Ready, time.Time{}
	a.read(prepay, on, nil)
	a.expect()
	a.now = a.now.Add(time.Minute)
	a.expect(toCredit)
}

func TestUnknownOutcomeIsReadBackBeforeAnythingNew(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(10))
	a.step()
	a.end(toCredit, record.ClassNoResponse, "E21", nil)
	a.expect(supply, mode)
	a.read(prepay, on, nil)
	a.expect(buyTime) // the switch is late
	a.end(buyTime, record.ClassSuccess, "", nil)
	a.expect(supply)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: on})
	a.now = a.now.Add(2 * time.Minute)
	a.expect(toCredit)
}

func TestUndeliveredSwitchIsAskedForAgainByTheLadder(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(10))
	a.step()
	a.end(toCredit, record.ClassNoResponse, "E20", nil)
	a.expect(supply, mode)
	a.end(supply, record.ClassNoResponse, "E20", nil)
	a.end(mode, record.ClassNoResponse, "E20", nil)
	a.expect()
	a.now = a.now.Add(70 * time.Second)
	for range 5 {
		for _, s := range a.step() {
			if s == toCredit {
				return
			}
			a.end(s, record.ClassNoResponse, "E20", nil)
		}
		a.now = a.now.Add(2 * time.Minute)
	}
	t.Fatal("1.6 was not asked for again")
}

func TestSilentMeterEndsAsUnknown(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	for range 40 {
		for _, s := range a.step() {
			a.end(s, record.ClassNoResponse, "E20", nil)
		}
		if a.verdict.Verdict != "" {
			break
		}
		a.now = a.now.Add(2 * time.Hour)
	}
	if a.verdict.Verdict != record.VerdictUnknown || a.verdict.Reason != "no answer: E20" {
		t.Errorf("verdict %q (%q), want unknown (no answer: E20)", a.verdict.Verdict, a.verdict.Reason)
	}
	if n := len(a.asked); n > 12 {
		t.Errorf("%d requests for a meter that never answers: %v", n, a.asked)
	}
}

func TestTransferredMeterIsExcluded(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	for _, s := range []servicerequests.Service{supply, mode, balance} {
		a.end(s, record.ClassRejected, "E4", nil)
	}
	a.expectVerdict(record.VerdictExcluded, "not registered to the supplier any more (E4)")
}

func TestArmRefusedByTheMeterIsNotRepeated(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-1))
	a.step()
	a.end(buyTime, record.ClassNegative, "250", nil)
	a.step()
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.step()
	a.read(credit, off, nil)
	a.expect(arm)
	a.end(arm, record.ClassNegative, "250", nil)
	a.expect(supply)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: off})
	a.expectVerdict(record.VerdictNotSafe, "arm refused")
}

func TestPartlyAppliedSwitchIsTriedABoundedNumberOfTimes(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(10))
	switches := 0
	for range 20 {
		for _, s := range a.step() {
			switch s {
			case toCredit:
				switches++
				a.end(s, record.ClassNegative, "1", nil)
			case buyTime:
				a.end(s, record.ClassNegative, "250", nil)
			case supply:
				a.end(s, record.ClassSuccess, "", &record.Observation{Supply: on})
			case mode:
				a.end(s, record.ClassSuccess, "", &record.Observation{Mode: prepay})
			}
		}
	}
	if switches != a.p.SwitchTries {
		t.Errorf("%d tries of 1.6, want %d", switches, a.p.SwitchTries)
	}
	if a.verdict.Verdict != record.VerdictNotSafe || a.verdict.Reason != "switch refused by the meter: 1" {
		t.Errorf("verdict %q (%q)", a.verdict.Verdict, a.verdict.Reason)
	}
}

func TestStoredSwitchThatRunsReopensTheMeter(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(credit, on, pounds(10))
	a.expectVerdict(record.VerdictOnSupply, "")
	a.alert(0x8F66, 0x001A)
	a.expectVerdict(record.VerdictOnSupply, "")
	a.alert(0x8F66, 0x001B)
	a.expect(toCredit)
}

func TestOlderAnswerDoesNotReplaceANewerOne(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.m.observe(record.Observation{Supply: on}, 20, a.now, a.now)
	a.m.observe(record.Observation{Supply: off}, 10, a.now, a.now)
	if a.m.Now.Supply.Value != on {
		t.Error("an answer to an older request replaced a newer one")
	}
}

// The prepayment settings are read once with the first reads, where the direction has
// them read; no command waits for their answer, and after the switch it is too late.
func TestPolicyReadsTheConfiguration(t *testing.T) {
	const settings = servicerequests.ReadPrepaymentConfiguration
	permitting := func(kind servicerequests.DeviceType) *actor {
		a := newActor(t, kind)
		a.p.Permits = func(servicerequests.Service, servicerequests.DeviceType) bool { return true }
		a.p.GasBalanceFromProxy = kind == servicerequests.GSME
		return a
	}
	a := permitting(servicerequests.ESME)
	a.expect(supply, mode, balance, settings)
	a.acknowledge()
	a.read(prepay, on, pounds(5))
	a.expect(toCredit) // though the settings are still to come
	a.end(settings, record.ClassNoResponse, "E21", nil)
	a.end(toCredit, record.ClassSuccess, "", nil)
	a.expect(supply, mode)
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: on})
	a.end(mode, record.ClassSuccess, "", &record.Observation{Mode: credit})
	a.expectVerdict(record.VerdictOnSupply, "")

	// A gas meter's are its proxy's to tell, once that is known.
	g := permitting(servicerequests.GSME)
	asked := g.step()
	if slices.Contains(asked, settings) || !slices.Contains(asked, servicerequests.ReadInventory) {
		t.Errorf("gas is asked %v first", asked)
	}
	g.end(servicerequests.ReadInventory, record.ClassSuccess, "", nil)
	g.m.Proxy = 7
	if asked := g.step(); !slices.Contains(asked, settings) {
		t.Errorf("then %v", asked)
	}
}

// A meter that is armed is read again by a time of its own, one on supply by the sample's.
func TestRereadsOfArmedMeters(t *testing.T) {
	for _, c := range []struct {
		supply        servicerequests.SupplyState
		armed, sample time.Duration
		want          time.Duration // 0: never
	}{
		{servicerequests.Armed, time.Hour, 24 * time.Hour, time.Hour},
		{servicerequests.Armed, time.Hour, 0, time.Hour},
		{servicerequests.Armed, 0, 24 * time.Hour, 0},
		{on, time.Hour, 24 * time.Hour, 24 * time.Hour},
		{on, time.Hour, 0, 0},
	} {
		a := seen(t, c.supply)
		a.p.RereadArmedAfter, a.p.RereadAfter, a.p.RereadShare = c.armed, c.sample, 1
		var want time.Time
		if c.want > 0 {
			want = a.m.AsOf().Add(c.want)
		}
		if due := a.p.RereadAt(a.m); !due.Equal(want) {
			t.Errorf("%v, armed after %v, sample after %v: due %v, want %v", c.supply, c.armed, c.sample, due, want)
		}
		if c.want == 0 {
			continue
		}
		if early, due := a.p.Rereads(a.m, want.Add(-time.Second)), a.p.Rereads(a.m, want); len(early) != 0 || len(due) != 2 {
			t.Errorf("%v: %v a second before, %v then", c.supply, early, due)
		}
	}
}
