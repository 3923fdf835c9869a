package plan

import (
	"fmt"
	"time"
)

// Doubts says why the plan cannot be carried out in time, if it begins when it is to, or now
// where that is later: its direction ends too early, or some homes are not switched by a
// deadline. Each doubt is a sentence for people. Doubts refuse nothing: the planner is warned,
// preflight fails, and the approvers must know them.
func (p *Plan) Doubts(now time.Time) (doubts []string) {
	begins := p.StartsAt
	if now.After(begins) {
		begins = now
	}
	say := func(format string, args ...any) { doubts = append(doubts, fmt.Sprintf(format, args...)) }
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)).Round(time.Second) }
	minute := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
	d, e := &p.Direction, &p.Estimate
	soonest := begins.Add(e.Duration())
	latest := begins.Add(time.Duration(e.LatestSeconds * float64(time.Second)))
	switch {
	case begins.After(d.NotAfter):
		say("the direction ended %s: nothing may be sent", minute(d.NotAfter))
	case begins.Before(d.NotBefore):
		say("the direction begins %s: nothing may be sent before", minute(d.NotBefore))
	case soonest.After(d.NotAfter):
		say("it cannot be done: at the limits it takes until %s at the soonest, and the direction ends %s", minute(soonest), minute(d.NotAfter))
	case latest.After(d.NotAfter):
		say("it may not be done in time: it takes until %s where many meters are silent, and the direction ends %s", minute(latest), minute(d.NotAfter))
	}
	for _, limit := range e.Closed {
		say("it cannot be done: the limit of %s is 0", limit)
	}
	// A 7.3 is two POSTs after the read that it rests on, and others go between.
	if pace, fresh := p.Limits.User, p.Bounds.ArmFreshnessElectricity; pace > 0 && fresh > 0 && 4/pace > fresh {
		say("it may arm nothing: at %.3g POSTs a second the two of a 7.3 may take %v, and the read that it rests on may be %v old",
			pace, seconds(4/pace), seconds(fresh))
	}
	late := begins.Sub(p.StartsAt)
	for _, at := range e.Deadlines {
		switch {
		case at.Late > 0:
			say("%d of %d homes are reached after %s, when non-disablement ends: those without credit go off", at.Late, at.Homes, minute(at.At))
		case late > time.Hour && begins.Add(e.Duration()).After(at.At):
			say("it was planned to begin %s: beginning %s it may not be through by %s, when non-disablement ends", minute(p.StartsAt), minute(begins), minute(at.At))
		}
	}
	return doubts
}
