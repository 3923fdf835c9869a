package plan

import (
	"strings"
	"testing"
	"time"
)

// A plan that cannot be says so, by when it begins.
func TestDoubts(t *testing.T) {
	begins := time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)
	hours := func(n float64) time.Time { return begins.Add(time.Duration(n * float64(time.Hour))) }
	for name, c := range map[string]struct {
		from, until float64 // of the direction, in hours from the beginning
		change      func(*Plan)
		says        []string
	}{
		"it fits":             {-1, 20, nil, nil},
		"the direction ended": {-2, -1, nil, []string{"the direction ended 2026-11-30 19:00 UTC"}},
		"it is to come":       {1, 20, nil, []string{"the direction begins 2026-11-30 21:00 UTC"}},
		"it is too short":     {-1, 1.5, nil, []string{"cannot be done: at the limits it takes until 2026-11-30 22:00 UTC at the soonest, and the direction ends 2026-11-30 21:30 UTC"}},
		"it may be too short": {-1, 3, nil, []string{"may not be done in time: it takes until 2026-12-01 00:00 UTC"}},
		"a limit is closed":   {-1, 20, func(p *Plan) { p.Estimate.Closed = []string{"region North"} }, []string{"the limit of region North is 0"}},
		"homes are late":      {-1, 20, func(p *Plan) { p.Estimate.Deadlines = []Deadline{{At: hours(9), Homes: 7, Late: 2}} }, []string{"2 of 7 homes are reached after 2026-12-01 05:00 UTC"}},
		"too slow to arm": {-1, 20, func(p *Plan) { p.Limits.User, p.Bounds.ArmFreshnessElectricity = 0.04, 60 }, []string{
			"it may arm nothing: at 0.04 POSTs a second the two of a 7.3 may take 1m40s, and the read that it rests on may be 1m0s old",
		}},
		"fast enough to arm":    {-1, 20, func(p *Plan) { p.Limits.User, p.Bounds.ArmFreshnessElectricity = 0.1, 60 }, nil},
		"none is late":          {-1, 20, func(p *Plan) { p.Estimate.Deadlines = []Deadline{{At: hours(9), Homes: 7}} }, nil},
		"it begins hours late":  {-9, 20, func(p *Plan) { p.StartsAt = hours(-8); p.Estimate.Deadlines = []Deadline{{At: hours(1), Homes: 7}} }, []string{"it was planned to begin 2026-11-30 12:00 UTC"}},
		"late, and still early": {-9, 20, func(p *Plan) { p.StartsAt = hours(-8); p.Estimate.Deadlines = []Deadline{{At: hours(9), Homes: 7}} }, nil},
	} {
		p := &Plan{Header: Header{StartsAt: begins, Estimate: Estimate{Seconds: 7200, LatestSeconds: 4 * 3600}}}
		p.Direction.NotBefore, p.Direction.NotAfter = hours(c.from), hours(c.until)
		if c.change != nil {
			c.change(p)
		}
		got := p.Doubts(begins)
		if len(got) != len(c.says) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, part := range c.says {
			if !strings.Contains(got[i], part) {
				t.Errorf("%s: %q lacks %q", name, got[i], part)
			}
		}
	}
}
