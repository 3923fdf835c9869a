package report

import (
	"cmp"
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

// Need says what person a home needs, the gravest last.
type Need uint8

// The needs.
const (
	needNobody Need = iota
	needButton      // armed: the consumer must press the button
	needPerson      // off and not armed: somebody must act otherwise
)

// String is the kind in calls.csv.
func (n Need) String() string {
	return [...]string{"", "armed", "dark_not_armed"}[n]
}

// Call is one home that needs a person: a row of calls.csv.
type Call struct {
	Need     Need
	Priority int     // of its most urgent meter, 0 first to 9
	Hours    float64 // the longest that one of its supplies is known to be off
	Told     bool    // a meter's alert gave that moment; else it may be longer
	home     home
}

// calls lists the homes that need a person as the journal ends: by priority, then by
// hours without supply, longest first.
func (r *Report) calls() (list []Call) {
	for _, h := range r.homes() {
		c := Call{Need: h.need(r.Last), Priority: h.priority(), home: h}
		if c.Need == needNobody {
			continue
		}
		for _, m := range h {
			s := m.supplyAt(r.Last)
			if hours := s.hours(r.Last); m.need(r.Last) != needNobody && hours >= c.Hours {
				c.Hours, c.Told = hours, s.Told
			}
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b Call) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Hours, a.Hours))
	})
	return list
}

// callColumns are what calls.csv says of each fuel of a home.
var callColumns = []string{
	"verdict", "supply", "as_of", "age_hours", "off_since", "hours_off", "hours_off_are", "model", "button", "priority", "reason",
}

// WriteCalls writes calls.csv; see the package comment for its columns.
func (r *Report) WriteCalls(w io.Writer) error {
	out := table.NewWriter(w)
	header := []string{"priority", "kind", "chf_id", "csp_region", "mpxns", "device_ids", "hours_off", "hours_off_are"}
	for _, fuel := range []string{"electricity", "gas"} {
		for _, column := range callColumns {
			header = append(header, fuel+"_"+column)
		}
	}
	out.Write(append(header, "environment")...)
	for _, c := range r.calls() {
		out.Write(append(c.line(r.Last), r.Summary.Environment)...)
	}
	return out.End()
}

func (c Call) line(now time.Time) []string {
	electricity, gas := c.home.fuels(now)
	var mpxns, devices []string
	for _, m := range slices.Concat(electricity, gas) {
		if m.Target.MPxN != "" { // not redacted
			mpxns = append(mpxns, m.Target.MPxN)
		}
		devices = append(devices, m.Device.String())
	}
	line := []string{
		strconv.Itoa(c.Priority), c.Need.String(), c.home[0].Target.Hub.String(), c.home[0].Target.Region.String(),
		strings.Join(mpxns, " "), strings.Join(devices, " "), hours(c.Hours), bound(c.Told),
	}
	for _, meters := range [...]home{electricity, gas} {
		if len(meters) == 0 {
			line = append(line, make([]string, len(callColumns))...)
			continue
		}
		line = append(line, meters[0].call(now)...)
	}
	return line
}

// fuels parts a home's meters; of each fuel the one that needs a person most is first.
func (h home) fuels(now time.Time) (electricity, gas home) {
	for _, m := range h {
		if m.Target.Type == servicerequests.GSME {
			gas = append(gas, m)
		} else {
			electricity = append(electricity, m)
		}
	}
	for _, meters := range [...]home{electricity, gas} {
		slices.SortStableFunc(meters, func(a, b *Meter) int { return cmp.Compare(b.need(now), a.need(now)) })
	}
	return electricity, gas
}

// call has the call centre's data of one meter, in the order of callColumns.
func (m *Meter) call(now time.Time) []string {
	s := m.supplyAt(now)
	age, since, off, are := "", "", "", ""
	if !s.At.IsZero() {
		age = hours(now.Sub(s.At).Hours())
	}
	if !s.OffSince.IsZero() {
		since, off, are = timestamp(s.OffSince), hours(s.hours(now)), bound(s.Told)
	}
	button := ""
	if m.need(now) == needButton {
		button = buttonOf(m.Target)
	}
	return []string{
		m.Verdict.Verdict, s.State.String(), timestamp(s.At), age, since, off, are,
		m.Target.Model, button, strconv.Itoa(m.Target.Priority), m.why(s),
	}
}

// why says in words how a meter came into its state.
func (m *Meter) why(s Supply) string {
	v := m.Verdict
	switch {
	case v.Verdict == record.VerdictOnSupply && s.State != servicerequests.Enabled:
		return "an alert after the verdict says that the supply is off"
	case v.Reason == "" && v.Verdict == record.VerdictOnSupply:
		return "in credit mode and on"
	}
	return v.Reason
}

// bound says what is known of hours without supply.
func bound(told bool) string {
	if told {
		return "since_alert"
	}
	return "at_least"
}

// kindWords are the needs as people read them.
var kindWords = [...]string{
	needButton: "armed: press the button", needPerson: "dark and not armed",
}

// hoursWords tells hours without supply and what is known of them.
func hoursWords(c Call) string {
	if c.Told {
		return hours(c.Hours)
	}
	return "at least " + hours(c.Hours)
}

// table tells how many homes need a person.
func (c Calls) table(homes int) *grid {
	t := &grid{Head: []string{"home", "homes", "share", "meaning"}}
	for _, row := range [...]struct {
		kind    Need
		n       int
		meaning string
	}{
		{needButton, c.Armed, "a supply is armed, none is dark"},
		{needPerson, c.Dark, "a supply is off and not armed: somebody must act otherwise"},
	} {
		t.add(kindWords[row.kind], fmt.Sprintf("%d of %d", row.n, homes), percent(row.n, homes), row.meaning)
	}
	return t
}

func hours(h float64) string { return fmt.Sprintf("%.1f", h) }

// buttons are what consumers do at meters of a model to turn an armed supply on, by a part
// of the model's name in lower case (Landis+Gyr's manual of the E470).
var buttons = [...][2]string{
	{"e470", "press A; at 'Enable supply?' hold B for 2 seconds or more (it may ask for the privacy PIN)"},
}

// Instructions for a meter of another model. ASSUMPTION: makers differ.
const (
	anyElectricityButton = "at the meter choose 'Enable supply' (some: press A, then hold B; others: hold A and B for up to 10 seconds), or at the in-home display"
	anyGasButton         = "at the gas meter only: turn appliances off; wake the meter, hold B, confirm that they are off by holding A, wait for the valve"
)

// buttonOf says which button brings the supply back.
func buttonOf(t record.TargetBody) string {
	for _, b := range buttons {
		if strings.Contains(strings.ToLower(t.Model), b[0]) {
			return b[1]
		}
	}
	if t.Type == servicerequests.GSME {
		return anyGasButton
	}
	return anyElectricityButton
}
