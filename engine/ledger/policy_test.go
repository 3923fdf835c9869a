package ledger

import (
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

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
	if s := a.p.Decide(a.m, a.now, Commanding); !s.Wake.Equal(a.now.Add(time.Minute)) {
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

func TestElectricitySwitchWaitsForReadsButNotLong(t *testing.T) {
	a := newActor(t, servicerequests.ESME)
	a.step()
	a.acknowledge()
	a.expect()
	if s := a.p.Decide(a.m, a.now, Commanding); !s.Wake.Equal(a.now.Add(15 * time.Minute)) {
		t.Fatalf("policy looks again at %v, want one proof_wait after the start: it may be off", s.Wake)
	}
	a.end(supply, record.ClassSuccess, "", &record.Observation{Supply: on})
	if s := a.p.Decide(a.m, a.now, Commanding); !s.Wake.Equal(a.now.Add(time.Minute)) {
		t.Fatalf("policy looks again at %v, want one read_wait after the start: it is on", s.Wake)
	}
	a.now = a.now.Add(time.Minute)
	a.expect(toCredit)
}

// A value that was heard after a command was signed does not show how a meter was found,
// unless no command of the engine sets that value.
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
