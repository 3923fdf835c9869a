package ledger

import (
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

type balanceRead struct {
	after  time.Duration
	pounds float64
}

// weighed is a meter with a portfolio's balance that is on supply in Prepayment, and whose
// balances were read after the given spans, in pounds.
func weighed(t *testing.T, body record.TargetBody, reads ...balanceRead) *actor {
	t.Helper()
	a := newActor(t, servicerequests.ESME)
	a.p.DailySpend, a.p.AtRiskWithin = 5*servicerequests.Pound, 24*time.Hour
	body.Type, body.Claimed, body.Originator = servicerequests.ESME, prepay, ourEUI
	a.m = New(a.m.Device, body)
	begun := a.now
	for i, r := range reads {
		a.now = begun.Add(r.after)
		a.m.observe(record.Observation{Supply: on, Balance: pounds(r.pounds)}, uint64(i)+1, a.now, a.now)
	}
	return a
}

// Two dated balances of one meter tell what the home uses, if they are a day apart and no
// top-up lies between. How it is known is told.
func TestSpendFollowsFromTwoBalances(t *testing.T) {
	const day = 24 * time.Hour
	begun := newActor(t, servicerequests.ESME).now
	claim := func(at time.Duration, credit float64, topUp time.Duration) record.TargetBody {
		body := record.TargetBody{BalanceEstimate: pounds(credit), BalanceAt: begun.Add(at)}
		if topUp != 0 {
			body.LastTopUp = begun.Add(topUp)
		}
		return body
	}
	for name, c := range map[string]struct {
		body   record.TargetBody
		reads  []balanceRead
		pounds float64 // a day; 0: the assumption
		by     string
	}{
		"nothing":                           {},
		"one read":                          {reads: []balanceRead{{0, 8}}},
		"the portfolio's alone":             {body: claim(-2*day, 20, 0)},
		"the portfolio's and a read":        {claim(-2*day, 20, 0), []balanceRead{{0, 8}}, 6, record.ByPortfolio},
		"of before the last top-up":         {body: claim(-2*day, 20, -day), reads: []balanceRead{{0, 8}}},
		"of after the last top-up":          {claim(-2*day, 20, -3*day), []balanceRead{{0, 8}}, 6, record.ByPortfolio},
		"topped up between":                 {body: claim(-2*day, 3, 0), reads: []balanceRead{{0, 8}}},
		"as it was":                         {body: claim(-2*day, 8, 0), reads: []balanceRead{{0, 8}}},
		"nearly as it was":                  {body: claim(-2*day, 8.5, 0), reads: []balanceRead{{0, 8}}},
		"dates too near":                    {body: claim(-23*time.Hour, 20, 0), reads: []balanceRead{{0, 8}}},
		"dated after the read":              {body: claim(2*day, 20, 0), reads: []balanceRead{{0, 8}}},
		"two reads":                         {reads: []balanceRead{{0, 8}, {day, 5}}, pounds: 3, by: record.ByReads},
		"two reads of one hour":             {reads: []balanceRead{{0, 8}, {time.Hour, 5}}},
		"two reads go before the portfolio": {claim(-2*day, 20, 0), []balanceRead{{0, 8}, {day, 5}}, 3, record.ByReads},
		"two reads too near, portfolio":     {claim(-2*day, 20, 0), []balanceRead{{0, 8}, {12 * time.Hour, 5}}, 6, record.ByPortfolio},
	} {
		a := weighed(t, c.body, c.reads...)
		s := a.p.Spend(a.m)
		switch {
		case c.by == "" && s != nil:
			t.Errorf("%s: %+v", name, *s)
		case c.by == "" && a.p.spend(a.m) != a.p.DailySpend:
			t.Errorf("%s: %v and not the assumption", name, a.p.spend(a.m))
		case c.by != "" && (s == nil || s.By != c.by || s.PerDay != *pounds(c.pounds) || a.p.spend(a.m) != s.PerDay):
			t.Errorf("%s: %+v, want %v by %s", name, s, c.pounds, c.by)
		}
		if v := a.p.Conclude(a.m); (v.Spend == nil) != (c.by == "") {
			t.Errorf("%s: the verdict says %+v", name, v.Spend)
		}
		if packed := bare(a.m); packed.Unpack(a.m.Pack()) != nil && len(c.reads) == 0 || len(c.reads) == 0 && packed.Estimate != a.m.Estimate {
			t.Errorf("%s: packed as %+v", name, packed.Estimate)
		}
	}
	// After the switch a balance is not used up any more.
	a := weighed(t, record.TargetBody{}, balanceRead{0, 8}, balanceRead{day, 5})
	if a.m.Counters.FirstSwitch = 1; a.p.Spend(a.m) != nil {
		t.Error("a balance of after the switch tells what is used up")
	}
	// Where credit in hand is said to last, no balance makes it end.
	a.m.Counters.FirstSwitch, a.p.DailySpend = 0, 0
	if r := a.p.RiskOf(a.m, a.now); r.Need != Lasting {
		t.Errorf("%+v", r)
	}
}

// A home that uses more than is assumed ends sooner, and is looked at again in time; one that
// uses less does not go before those that do.
func TestRiskGoesByTheHomesOwnRate(t *testing.T) {
	const day = 24 * time.Hour
	begun := newActor(t, servicerequests.ESME).now
	end := func(twoDaysBefore float64) Risk {
		body := record.TargetBody{}
		if twoDaysBefore > 0 {
			body.BalanceEstimate, body.BalanceAt = pounds(twoDaysBefore), begun.Add(-2*day)
		}
		a := weighed(t, body, balanceRead{0, 6})
		a.p.ActWithin = 2 * time.Hour
		r := a.p.RiskOf(a.m, a.now)
		if _, soon := a.p.Urgent(a.m, a.now); r.Need == Ending && !soon.Equal(r.Ends.Add(-a.p.ActWithin)) {
			t.Errorf("to be looked at again %v, it ends %v", soon, r.Ends)
		}
		return r
	}
	assumed, heavy, light := end(0), end(6+2*12), end(6+2*1)
	if assumed.Need != Lasting || light.Need != Lasting {
		t.Errorf("six pounds end at five a day %+v, at one a day %+v", assumed, light)
	}
	if heavy.Need != Ending || !heavy.Ends.Equal(begun.Add(day/2)) {
		t.Errorf("at twelve pounds a day: %+v", heavy)
	}
}
