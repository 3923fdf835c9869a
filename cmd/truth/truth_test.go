package truth

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/devicesim/meter"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// tale is a history made by hand, with the claim that an honest engine makes of it.
type tale struct {
	row
	is      meter.State
	counter uint64
	order   uint64
	now     history.Instant
}

const minute = history.Instant(time.Minute)

// newTale begins with an electricity meter that is off for lack of credit.
func newTale() *tale {
	t := &tale{now: minute}
	t.Began = fleet.Meter{Device: 1, Type: servicerequests.ESME, Reachable: true}
	t.Began.Mode, t.Began.Supply, t.Began.Balance = servicerequests.Prepayment, servicerequests.Disabled, -5
	t.is = meter.StateOf(&t.Began)
	t.Registered, t.device, t.target.Type = true, 1, servicerequests.ESME
	t.Terms = Terms{
		Finished: true, Switches: true, Permits: func(servicerequests.Service, servicerequests.DeviceType) bool { return true },
		Fresh:     ByFuel[time.Duration]{time.Hour, time.Hour},
		ArmWithin: ByFuel[time.Duration]{2 * time.Hour, 2 * time.Hour},
	}
	return t
}

// does has the User ask for a service: accepted, carried out and answered, a minute each.
func (t *tale) does(srv string, result byte) *tale {
	if result == 0 {
		switch srv {
		case srvSwitch:
			t.is.Mode = servicerequests.Credit
		case srvArm:
			t.is.Supply = servicerequests.Armed
		}
	}
	t.counter++
	t.Meter.Accepted = append(t.Meter.Accepted, history.Accepted{Counter: t.counter, SRV: srv, At: t.now})
	t.order++
	t.now += minute
	t.Meter.Carried = append(t.Meter.Carried, history.Carried{Order: t.order, Counter: t.counter, SRV: srv, At: t.now, Result: result, State: t.is})
	t.now += minute
	t.Meter.Answers = append(t.Meter.Answers, history.Answer{Counter: t.counter, Code: servicerequests.Success, At: t.now})
	t.now += minute
	return t
}

// loses takes the last answer back.
func (t *tale) loses() *tale {
	t.Meter.Answers = t.Meter.Answers[:len(t.Meter.Answers)-1]
	return t
}

// reads reads supply and mode.
func (t *tale) reads() *tale { return t.does(srvSupply, 0).does(srvMode, 0) }

// called has the engine say what the last answers say.
func (t *tale) called(verdict, reason string) *tale {
	v := &t.verdict
	v.Verdict, v.Reason = verdict, reason
	for _, c := range t.Meter.Carried {
		if delivered(t.Meter, c.Counter) == 0 {
			continue
		}
		balance := c.State.Balance
		if c.Order < t.firstSwitch() {
			switch c.SRV {
			case srvMode:
				v.Found.Mode = c.State.Mode
			case srvSupply:
				v.Found.Supply = c.State.Supply
			case srvBalance:
				v.Found.Balance = &balance
			}
		}
		switch c.SRV {
		case srvMode:
			v.End.Mode, v.ModeCounter = c.State.Mode, c.Counter
		case srvSupply:
			v.End.Supply, v.SupplyCounter = c.State.Supply, c.Counter
		case srvBalance:
			v.End.Balance = &balance
		}
	}
	t.Ended = t.Began
	t.Ended.Mode, t.Ended.Supply, t.Ended.Locked = t.is.Mode, t.is.Supply, t.is.Locked
	return t
}

const press = "safe once the consumer presses the button"

// unarmed is a home that was found off and switched, with its reads.
func unarmed() *tale { return newTale().reads().does(srvBalance, 0).does(srvSwitch, 0).reads() }

// provenEarly is one whose switch came long after its reads were told.
func provenEarly() *tale {
	t := newTale().reads().does(srvBalance, 0)
	t.now += 30 * minute
	return t.does(srvSwitch, 0).reads()
}

// armed is one that was armed as well, and read back.
func armed() *tale { return unarmed().does(srvArm, 0).reads().called(record.VerdictArmed, press) }

// leftOff is one that was left off, and what the engine says of it.
func leftOff(t *tale, reason string) *tale { return t.called(record.VerdictNotSafe, reason) }

func (t *tale) with(change func(*tale)) *tale {
	change(t)
	return t
}

func TestTruth(t *testing.T) {
	pounds := func(n servicerequests.Millipence) *servicerequests.Millipence { return &n }
	tests := []struct {
		name string
		tale *tale
		want []Kind
	}{
		{"an armed home", armed(), nil},
		{"a home on supply", armed().with(func(t *tale) {
			t.is.Supply = servicerequests.Enabled
			t.reads().called(record.VerdictOnSupply, "")
		}), nil},

		{"on supply, though armed", armed().called(record.VerdictOnSupply, ""), []Kind{WrongVerdict}},
		{"another end than was read", armed().with(func(t *tale) { t.verdict.End.Supply = servicerequests.Enabled }), []Kind{WrongVerdict}},
		{"a verdict that has no such name", armed().with(func(t *tale) { t.verdict.Verdict = "safe" }), []Kind{WrongVerdict, WrongReason}},
		{"rests on a counter that was never carried out", armed().with(func(t *tale) { t.verdict.ModeCounter = 99 }), []Kind{WrongVerdict}},
		{"rests on another read", armed().with(func(t *tale) { t.verdict.SupplyCounter = t.verdict.ModeCounter }), []Kind{WrongVerdict}},
		{"rests on an answer that never came", armed().loses(), []Kind{WrongVerdict}},
		{"rests on an answer that was bent", armed().with(func(t *tale) { t.Meter.Answers[len(t.Meter.Answers)-1].Bent = true }), []Kind{WrongVerdict}},
		{"a command after the read", armed().does(srvSwitch, 0), []Kind{WrongVerdict}},
		{"excluded, though registered", armed().called(record.VerdictExcluded, record.ReasonTransferred+" (E4)"), []Kind{WrongVerdict, WrongReason}},
		{"excluded by the DCC's word", newTale().with(func(t *tale) {
			t.Registered = false
			t.Meter.Replies = []history.Reply{{SRV: srvSupply, Code: servicerequests.NotRegistered}}
		}).called(record.VerdictExcluded, record.ReasonTransferred+" (E4)"), nil},
		{"excluded by a person", armed().with(func(t *tale) { t.ordered = true }).called(record.VerdictExcluded, "suppressed"), nil},

		{"unknown, though read", armed().called(record.VerdictUnknown, "not read back"), []Kind{WrongUnknown}},
		{"unknown, the read-back was lost", unarmed().does(srvArm, 0).does(srvSupply, 0).does(srvMode, 0).loses().called(record.VerdictUnknown, "no answer"), nil},
		{"unknown, a command came after the reads", unarmed().does(srvArm, 0).called(record.VerdictUnknown, "not read back"), nil},
		{"unknown, the sweep was broken off", armed().with(func(t *tale) { t.Finished = false }).called(record.VerdictUnknown, noVerdict), nil},
		{"unknown, the sweep was broken off, and it says more", armed().with(func(t *tale) { t.Finished = false }).called(record.VerdictUnknown, "not read back"), []Kind{WrongUnknown}},
		{"unknown, an alert came after the reads", armed().with(func(t *tale) {
			t.Meter.Alerts = []history.Alert{{Code: alertLocked, Raised: t.now, Delivered: t.now}}
		}).called(record.VerdictUnknown, "not read back"), nil},
		{"unknown, an alert came before the reads", armed().with(func(t *tale) {
			t.Meter.Alerts = []history.Alert{{Code: alertLocked, Raised: 1, Delivered: 2}}
		}).called(record.VerdictUnknown, "not read back"), []Kind{WrongUnknown}},

		{"a reason that nobody knows", armed().called(record.VerdictArmed, "all is well"), []Kind{WrongReason}},
		{"no answer, though there was one", unarmed().does(srvArm, 0).called(record.VerdictUnknown, "no answer: E21"), []Kind{WrongReason}},
		{"unknown by the code that came", newTale().with(func(t *tale) {
			t.does(srvMode, 0).loses()
			t.Meter.Answers = append(t.Meter.Answers, history.Answer{Counter: t.counter, Code: servicerequests.NoResponse, At: t.now})
		}).called(record.VerdictUnknown, "no answer: E21"), nil},
		{"unknown by another code", newTale().with(func(t *tale) {
			t.does(srvMode, 0).loses()
			t.Meter.Answers = append(t.Meter.Answers, history.Answer{Counter: t.counter, Code: servicerequests.NoResponse, At: t.now})
		}).called(record.VerdictUnknown, "no answer: E20"), []Kind{WrongReason}},

		{"found in a mode that was not read", armed().with(func(t *tale) { t.verdict.Found.Mode = servicerequests.Credit }), []Kind{WrongFound}},
		{"found in a state that was not read", armed().with(func(t *tale) { t.verdict.Found.Supply = servicerequests.Enabled }), []Kind{WrongFound}},
		{"found with a balance that was not read", armed().with(func(t *tale) { t.verdict.Found.Balance = pounds(7) }), []Kind{WrongFound}},
		{"found by a read that was carried out after the switch", armed().with(func(t *tale) {
			t.servedLast(0) // the supply
		}), []Kind{WrongFound}},
		{"found in Credit by a read that was carried out after the switch", armed().with(func(t *tale) {
			t.Meter.Carried[1].State.Mode, t.verdict.Found.Mode = servicerequests.Credit, servicerequests.Credit
			t.servedLast(1)
		}), []Kind{WrongFound}},
		{"found in Prepayment by a read that was carried out after a switch that was refused", newTale().does(srvMode, 0).does(srvSwitch, 13).with(func(t *tale) {
			t.verdict.Found.Mode = servicerequests.Prepayment
			t.verdict.Verdict, t.verdict.Reason = record.VerdictUnknown, "not read back"
			t.servedLast(0)
		}), nil},
		{"nothing is known of how it was found", armed().with(func(t *tale) { t.verdict.Found = record.Observation{} }), nil},

		{"ends with another balance", armed().with(func(t *tale) { t.verdict.End.Balance = pounds(7) }), []Kind{WrongBalance}},
		{"ends with an older balance", armed().with(func(t *tale) {
			t.is.Balance = -50
			t.does(srvBalance, 0)
		}), []Kind{WrongBalance}},
		{"ends with the proxy's balance", armed().with(func(t *tale) {
			t.Proxy = history.Device{
				Accepted: []history.Accepted{{Counter: 50, SRV: srvBalance}},
				Carried:  []history.Carried{{Order: 50, Counter: 50, SRV: srvBalance, State: meter.State{Balance: 9}}},
				Answers:  []history.Answer{{Counter: 50, Code: servicerequests.Success, At: 1}},
			}
			t.verdict.End.Balance = pounds(9)
		}), nil},

		{"missed", leftOff(unarmed(), "no read was fresh enough to arm on"), []Kind{WrongReason, WronglyOff}},
		{"missed, with a reason that is not so", leftOff(unarmed(), "disabled with credit left"), []Kind{WrongReason, WronglyOff}},
		{"missed, the reads came too late", leftOff(unarmed().with(func(t *tale) {
			t.Meter.Answers[4].At += 3 * history.Instant(time.Hour)
		}), "no read was fresh enough to arm on"), []Kind{WronglyOff}},

		{"armed late", armed().with(func(t *tale) { t.later(srvArm, 5*time.Hour) }), []Kind{WronglyLate}},
		{"armed late, a read was lost meanwhile", armed().with(func(t *tale) {
			t.later(srvArm, 5*time.Hour)
			t.Meter.Accepted = append(t.Meter.Accepted, history.Accepted{Counter: 60, SRV: srvSupply, At: t.Meter.Accepted[6].At - 1})
		}), nil},
		{"armed late, somebody had paused and resumed before", armed().with(func(t *tale) {
			t.later(srvArm, 5*time.Hour)
			t.held = heldIn([]report.Event{{At: time.Unix(0, 1), What: "pause"}, {At: time.Unix(0, 2), What: "resume"}})
		}), []Kind{WronglyLate}},
		{"armed late, somebody had paused", armed().with(func(t *tale) {
			t.later(srvArm, 5*time.Hour)
			t.held = heldIn([]report.Event{
				{At: t.Meter.Accepted[5].At.Time(), What: "pause"}, {At: t.Meter.Accepted[6].At.Time(), What: "resume"},
			})
		}), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			j := judge([]claim{test.tale.claim}, func(servicerequests.EUI) Facts { return test.tale.Facts }, test.tale.Terms)
			var got []Kind
			for _, m := range j.Wrong {
				got = append(got, m.Kind)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s%+v", diff, j.Wrong)
			}
			if j.checked != 1 || j.mismatches != min(1, len(test.want)) {
				t.Errorf("%+v", j)
			}
		})
	}
}

// servedLast has what was carried out at a place come after everything else, as a hub may
// serve what waits for a meter.
func (t *tale) servedLast(place int) {
	c := t.Meter.Carried[place]
	c.Order = t.order + 1
	t.Meter.Carried = append(slices.Delete(t.Meter.Carried, place, place+1), c)
}

// later has everything from the first command of a service on happen later.
func (t *tale) later(srv string, by time.Duration) {
	from := t.Meter.Accepted[slices.IndexFunc(t.Meter.Accepted, func(a history.Accepted) bool { return a.SRV == srv })].At
	move := func(at *history.Instant) {
		if *at >= from {
			*at += history.Instant(by)
		}
	}
	for i := range t.Meter.Accepted {
		move(&t.Meter.Accepted[i].At)
		move(&t.Meter.Carried[i].At)
		move(&t.Meter.Answers[i].At)
	}
}

// TestTruthExcuses: a home that was left off has an excuse where something went wrong on
// the way, and is none that could have been helped where no permitted command helps.
func TestTruthExcuses(t *testing.T) {
	fresh := "no read was fresh enough to arm on"
	tests := []struct {
		name           string
		tale           *tale
		missed, excuse bool
	}{
		{"nothing went wrong", leftOff(unarmed(), fresh), true, false},
		{"the refusal of emergency credit is to be expected", leftOff(unarmed().does("2.5", 13), fresh), true, false},
		{"an answer was lost", leftOff(unarmed().does(srvBalance, 0).loses(), fresh), true, true},
		{"an answer was bent", leftOff(unarmed().with(func(t *tale) { t.Meter.Answers[0].Bent = true }), fresh), true, true},
		{"a reply was bent", leftOff(unarmed().with(func(t *tale) { t.Meter.Replies = []history.Reply{{SRV: srvArm, Bent: true, At: t.now}} }), fresh), true, true},
		{"the DCC refused a request", leftOff(unarmed().with(func(t *tale) {
			t.Meter.Replies = []history.Reply{{SRV: srvArm, Code: servicerequests.NoSuchDevice, At: t.now}}
		}), fresh), true, true},
		{"the meter refused", leftOff(unarmed().does(srvArm, 13), "arm refused"), true, true},
		{"the alert was lost", leftOff(unarmed().with(func(t *tale) { t.Meter.Alerts = []history.Alert{{Code: alertBelow, Raised: t.now}} }), fresh), true, true},
		{"the sweep was broken off", leftOff(unarmed().with(func(t *tale) { t.Finished = false }), fresh), true, true},

		{"armed", armed(), false, false},
		{"off in Credit from the start", leftOff(newTale().with(func(t *tale) {
			t.Began.Mode, t.is.Mode = servicerequests.Credit, servicerequests.Credit
		}).reads(), "found in credit and disabled"), false, false},
		{"off with credit left", leftOff(newTale().with(func(t *tale) { t.Began.Balance, t.is.Balance = 5, 5 }).reads(), "disabled with credit left"), false, false},
		{"locked", leftOff(unarmed().with(func(t *tale) { t.is.Locked = true }), fresh), false, false},
		{"out of reach", leftOff(unarmed().with(func(t *tale) { t.Began.Reachable = false }), fresh), false, false},
		{"another supplier's", leftOff(unarmed().with(func(t *tale) { t.Registered = false }), fresh), false, false},
		{"a person's matter by its alert", leftOff(unarmed().with(func(t *tale) { t.Meter.Alerts = []history.Alert{{Code: alertLocked}} }), fresh), false, false},
		{"a person's matter by the records", leftOff(unarmed().with(func(t *tale) { t.target.History = []string{"disabled_by_supplier"} }), fresh), false, false},
		{"arming is not permitted", leftOff(unarmed().with(func(t *tale) {
			t.Permits = func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
				return s != servicerequests.ArmSupply
			}
		}), fresh), false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			missed, excuse := test.tale.missed()
			if missed != test.missed || (excuse != "") != test.excuse {
				t.Errorf("missed: %v, excuse %q", missed, excuse)
			}
			j := judge([]claim{test.tale.claim}, func(servicerequests.EUI) Facts { return test.tale.Facts }, test.tale.Terms)
			if excused := test.missed && test.excuse; (j.excused == 1) != excused || (j.kinds()[string(WronglyOff)] == 1) != (test.missed && !test.excuse) {
				t.Errorf("%+v", j)
			}
		})
	}
}

// TestTruthShare: of those that could answer, 97 % must be safe, or all that can be helped.
func TestTruthShare(t *testing.T) {
	lost := func() *tale { return newTale().does(srvMode, 0).loses().called(record.VerdictUnknown, "no answer") }
	helpless := func() *tale {
		return leftOff(newTale().with(func(t *tale) { t.Began.Balance, t.is.Balance = 5, 5 }).reads().does(srvBalance, 0).does(srvSwitch, 0).reads(), "disabled with credit left")
	}
	away := func() *tale { return lost().with(func(t *tale) { t.Began.Reachable = false }) }
	tests := []struct {
		name                        string
		safe, lost, helpless, aways int
		demanded, few               bool
	}{
		{"all safe", 100, 0, 0, 0, true, false},
		{"97 %", 97, 3, 0, 0, true, false},
		{"96 %", 96, 4, 0, 0, true, true},
		{"96 %, on a day that is not calm", 96, 4, 0, 0, false, false},
		{"those out of reach do not count", 97, 0, 0, 10, true, false},
		{"a small fleet with some whom nothing helps", 10, 0, 2, 0, true, false},
		{"a small fleet, and one that was lost", 10, 1, 2, 0, true, true},
		{"no meter", 0, 0, 0, 0, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var claims []claim
			tales := map[servicerequests.EUI]*tale{}
			add := func(n int, tell func() *tale) {
				for range n {
					next := tell()
					next.device = servicerequests.EUI(len(claims) + 1)
					tales[next.device] = next
					claims = append(claims, next.claim)
				}
			}
			add(test.safe, armed)
			add(test.lost, lost)
			add(test.helpless, helpless)
			add(test.aways, away)
			terms := newTale().Terms
			terms.AtLeast = test.demanded
			j := judge(claims, func(d servicerequests.EUI) Facts { return tales[d].Facts }, terms)
			if few := j.kinds()[string(WrongShare)] == 1; few != test.few || j.mismatches != len(j.Wrong) || len(j.Wrong) > 1 {
				t.Errorf("%+v", j)
			}
			if could := test.safe + test.lost + test.helpless; j.could != could || could > 0 && j.of() != float64(test.safe)/float64(could) {
				t.Errorf("share %+v", j.safeShare)
			}
		})
	}
}

// TestTruthReasons has each reason borne out by a history, and refuses it of another.
func TestTruthReasons(t *testing.T) {
	unknown := func(t *tale) *tale { return t.called(record.VerdictUnknown, "") }
	notSafe := func(t *tale) *tale { return t.called(record.VerdictNotSafe, "") }
	replied := func(srv string, code servicerequests.ResponseCode, bent bool) func(*tale) {
		return func(t *tale) {
			t.Meter.Replies = append(t.Meter.Replies, history.Reply{SRV: srv, Code: code, Bent: bent})
		}
	}
	raised := func(code uint16) func(*tale) {
		return func(t *tale) {
			t.Meter.Alerts = append(t.Meter.Alerts, history.Alert{Code: code, Raised: t.now, Delivered: t.now})
		}
	}
	balance := func(n servicerequests.Millipence) func(*tale) {
		return func(t *tale) { t.Began.Balance, t.is.Balance = n, n }
	}
	inCredit := func(t *tale) { t.Began.Mode, t.is.Mode = servicerequests.Credit, servicerequests.Credit }
	found := func(s servicerequests.SupplyState) func(*tale) {
		return func(t *tale) { t.Began.Supply, t.is.Supply = s, s }
	}
	goesOff := func(t *tale) { t.is.Supply = servicerequests.Disabled }
	tests := []struct {
		reason  string
		so, not *tale
	}{
		{
			"", armed().with(found(servicerequests.Enabled)).reads().called(record.VerdictOnSupply, ""),
			newTale().with(inCredit).with(found(servicerequests.Enabled)).reads().with(func(t *tale) {
				t.target.History = []string{"pending_future_dated_mode"}
			}).called(record.VerdictOnSupply, ""),
		},
		{"a future-dated switch may still be stored on the meter", newTale().with(inCredit).with(found(servicerequests.Enabled)).reads().with(func(t *tale) {
			t.target.History = []string{"pending_future_dated_mode"}
		}).called(record.VerdictOnSupply, ""), armed().with(found(servicerequests.Enabled)).reads().called(record.VerdictOnSupply, "")},
		{press, armed(), nil},
		{
			record.ReasonTransferred + " (E4)", newTale().with(replied(srvSupply, servicerequests.NotRegistered, false)).called(record.VerdictExcluded, ""),
			newTale().called(record.VerdictExcluded, ""),
		},
		{record.ReasonTransferred + " (N27, change of supplier)", gone(newTale(), history.Instant(9*time.Hour)), gone(newTale(), 0)},
		{record.ReasonLeaves + " on 1970-01-01T10:00:00Z", leaver(10 * time.Hour), leaver(11 * time.Hour)},
		{"suppressed", newTale().with(func(t *tale) { t.ordered = true }).called(record.VerdictExcluded, ""), newTale().called(record.VerdictExcluded, "")},

		{noVerdict, unknown(newTale().with(func(t *tale) { t.Finished = false })), unknown(newTale())},
		{
			refusedInRun,
			unknown(newTale().with(func(t *tale) { t.Finished = false }).with(replied(srvSupply, servicerequests.NotRegistered, false))),
			unknown(newTale().with(replied(srvSupply, servicerequests.NotRegistered, false))),
		},
		{"held for a person: SRV 7.4 answered E99, whose meaning is not known", unknown(newTale().with(replied(srvSupply, "E99", false))), unknown(newTale())},
		{"SRV 6.2.9 rejected: E19 (unknown device)", unknown(newTale().with(replied(srvMode, "E19", false))), unknown(newTale().with(replied(srvSupply, "E19", false)))},
		{"SRV 7.4: no answer that could be proven", unknown(newTale().with(replied(srvSupply, "", true))), unknown(newTale().reads())},
		{"no answer", unknown(newTale().does(srvSupply, 0).loses()), unknown(newTale().reads())},
		{"no answer; the sweep's retries are used up", unknown(newTale().does(srvSupply, 0).loses()), unknown(newTale().reads())},
		{"SRV 7.4 refused by the meter: 250", unknown(newTale().does(srvSupply, 250)), unknown(newTale().does(srvSupply, 3))},
		{"not read back", unknown(newTale().reads().does(srvSwitch, 0)), unknown(newTale().reads().loses())},

		{"time bought: emergency credit is active until it is spent", notSafe(newTale().reads().does("2.5", 0)), notSafe(newTale().reads().does("2.5", 13))},
		{"in prepayment: switching is not part of this sweep", notSafe(newTale().reads().with(func(t *tale) { t.Switches = false })), notSafe(newTale().reads())},
		{"switch refused by the meter: 13", notSafe(newTale().does(srvSwitch, 13).reads()), notSafe(newTale().does(srvSwitch, 12).reads())},
		{"held for a person: SRV 1.6 answered E99, whose meaning is not known", notSafe(newTale().reads().with(replied(srvSwitch, "E99", false))), notSafe(newTale().reads())},
		{"switch rejected: E5", notSafe(newTale().reads().with(replied(srvSwitch, "E5", false))), notSafe(newTale().reads())},
		{"meter reads prepayment after it accepted the switch", notSafe(newTale().does(srvSwitch, 0).with(func(t *tale) {
			t.is.Mode = servicerequests.Prepayment
		}).reads()), notSafe(newTale().reads())},
		{"switch got no answer", notSafe(newTale().does(srvSwitch, 13).loses().reads()), notSafe(newTale().does(srvSwitch, 13).reads())},

		{"arm refused", notSafe(unarmed().does(srvArm, 13).reads()), notSafe(unarmed())},
		{"arm rejected: E5", notSafe(unarmed().with(replied(srvArm, "E5", false))), notSafe(unarmed())},
		{"arm: no answer that could be proven", notSafe(unarmed().with(replied(srvArm, "", true))), notSafe(unarmed())},
		{"disabled after arm", notSafe(unarmed().does(srvArm, 0).with(goesOff).reads()), notSafe(unarmed())},
		{"disabled by the supplier", notSafe(unarmed().with(func(t *tale) { t.target.History = []string{"disabled_by_supplier"} })), notSafe(unarmed())},
		{"disabled then locked by the meter (81BE)", notSafe(unarmed().with(raised(0x81BE))), notSafe(unarmed().with(raised(0x81BF)))},
		{"gas flow fault (81BF)", notSafe(unarmed().with(raised(0x81BF))), notSafe(unarmed())},
		{"gas flow fault (81B5)", notSafe(unarmed().with(raised(0x81B5))), notSafe(unarmed().with(raised(0x81B4)))},
		{"turned off after it was read as armed", notSafe(armed().with(goesOff).reads()), notSafe(unarmed())},
		{"arming is not permitted by the direction", notSafe(unarmed().with(func(t *tale) {
			t.Permits = func(servicerequests.Service, servicerequests.DeviceType) bool { return false }
		})), notSafe(unarmed())},
		{"how it was found was not proven before the switch", notSafe(newTale().does(srvSupply, 0).does(srvSwitch, 0).reads()), notSafe(provenEarly())},
		{"found in credit and disabled", notSafe(newTale().with(inCredit).reads()), notSafe(unarmed())},
		{"a stored switch to prepayment has run: it may have been off before", notSafe(unarmed().with(raised(alertFutureDated))), notSafe(unarmed())},
		{"turned off after it was found enabled", notSafe(newTale().with(found(servicerequests.Enabled)).reads().with(goesOff).does(srvSwitch, 0).reads()), notSafe(unarmed())},
		{"disabled, balance not known", notSafe(newTale().reads().does(srvBalance, 0).loses().does(srvSwitch, 0).reads()), notSafe(unarmed())},
		{"disabled with credit left", notSafe(newTale().with(balance(5)).reads().does(srvBalance, 0).does(srvSwitch, 0).reads()), notSafe(unarmed())},
		{"no read was fresh enough to arm on", notSafe(unarmed().with(func(t *tale) { t.Meter.Answers[4].At += 2 * 60 * minute })), notSafe(unarmed())},
		{"read again and found off", notSafe(armed().with(goesOff).reads().with(func(t *tale) { t.Finished = false })), notSafe(armed().with(goesOff).reads())},
	}
	used := map[string]bool{}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			r := test.so.row
			r.verdict.Reason = test.reason
			if text := r.wrongReason(); text != "" {
				t.Errorf("a history that bears it out: %s", text)
			}
			for _, reason := range reasons {
				if reason.verdict == r.verdict.Verdict && reason.says.MatchString(test.reason) {
					used[reason.verdict+" "+reason.says.String()] = true
				}
			}
			if test.not == nil {
				return
			}
			r = test.not.row
			r.verdict.Reason = test.reason
			if r.wrongReason() == "" {
				t.Error("a history that does not bear it out: nothing is said")
			}
		})
	}
	for _, reason := range reasons {
		if name := reason.verdict + " " + reason.says.String(); !used[name] {
			t.Errorf("no test of the reason %s", name)
		}
	}
}
