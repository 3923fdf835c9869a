package report

import (
	"fmt"
	"io"
	"time"
)

// DarkHours is what a sweep and its order are worth: for how long homes are without
// supply, by the simulator's truth, of one fleet with one seed. Dry runs only.
type DarkHours struct {
	Begins      time.Time `json:"begins"`     // by the sweep's clock
	OverHours   float64   `json:"over_hours"` // from then
	TopUps      bool      `json:"top_ups"`    // ASSUMPTION: consumers can still top up
	Press       Press     `json:"press"`      // ASSUMPTION: what consumers do once the supply is armed
	SweepHours  ByOrder   `json:"sweep_hours"`
	Electricity DarkFuel  `json:"electricity"`
	Gas         DarkFuel  `json:"gas"`
}

// Press is which share of consumers press the button of an armed supply, 0 to 1, and
// after how many minutes half of those have.
type Press struct {
	Share        float64 `json:"share"`
	AfterMinutes float64 `json:"median_minutes"`
}

// ByOrder holds something of a sweep by hours at risk and of one in the portfolio's order.
type ByOrder struct {
	AtRisk    float64 `json:"at_risk"`
	Portfolio float64 `json:"portfolio_order"`
}

// DarkFuel is one fuel's part. Its homes are meters: a home with two meters of the fuel
// counts as two, and reports say meters.
type DarkFuel struct {
	Homes     int       `json:"homes"`
	Reachable int       `json:"reachable_homes"` // neither out of reach for good nor another supplier's
	HomeHours HomeHours `json:"home_hours"`      // without supply, of the reachable homes together
	Per1000   HomeHours `json:"home_hours_per_1000_reachable_homes"`
}

// HomeHours are the cases that are compared.
type HomeHours struct {
	ByOrder
	NoSweep float64 `json:"no_sweep"`
	AtOnce  float64 `json:"all_at_once"` // as if every reachable home were safe as it begins: no order can do better
}

// NewDarkFuel reckons a fuel's part per thousand homes.
func NewDarkFuel(homes, reachable int, h HomeHours) DarkFuel {
	f := DarkFuel{Homes: homes, Reachable: reachable, HomeHours: h}
	if reachable > 0 {
		k := 1000 / float64(reachable)
		f.Per1000 = HomeHours{ByOrder{h.AtRisk * k, h.Portfolio * k}, h.NoSweep * k, h.AtOnce * k}
	}
	return f
}

// text says what is compared.
func (d *DarkHours) text() string {
	return fmt.Sprintf("Home-hours without supply in the %g hours from %s, of the meters that could be reached (a home's two fuels count apart); in brackets of 1,000 of them.",
		d.OverHours, minute(d.Begins))
}

// assumptions says what the comparison rests on.
func (d *DarkHours) assumptions() string {
	topUps := "nobody can top up"
	if d.TopUps {
		topUps = "consumers can still top up"
	}
	return fmt.Sprintf("ASSUMPTIONS: %s; %g of consumers press the button of an armed supply, half of those within %g minutes; how much energy homes use, and "+
		"which consumers take emergency credit and when; in every case alike. The sweep by hours at risk took %.1f hours, the one in the portfolio's order %.1f.",
		topUps, d.Press.Share, d.Press.AfterMinutes, d.SweepHours.AtRisk, d.SweepHours.Portfolio)
}

func (d *DarkHours) table() *grid {
	t := &grid{Head: []string{"fuel", "meters", "reachable", "swept by hours at risk", "in the portfolio's order", "no sweep", "all safe at once"}}
	for _, fuel := range [...]struct {
		name string
		DarkFuel
	}{{"electricity", d.Electricity}, {"gas", d.Gas}} {
		h, k := fuel.HomeHours, fuel.Per1000
		cell := func(hours, per1000 float64) string { return fmt.Sprintf("%.0f (%.0f)", hours, per1000) }
		t.add(fuel.name, fuel.Homes, fuel.Reachable, cell(h.AtRisk, k.AtRisk), cell(h.Portfolio, k.Portfolio), cell(h.NoSweep, k.NoSweep), cell(h.AtOnce, k.AtOnce))
	}
	return t
}

// writeText writes the comparison for people, in a tabwriter.
func (d *DarkHours) writeText(out io.Writer) {
	fmt.Fprintf(out, "\nDark hours. %s\n", d.text())
	t := d.table()
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for _, cell := range row {
			fmt.Fprintf(out, "%s\t", cell)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%s\n", d.assumptions())
}
