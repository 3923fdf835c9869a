package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// Weekly is what the Shared Resource Provider feeds into the weekly report on the
// failed supplier's certificates (SEC modification MP134A: at least weekly, with
// the reasons for going on). It holds aggregates only, and no device.
type Weekly struct {
	Heading
	From time.Time `json:"from"` // not included, by the sweep's clock
	To   time.Time `json:"to"`   // included

	Planned    int         `json:"planned"`          // the denominator of Now and Before
	NotCovered int         `json:"not_covered"`      // portfolio rows that were rejected, beside Planned
	SMETS1     *SMETS1     `json:"smets1,omitempty"` // of NotCovered
	Now        Verdicts    `json:"now"`              // at To
	Before     Verdicts    `json:"before"`           // at From
	Rows       []WeeklyRow `json:"rows"`             // by fuel and region; they sum to the whole

	// Homes are both fuels together, Calls those that need a person at To: dark now, or armed.
	Homes       Homes            `json:"homes"`        // at To
	HomesBefore Homes            `json:"homes_before"` // at From
	Calls       Calls            `json:"calls"`
	CallList    CallProgress     `json:"call_list"`  // as the journal ends: how far the call centre is
	Priorities  []WeeklyPriority `json:"priorities"` // by the portfolio's, 0 first; they sum to Homes

	Transferred Transferred    `json:"transferred"`
	GoingOn     []ReasonMeters `json:"reasons_for_going_on"` // of meters that are not on supply, most first
	Notices     []Notice       `json:"solr_notices"`         // until To: the next supplier's, oldest first
}

// Heading says which sweep a report is of, and what it acted on.
type Heading struct {
	Environment string    `json:"environment"` // simulator or live
	SweepID     string    `json:"sweep_id"`
	PlanSHA256  string    `json:"plan_sha256"`
	Authority   Authority `json:"authority"`
}

func (r *Report) heading() Heading {
	return Heading{r.Summary.Environment, r.Summary.SweepID, r.Summary.PlanSHA256, r.Authority}
}

// WeeklyPriority is the homes of one priority, that of their most urgent meter.
type WeeklyPriority struct {
	Priority int   `json:"priority"`
	Homes    Homes `json:"homes"`
	Calls    Calls `json:"calls"`
}

// WeeklyRow is one fuel in one region.
type WeeklyRow struct {
	Fuel    string   `json:"fuel"` // electricity or gas
	Region  string   `json:"region"`
	Planned int      `json:"planned"`
	Now     Verdicts `json:"now"`
	Before  Verdicts `json:"before"`
}

// Transferred counts meters that the DCC says are another supplier's now.
type Transferred struct {
	Total    int `json:"total"`     // until To
	ThisWeek int `json:"this_week"` // after From
	Homes    int `json:"homes"`     // with a meter of Total

	// Planned is what the list of transfers says; nil: there was none.
	Planned *Transfers `json:"planned"`
}

// Transfers counts the meters of the plan that a list of transfers names.
type Transfers struct {
	Meters int `json:"meters"`
	Homes  int `json:"homes"`
	ToCome int `json:"to_come"` // of Meters: the DCC has not said yet that they are another supplier's
}

// ReasonMeters is a reason with the number of meters it holds for.
type ReasonMeters struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	Meters  int    `json:"meters"`
}

const week = 7 * 24 * time.Hour

// Weekly draws the report of the seven days up to an instant of the sweep's clock. The
// list says which transfers are planned; nil: the one that the sweep had says so, if any.
func (r *Report) Weekly(to time.Time, transfers List) Weekly {
	if transfers == nil {
		transfers = r.listed()
	}
	w := Weekly{
		Heading: r.heading(), From: to.Add(-week).UTC(), To: to.UTC(), Planned: len(r.Meters), NotCovered: len(r.NotCovered), SMETS1: r.Summary.SMETS1,
	}
	type key struct {
		fuel   string
		region servicerequests.Region
	}
	rows := map[key]*WeeklyRow{}
	reasons := map[ReasonMeters]int{}
	for i := range r.Meters {
		m := &r.Meters[i]
		now, before := m.verdictAt(to), m.verdictAt(w.From)
		k := key{m.Target.Type.Fuel(), m.Target.Region}
		row := rows[k]
		if row == nil {
			row = &WeeklyRow{Fuel: k.fuel, Region: k.region.String()}
			rows[k] = row
		}
		row.Planned++
		row.Now.add(now)
		row.Before.add(before)
		w.Now.add(now)
		w.Before.add(before)
		if m.transferredAt(to) {
			w.Transferred.Total++
			if !m.transferredAt(w.From) {
				w.Transferred.ThisWeek++
			}
		}
		if now != record.VerdictOnSupply && now != record.VerdictExcluded {
			reasons[ReasonMeters{Verdict: now, Reason: m.reasonAt(to)}]++
		}
	}
	w.countHomes(r.homes(), transfers)
	for _, n := range r.Notices {
		if !n.At.After(to) {
			w.Notices = append(w.Notices, n)
		}
	}
	for _, row := range rows {
		w.Rows = append(w.Rows, *row)
	}
	slices.SortFunc(w.Rows, func(a, b WeeklyRow) int {
		return cmp.Or(cmp.Compare(a.Fuel, b.Fuel), cmp.Compare(a.Region, b.Region))
	})
	for reason, n := range reasons {
		reason.Meters = n
		w.GoingOn = append(w.GoingOn, reason)
	}
	slices.SortFunc(w.GoingOn, func(a, b ReasonMeters) int {
		return cmp.Or(cmp.Compare(b.Meters, a.Meters), cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(a.Reason, b.Reason))
	})
	return w
}

// countHomes counts homes, by priority and together.
func (w *Weekly) countHomes(homes []home, transfers List) {
	var byPriority [10]WeeklyPriority
	if transfers != nil {
		w.Transferred.Planned = &Transfers{}
	}
	for _, h := range homes {
		now := h.verdicts(func(m *Meter) string { return m.verdictAt(w.To) })
		need := h.need(w.To)
		w.Homes.add(now)
		w.HomesBefore.add(h.verdicts(func(m *Meter) string { return m.verdictAt(w.From) }))
		w.Calls.add(need)
		p := &byPriority[h.priority()]
		p.Homes.add(now)
		p.Calls.add(need)
		moved, listed := 0, 0
		for _, m := range h {
			gone := m.transferredAt(w.To)
			if gone {
				moved++
			}
			if _, named := transfers[m.Device]; named {
				if listed++; !gone {
					w.Transferred.Planned.ToCome++
				}
			}
		}
		if moved > 0 {
			w.Transferred.Homes++
		}
		if listed > 0 {
			w.Transferred.Planned.Meters += listed
			w.Transferred.Planned.Homes++
		}
	}
	for priority, p := range byPriority {
		if p.Homes.all() > 0 {
			p.Priority = priority
			w.Priorities = append(w.Priorities, p)
		}
	}
}

// text says what is known of transfers, planned and done.
func (t Transferred) text(meters, homes int) string {
	text := fmt.Sprintf("%d of %d meters, in %d of %d homes, are known to be another supplier's, %d meters of them since the week before. ",
		t.Total, meters, t.Homes, homes, t.ThisWeek)
	if t.Planned == nil {
		return text + "How many are planned is not known: no list of transfers was given (report --transfers)."
	}
	return text + fmt.Sprintf("The list of transfers names %d meters in %d homes; %d of these meters are still to come.",
		t.Planned.Meters, t.Planned.Homes, t.Planned.ToCome)
}

// changeAt is the change that stood at an instant; nil before the first.
func (m *Meter) changeAt(t time.Time) *Change {
	var last *Change
	for i := range m.Changes {
		if m.Changes[i].At.After(t) {
			break
		}
		last = &m.Changes[i]
	}
	return last
}

// verdictAt is the verdict that stood at an instant.
func (m *Meter) verdictAt(t time.Time) string {
	if c := m.changeAt(t); c != nil {
		return c.Verdict
	}
	return record.VerdictUnknown
}

// reasonAt is why, without what is one meter's alone.
func (m *Meter) reasonAt(t time.Time) string {
	c := m.changeAt(t)
	if c == nil {
		return NoVerdict
	}
	return c.Reason
}

// transferredAt says whether a meter was known to be another supplier's: by the DCC's E4,
// or by an alert.
func (m *Meter) transferredAt(t time.Time) bool {
	if told := m.Leaving.Told; !told.IsZero() && !told.After(t) {
		return true
	}
	c := m.changeAt(t)
	return c != nil && c.Verdict == record.VerdictExcluded && strings.HasPrefix(c.Reason, record.ReasonTransferred)
}

// writeJSON writes the report as one line.
func (w Weekly) writeJSON(out io.Writer) error { return json.NewEncoder(out).Encode(w) }

// writeCSV writes a line for each fuel and region, and one for all together:
// fuel, region, planned, then each verdict now and the week before, and the environment.
func (w Weekly) writeCSV(out io.Writer) error {
	header := []string{"fuel", "region", "planned"}
	for _, v := range record.Verdicts {
		header = append(header, v, v+"_week_before")
	}
	header = append(header, "environment")
	rows := [][]string{header}
	for _, row := range append(slices.Clone(w.Rows), WeeklyRow{"all", "all", w.Planned, w.Now, w.Before}) {
		line := []string{row.Fuel, row.Region, strconv.Itoa(row.Planned)}
		now, before := row.Now.list(), row.Before.list()
		for i := range record.Verdicts {
			line = append(line, strconv.Itoa(now[i]), strconv.Itoa(before[i]))
		}
		rows = append(rows, append(line, w.Environment))
	}
	return table.NewWriter(out).WriteAll(rows)
}

// list returns the numbers in the order of [record.Verdicts].
func (v Verdicts) list() [len(record.Verdicts)]int {
	return [...]int{v.OnSupply, v.Armed, v.NotSafe, v.Unknown, v.Excluded}
}
