package sweep

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// An actor stands for everything outside the policy: it opens what decide asks
// for and ends it as the test's script says.
type actor struct {
	t       *testing.T
	p       Policy
	m       *meter
	now     time.Time
	counter uint64
	asked   []servicerequests.Service // in order, all of them
	verdict record.VerdictBody
	slow    bool // the DCC is slow to take the first request; else it takes it at once
}

func testPolicy() Policy {
	return Policy{
		Strategy: CreditMode,
		Permits: func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
			return s != servicerequests.ReadPrepaymentConfiguration
		},
		ReadWait:             time.Minute,
		EmergencyCreditBelow: 2 * servicerequests.Pound,
		ArmFresh:             PerFuel[time.Duration]{time.Minute, 45 * time.Minute},
		ResponseWait:         PerFuel[time.Duration]{time.Minute, 24 * time.Hour},
		Retry:                PerFuel[[]time.Duration]{[]time.Duration{time.Minute, time.Hour}, []time.Duration{time.Hour, 4 * time.Hour}},
		SwitchTries:          3,
		ArmTries:             2,
	}
}

func newActor(t *testing.T, device servicerequests.DeviceType) *actor {
	return &actor{
		t: t, p: testPolicy(), now: time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC), counter: 1000,
		m: newMeter(0x00DB1234567890A0, record.TargetBody{Type: device, Claimed: servicerequests.Prepayment}),
	}
}

// step opens what the policy wants now and returns it.
func (a *actor) step() []servicerequests.Service {
	s := a.p.decide(a.m, a.now)
	for _, service := range s.ask {
		if service.Critical() && a.m.openCommand() != nil {
			a.t.Fatalf("SRV %v asked for while another critical command is open", service)
		}
		a.counter++
		r := &request{meter: a.m, service: service, askedAt: a.now, attempt: int(a.m.tally(service).tries) + 1}
		r.id = servicerequests.RequestID{Originator: 1, Target: a.m.device, Counter: a.counter}
		a.m.begin(r, a.now)
		a.asked = append(a.asked, service)
	}
	if !s.waiting {
		a.verdict = a.p.conclude(a.m)
	}
	if a.m.probing() && !a.slow {
		a.acknowledge()
		return append(s.ask, a.step()...)
	}
	return s.ask
}

// acknowledge marks every open request as taken by the DCC.
func (a *actor) acknowledge() {
	for _, r := range a.m.open {
		r.acknowledged = true
	}
}

// end ends the open request of a service; commands count as signed.
func (a *actor) end(service servicerequests.Service, class Class, code string, o *record.Observation) {
	a.t.Helper()
	r := a.m.openRequest(service)
	if r == nil {
		a.t.Fatalf("SRV %v is not open", service)
	}
	if service.Critical() {
		a.m.commit(service, r.id.Counter)
	}
	a.m.end(&a.p, service, r.id, record.OutcomeBody{Code: code, AnsweredAt: a.now, Observed: o}, class)
}

func (a *actor) read(mode servicerequests.PaymentMode, supply servicerequests.SupplyState, balance *servicerequests.Millipence) {
	a.t.Helper()
	a.end(servicerequests.ReadSupplyStatus, Succeeded, "", &record.Observation{Supply: supply})
	a.end(servicerequests.ReadPaymentMode, Succeeded, "", &record.Observation{Mode: mode})
	if a.m.openRequest(servicerequests.ReadMeterBalance) != nil {
		a.end(servicerequests.ReadMeterBalance, Succeeded, "", &record.Observation{Balance: balance})
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
	off     = servicerequests.Disabled
	armed   = servicerequests.Armed
	on      = servicerequests.Enabled
	credit  = servicerequests.Credit
	prepay  = servicerequests.Prepayment
	supply  = servicerequests.ReadSupplyStatus
	mode    = servicerequests.ReadPaymentMode
	balance = servicerequests.ReadMeterBalance
	to      = servicerequests.SwitchToCredit
	arm     = servicerequests.ArmSupply
	buyTime = servicerequests.ActivateEmergencyCredit
)

func pounds(n float64) *servicerequests.Millipence {
	m := servicerequests.Millipence(n * float64(servicerequests.Pound))
	return &m
}

func TestHealthyPrepaymentMeterIsSwitched(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.expect(supply, mode, balance)
	a.read(prepay, on, pounds(10))
	a.expect(to)
	a.end(to, Succeeded, "", nil)
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
		a.end(supply, Rejected, "E4", nil)
		a.expectVerdict(record.VerdictExcluded, record.ReasonTransferred+" (E4)")
	}
}

// No home waits for a DCC that says nothing.
func TestFirstRequestHoldsTheOthersUpNotLong(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.slow = true
	a.expect(supply)
	a.expect()
	if s := a.p.decide(a.m, a.now); !s.wake.Equal(a.now.Add(time.Minute)) {
		t.Fatalf("policy looks again at %v, want one read_wait after the start", s.wake)
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
	a.m = newMeter(a.m.device, record.TargetBody{Type: servicerequests.ESME, Claimed: credit, History: []string{historyPendingMode}})
	a.step()
	a.read(credit, on, pounds(10))
	a.expect(to)
	a.end(to, Succeeded, "", nil)
	a.step()
	a.read(credit, on, nil)
	a.expectVerdict(record.VerdictOnSupply, "")
}

func TestEmergencyCreditFirstWhereItBuysTimeAndNeverBlocks(t *testing.T) {
	for _, class := range []Class{Succeeded, Negative, NoResponse, InDoubt, Rejected, Unverified} {
		a := newActor(t, servicerequests.ESME)
		a.step()
		a.read(prepay, on, pounds(1))
		a.expect(buyTime)
		a.end(buyTime, class, "", nil)
		a.expect(to)
	}
}

func TestDisabledForLackOfCreditIsArmedOnProof(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-5))
	a.expect(buyTime)
	a.end(buyTime, Negative, "250", nil)
	a.expect(to)
	a.end(to, Succeeded, "", nil)
	a.expect(supply, mode)
	a.read(credit, off, nil)
	a.expect(arm)
	a.end(arm, Succeeded, "", nil)
	a.expect(supply)
	a.end(supply, Succeeded, "", &record.Observation{Supply: armed})
	a.expectVerdict(record.VerdictArmed, "safe once the consumer presses the button")
}

func TestArmNeedsAFreshRead(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-5))
	a.step()
	a.end(buyTime, Negative, "250", nil)
	a.step()
	a.end(to, Succeeded, "", nil)
	a.step()
	a.read(credit, off, nil)
	a.now = a.now.Add(61 * time.Second)
	if a.p.mayArm(a.m, 0, a.now) {
		t.Fatal("mayArm allows 7.3 on a read that is 61 s old")
	}
	a.expect(supply)
	a.end(supply, Succeeded, "", &record.Observation{Supply: off})
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
		"tamper alert":         {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.m.alerted(&gbcs.Alert{Code: 0x81BE}) }, reason: "disabled then locked by the meter (81BE)"},
		"flow fault":           {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.m.alerted(&gbcs.Alert{Code: 0x81B5}) }, reason: "gas flow fault (81B5)"},
		"disabled by supplier": {mode: prepay, balance: pounds(-5), change: func(a *actor) { a.m.person = "disabled by the supplier" }, reason: "disabled by the supplier"},
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
			for range 10 {
				if a.verdict.Verdict != "" {
					break
				}
				for _, s := range a.step() {
					switch s {
					case arm:
						t.Fatal("7.3 asked for")
					case buyTime:
						a.end(s, Negative, "250", nil)
					case to:
						a.end(s, Succeeded, "", nil)
					case supply:
						a.end(s, Succeeded, "", &record.Observation{Supply: off})
					case mode:
						a.end(s, Succeeded, "", &record.Observation{Mode: credit})
					}
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
	if s := a.p.decide(a.m, a.now); !s.wake.Equal(a.now.Add(time.Minute)) {
		t.Fatalf("policy looks again at %v, want one read_wait after the start", s.wake)
	}
	a.now = a.now.Add(time.Minute)
	a.expect(to)
}

func TestGasSwitchFollowsTheAcknowledgements(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.expect(supply, mode, balance)
	a.expect()
	a.acknowledge()
	a.expect(to)
}

func TestGasBalanceGoesToTheProxy(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.expect(supply, mode, servicerequests.ReadInventory)
	a.acknowledge()
	a.m.gpf = 0x00DB1234567890A3
	a.end(servicerequests.ReadInventory, Succeeded, "I0", nil)
	a.expect(balance)
	a.acknowledge()
	a.expect(to)
}

// A proxy's balance is up to half an hour old: the meter that is off has used its last
// pence since. It is asked itself, and what it says decides.
func TestProxyThatLagsBehindProvesNothing(t *testing.T) {
	for _, c := range []struct {
		own   float64
		armed bool
	}{{-0.01, true}, {0, true}, {3, false}} {
		a := newActor(t, servicerequests.GSME)
		a.p.GasBalanceFromProxy = true
		a.m.gpf = 0x00DB1234567890A3
		a.expect(supply, mode, balance)
		a.end(balance, Succeeded, "", &record.Observation{Balance: pounds(0.05)})
		a.acknowledge()
		a.expect(to)
		a.read(prepay, off, nil)
		a.end(to, Succeeded, "", nil)
		a.expect(supply, mode, balance)
		a.read(credit, off, pounds(c.own))
		if !c.armed {
			a.expectVerdict(record.VerdictNotSafe, "disabled with credit left")
			continue
		}
		a.expect(arm)
		a.end(arm, Succeeded, "", nil)
		a.expect(supply)
		a.end(supply, Succeeded, "", &record.Observation{Supply: armed})
		a.expectVerdict(record.VerdictArmed, "safe once the consumer presses the button")
	}
}

// A meter that was found on, and tells before its switch that it went off for lack of
// credit, has proven the cause; its balance then confirms it. Without its word, or once
// it was on again, the cause is another's to find.
func TestRunOutBetweenReadAndSwitch(t *testing.T) {
	below := &gbcs.Alert{Code: alertBelow}
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
		"on again, and off again": {alert: true, onAgain: true, found: 0.30, reason: "turned off after it was found enabled"},
	} {
		a := newActor(t, servicerequests.ESME)
		a.expect(supply, mode, balance)
		a.read(prepay, on, pounds(c.found))
		if c.alert {
			a.m.alerted(below)
		}
		if got := a.step(); got[len(got)-1] == buyTime {
			a.end(buyTime, Negative, "250", nil)
			a.step()
		}
		a.end(to, Succeeded, "", nil)
		wants := []servicerequests.Service{supply, mode}
		if c.asked || c.onAgain {
			wants = append(wants, balance)
		}
		a.expect(wants...)
		if c.onAgain {
			a.end(balance, Succeeded, "", &record.Observation{Balance: pounds(-1)})
			a.read(credit, on, nil)
			a.m.staleSupply = a.m.issued // as by an alert that something changed
			a.expect(supply)
			a.end(supply, Succeeded, "", &record.Observation{Supply: off})
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
		"for a person": func(a *actor) { a.m.person = "disabled by the supplier"; a.read(prepay, off, nil) },
		"in credit":    func(a *actor) { a.read(credit, off, nil) },
	} {
		a := newActor(t, servicerequests.GSME)
		a.p.GasBalanceFromProxy = true
		a.m.gpf = 0x00DB1234567890A3
		a.expect(supply, mode, balance)
		a.end(balance, Succeeded, "", &record.Observation{Balance: pounds(0.05)})
		a.acknowledge()
		a.expect(to)
		change(a)
		a.end(to, Succeeded, "", nil)
		if got := a.step(); !slices.Equal(got, []servicerequests.Service{supply, mode}) {
			t.Errorf("%s: asked for %v", name, got)
		}
	}
}

// The DCC's service for inventories may be down for hours.
func TestInventoryThatCannotBeAskedForHoldsUpNoHome(t *testing.T) {
	a := newActor(t, servicerequests.GSME)
	a.p.GasBalanceFromProxy = true
	a.step()
	a.acknowledge()
	r := a.m.openRequest(servicerequests.ReadInventory)
	r.queued, r.acknowledged, r.askedAt = true, false, time.Time{}
	a.expect()
	a.now = a.now.Add(time.Minute)
	a.expect(to)
}

func TestUnknownOutcomeIsReadBackBeforeAnythingNew(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(10))
	a.step()
	a.end(to, NoResponse, "E21", nil)
	a.expect(supply, mode)
	a.read(prepay, on, nil)
	a.expect(buyTime) // the switch is late
	a.end(buyTime, Succeeded, "", nil)
	a.expect(supply)
	a.end(supply, Succeeded, "", &record.Observation{Supply: on})
	a.now = a.now.Add(2 * time.Minute)
	a.expect(to)
}

func TestUndeliveredSwitchIsAskedForAgainByTheLadder(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, on, pounds(10))
	a.step()
	a.end(to, NoResponse, "E20", nil)
	a.expect(supply, mode)
	a.end(supply, NoResponse, "E20", nil)
	a.end(mode, NoResponse, "E20", nil)
	a.expect()
	a.now = a.now.Add(70 * time.Second)
	for range 5 {
		for _, s := range a.step() {
			if s == to {
				return
			}
			a.end(s, NoResponse, "E20", nil)
		}
		a.now = a.now.Add(2 * time.Minute)
	}
	t.Fatal("1.6 was not asked for again")
}

func TestSilentMeterEndsAsUnknown(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	for range 40 {
		for _, s := range a.step() {
			a.end(s, NoResponse, "E20", nil)
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
		a.end(s, Rejected, "E4", nil)
	}
	a.expectVerdict(record.VerdictExcluded, "not registered to the supplier any more (E4)")
}

func TestArmRefusedByTheMeterIsNotRepeated(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.read(prepay, off, pounds(-1))
	a.step()
	a.end(buyTime, Negative, "250", nil)
	a.step()
	a.end(to, Succeeded, "", nil)
	a.step()
	a.read(credit, off, nil)
	a.expect(arm)
	a.end(arm, Negative, "250", nil)
	a.expect(supply)
	a.end(supply, Succeeded, "", &record.Observation{Supply: off})
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
			case to:
				switches++
				a.end(s, Negative, "1", nil)
			case buyTime:
				a.end(s, Negative, "250", nil)
			case supply:
				a.end(s, Succeeded, "", &record.Observation{Supply: on})
			case mode:
				a.end(s, Succeeded, "", &record.Observation{Mode: prepay})
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
	a.m.alerted(&gbcs.Alert{Code: 0x8F66, FutureDated: &gbcs.FutureDated{Code: 0x001A}})
	a.expectVerdict(record.VerdictOnSupply, "")
	a.m.alerted(&gbcs.Alert{Code: 0x8F66, FutureDated: &gbcs.FutureDated{Code: 0x001B}})
	a.expect(to)
}

func TestOlderAnswerDoesNotReplaceANewerOne(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.m.observe(record.Observation{Supply: on}, 20, a.now)
	a.m.observe(record.Observation{Supply: off}, 10, a.now)
	if a.m.supply.value != on {
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
	a.read(prepay, on, pounds(5))
	a.expect(to) // though the settings are still to come
	a.end(settings, NoResponse, "E21", nil)
	a.end(to, Succeeded, "", nil)
	a.expect(supply, mode)
	a.end(supply, Succeeded, "", &record.Observation{Supply: on})
	a.end(mode, Succeeded, "", &record.Observation{Mode: credit})
	a.expectVerdict(record.VerdictOnSupply, "")

	// A gas meter's are its proxy's to tell, once that is known.
	g := permitting(servicerequests.GSME)
	asked := g.step()
	if slices.Contains(asked, settings) || !slices.Contains(asked, servicerequests.ReadInventory) {
		t.Errorf("gas is asked %v first", asked)
	}
	g.end(servicerequests.ReadInventory, Succeeded, "", nil)
	g.m.gpf = 7
	if asked := g.step(); !slices.Contains(asked, settings) {
		t.Errorf("then %v", asked)
	}
}
