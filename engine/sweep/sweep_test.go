package sweep

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// place is where a scripted fate strikes.
type place struct {
	command bool
	service servicerequests.Service
}

func placeOf(p piece) place { return place{p.Command, p.Service} }

// Each row is what the DCC or the meter does with the first 1.6, how that request ends,
// and which verdict the meter has in the end.
func TestOutcomes(t *testing.T) {
	transform, command := place{false, to}, place{true, to}
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
			d := newDriver(healthy())
			if c.fates != nil {
				d.strike(c.at.command, c.at.service, c.fates...)
			}
			posts := map[servicerequests.RequestID]int{}
			var first servicerequests.RequestID
			dial := d.OnDial
			d.OnDial = func(p piece) fate {
				if placeOf(p) == c.at {
					if posts[p.ID]++; len(posts) == 1 {
						first = p.ID
					}
				}
				if dial == nil {
					return taken
				}
				return dial(p)
			}
			if c.flight != "" {
				d.strikeFlight(to, c.flight)
			}
			d.finishAll()
			if got := strings.Join(d.Outcomes(to), " "); got != c.classes {
				t.Errorf("first 1.6 ended as %q, want %q", got, c.classes)
			}
			if c.posts != 0 && posts[first] != c.posts {
				t.Errorf("%d POSTs, want %d", posts[first], c.posts)
			}
			halt := d.m.run.halt
			switch {
			case c.halt != "":
				if halt == nil || halt.Reason != c.halt {
					t.Errorf("halt %v, want %s", halt, c.halt)
				}
				wantNoFaults(t, d)
			case halt != nil:
				t.Errorf("halted: %v", halt)
			default:
				if v := d.verdict(); v.Verdict != c.verdict {
					t.Errorf("verdict %s (%s), want %s", v.Verdict, v.Reason, c.verdict)
				}
				wantGood(t, d)
			}
		})
	}
}

// A refusal of the User says nothing about the meter whose request was refused: the next
// run goes on with it.
func TestRefusedUserGoesOnWithTheSameMeter(t *testing.T) {
	d := newDriver(healthy())
	d.strike(false, supply, "E2")
	d.finishAll()
	if d.m.run.halt == nil {
		t.Fatal("not halted")
	}
	d.drain()
	d.restart()
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

func TestRunOfHTTPRefusalsHalts(t *testing.T) {
	d := newDrive()
	for i := range servicerequests.EUI(20) {
		x := healthy()
		x.EUI += i * 16
		d.Add(x, ourEUI, servicerequests.South)
	}
	d.PerHub = 100
	d.OnPost = func(piece) fate { return badStatus }
	d.start()
	d.finishAll()
	if halt := d.m.run.halt; halt == nil || !strings.Contains(halt.Reason, "refuses every POST") {
		t.Fatalf("halt %v", halt)
	}
	// Somebody gives the User access again: nobody was lost by it.
	d.drain()
	d.OnPost = nil
	d.restart()
	d.finishAll()
	if n := d.m.counts.verdicts[record.VerdictOnSupply]; n != 20 {
		t.Errorf("%d of 20 on supply: %v", n, d.m.counts.verdicts)
	}
	wantGood(t, d)
}

func TestGateThatRefusesOneRequest(t *testing.T) {
	d := newDriver(healthy())
	d.OnSign = func(p piece) error {
		if p.Service == to && p.Command {
			return &signer.RefusedError{ID: p.ID, Err: gbcs.ErrNoPreCommand}
		}
		return nil
	}
	d.finishAll()
	if got := d.Outcomes(to); !slices.Equal(got, []string{record.ClassWithdrawn.String()}) {
		t.Errorf("1.6 ended as %v", got)
	}
	if v := d.verdict(); v.Verdict != record.VerdictNotSafe {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

func TestKeyThatFailsHalts(t *testing.T) {
	d := newDriver(healthy())
	broken := errors.New("HSM is gone")
	d.OnSign = func(p piece) error {
		if p.Command {
			return broken
		}
		return nil
	}
	d.finishAll()
	if halt := d.m.run.halt; halt == nil || !errors.Is(halt, broken) {
		t.Fatalf("halt: %v", halt)
	}
	d.OnSign = nil
	d.drain()
	d.restart()
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictOnSupply {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

// An answer that comes while a worker has the half waits for the worker.
func TestAnswerBeforeTheAcknowledgement(t *testing.T) {
	d := newDriver(healthy())
	r := d.m.ledger(0).openOf(supply)
	// A stranger guesses the counter before anything is signed.
	d.Deliver(proof.Delivery{ID: r.ID, Device: r.ID.Target, Code: servicerequests.Unreachable})
	d.take(0)
	if d.m.ledger(0).PendingWith(r.ID) == nil {
		t.Fatal("ended before it was sent")
	}
	for len(d.jobs) > 0 {
		d.work(0)
	}
	for len(d.Flights) > 0 {
		d.Arrive(0)
	}
	for len(d.Inbox) > 0 {
		d.take(0)
	}
	d.finishAll()
	if got := d.Outcomes(supply); !slices.Equal(got, []string{record.ClassSuccess.String()}) {
		t.Errorf("7.4 ended as %v", got)
	}
	wantGood(t, d)
}

// A lying DCC answers a Signed Pre-Command with the Pre-Command again: it is not signed a
// second time.
func TestPreCommandInPlaceOfAnAcknowledgement(t *testing.T) {
	d := newDriver(healthy())
	d.OnPost = func(p piece) fate {
		if p.Service == to && p.Command {
			d.Replies[d.Bodies[p]] = "pre-command of " + p.ID.String()
		}
		return taken
	}
	d.finishAll()
	if got := d.Outcomes(to); !slices.Equal(got, []string{record.ClassUnverified.String()}) {
		t.Errorf("1.6 ended as %v", got)
	}
	wantNoFaults(t, d)
}

func TestAlertReopensAMeter(t *testing.T) {
	d := newDriver(healthy())
	d.finishAll()
	x := d.Devices[0]
	x.Supply, x.Found.Supply = servicerequests.Disabled, servicerequests.Disabled
	d.Deliver(x.Alert(d.now, ledger.AlertLocked, 7))
	d.take(0)
	if d.m.counts.done != 0 {
		t.Fatal("a meter that is locked keeps its verdict")
	}
	d.finishAll()
	if v := d.verdict(); v.Verdict != record.VerdictNotSafe || v.Reason != "disabled then locked by the meter (81BE)" {
		t.Errorf("verdict %s (%s)", v.Verdict, v.Reason)
	}
	wantGood(t, d)
}

func TestHeadroom(t *testing.T) {
	now := epoch
	h := newBudgets(map[servicerequests.Service]Threshold{to: {Count: 4, Per: time.Hour}}).headroom
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
