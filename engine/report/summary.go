package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Summary is the sweep in numbers. Its JSON is part of the program's outside.
type Summary struct {
	Environment       string                   `json:"environment"` // simulator or live
	State             string                   `json:"state"`       // finished, halted, interrupted, ceased, or open: it runs, or was cut off
	Direction         string                   `json:"direction"`   // its reference
	Deadline          time.Time                `json:"deadline,omitzero"`
	BeganAt           time.Time                `json:"began_at,omitzero"` // the first record, by the sweep's clock
	AsOf              time.Time                `json:"as_of,omitzero"`    // and the last
	SweepID           string                   `json:"sweep_id"`
	PlanSHA256        string                   `json:"plan_sha256"`
	Meters            int                      `json:"meters"` // planned
	Verdicts          Verdicts                 `json:"verdicts"`
	NotCovered        int                      `json:"not_covered"`      // portfolio rows that were rejected
	SMETS1            *SMETS1                  `json:"smets1,omitempty"` // of NotCovered; nil: none
	Homes             Homes                    `json:"homes"`
	Calls             Calls                    `json:"calls"`
	FirstContact      FirstContacts            `json:"first_contact"`
	BlastRadius       record.BlastRadius       `json:"blast_radius"`
	Transfers         *Left                    `json:"transfers,omitempty"` // of homes that leave
	Requests          map[string]Classes       `json:"requests"`            // by SRV; only those that were used
	Refused           Refused                  `json:"refused"`
	ForbiddenCommands int                      `json:"forbidden_commands"`
	Counters          Counters                 `json:"counters"`
	Throttled         int                      `json:"throttled"`   // POSTs the DCC put off
	Quarantined       int                      `json:"quarantined"` // requests that the DCC's anomaly detection held back (DCC Alert AD1)
	DurationSeconds   float64                  `json:"duration_seconds"`
	OtherMessages     map[record.OtherKind]int `json:"other_messages"` // that answered nothing of the sweep
	RequestRate       float64                  `json:"service_requests_per_second"`
	Departures        []string                 `json:"departures,omitzero"` // of a rehearsal: settings that are not the shipped ones
	Truth             *Truth                   `json:"truth,omitempty"`     // dry runs only
	DarkHours         *DarkHours               `json:"dark_hours,omitempty"`
}

// Verdicts counts planned meters; the fields sum to Summary.Meters.
type Verdicts struct {
	OnSupply int `json:"on_supply"`
	Armed    int `json:"armed"`
	NotSafe  int `json:"not_safe"`
	Unknown  int `json:"unknown"`
	Excluded int `json:"excluded"`
}

// Homes counts homes: the planned meters behind one communications hub. A row
// that was rejected counts for no home, as it names none that can be trusted.
type Homes struct {
	AllOnSupply int `json:"all_on_supply"`
	Armed       int `json:"armed"` // at least one meter armed, the others on supply
	Other       int `json:"other"`
}

// Calls counts the homes that need a person: those of calls.csv. Homes.Armed is less than
// Armed where the other fuel of a home is not on supply either.
type Calls struct {
	Armed int `json:"armed"` // a supply is armed, none is dark: the consumer must press the button
	Dark  int `json:"dark"`  // a supply is off and not armed: somebody must act otherwise
}

// FirstContacts are the first contacts of each fuel.
type FirstContacts struct {
	Electricity FirstContact `json:"electricity"`
	Gas         FirstContact `json:"gas"`
}

// of is a device type's.
func (f *FirstContacts) of(kind servicerequests.DeviceType) *FirstContact {
	if kind == servicerequests.GSME {
		return &f.Gas
	}
	return &f.Electricity
}

// text says when the last meter of a fuel was contacted for the first time.
func (c FirstContact) text(fuel string) string {
	text := fmt.Sprintf("%d of %d %s meters", c.Contacted, c.Meters, fuel)
	if c.Contacted > 0 {
		text += fmt.Sprintf(", the last after %s", record.Span(c.LastSeconds))
	}
	return text
}

// departures says which settings of a rehearsal are not the shipped ones.
func (s *Summary) departures() string {
	return "Settings that are not the shipped ones: " + strings.Join(s.Departures, "; ") + "."
}

// homesFirst says how soon every home was reached, and how much was at stake at once.
func (s *Summary) homesFirst() []string {
	return []string{
		fmt.Sprintf("First contact: %s; %s.", s.FirstContact.Electricity.text("electricity"), s.FirstContact.Gas.text("gas")),
		fmt.Sprintf("Blast radius: %v.", s.BlastRadius),
	}
}

// FirstContact is that of one fuel's planned meters.
type FirstContact struct {
	record.Contact
	LastSeconds float64 `json:"last_seconds"` // LastAt, since the journal's first record
}

// Classes counts the requests of one SRV; the classes sum to Sent.
type Classes struct {
	Sent       int `json:"sent"`
	Success    int `json:"success"`
	Negative   int `json:"negative"`
	NoResponse int `json:"no_response"`
	Rejected   int `json:"rejected"`
	InDoubt    int `json:"in_doubt"`
	Unverified int `json:"unverified"`
}

// Refused counts messages that were never sent, never signed, or not proven.
type Refused struct {
	Unpermitted  int `json:"unpermitted"`
	Uncorrelated int `json:"uncorrelated"`
	Unverified   int `json:"unverified"`
}

// Counters tells of the originator counters in the journal, those of all
// originators together.
type Counters struct {
	Used   int    `json:"used"`
	First  uint64 `json:"first"`
	Last   uint64 `json:"last"`
	Reused int    `json:"reused"` // counters that stand in more than one request or signed command of an originator
}

// Truth is what the comparison with what the simulator did and delivered gave.
type Truth struct {
	Checked    int            `json:"checked"`
	Mismatches int            `json:"mismatches"`        // claims that are wrong, each counted once
	ByKind     map[string]int `json:"by_kind,omitempty"` // what is wrong with them; one claim may be wrong in several ways

	// Homes that permitted commands could have helped, which are still off because a
	// message was lost, refused or bent. Those without such an excuse are mismatches.
	MissedWithExcuse int `json:"missed_with_excuse"`

	// The share of the meters that could answer that is on supply or armed. On a calm
	// day too small a share is a mismatch.
	CouldAnswer int     `json:"could_answer"`
	ShareSafe   float64 `json:"share_safe"` // 0 to 1

	OtherTraffic *OtherTraffic `json:"other_traffic,omitempty"`
}

// OtherTraffic is the User's other traffic, as the simulator sent it and as the journal has
// it. Counted, Unjudged, Lost and Mistaken sum to Sent.
type OtherTraffic struct {
	Kinds    map[string]int `json:"kinds"`    // of those sent, as the simulator names them
	Sent     int            `json:"sent"`     // messages that the inbox has taken
	Counted  int            `json:"counted"`  // taken for what they are
	Unjudged int            `json:"unjudged"` // stored, and not judged yet as the sweep ended
	Lost     int            `json:"lost"`     // not in the journal: a mismatch
	Mistaken int            `json:"mistaken"` // taken for something else: a mismatch
}

// countCounters counts the counters of each originator, and of all together.
func countCounters(byOriginator map[servicerequests.EUI][]uint64) (sum Counters, each []OriginatorCounters) {
	for _, originator := range slices.Sorted(maps.Keys(byOriginator)) {
		all := byOriginator[originator]
		slices.Sort(all)
		different := slices.Compact(slices.Clone(all))
		c := Counters{
			Used: len(different), First: different[0], Last: different[len(different)-1], Reused: len(all) - len(different),
		}
		each = append(each, OriginatorCounters{originator, c})
		if sum.Used == 0 || c.First < sum.First {
			sum.First = c.First
		}
		sum.Last = max(sum.Last, c.Last)
		sum.Used += c.Used
		sum.Reused += c.Reused
	}
	return sum, each
}

// add counts a meter. A verdict that is not known is unknown, not lost.
func (v *Verdicts) add(verdict string) {
	switch verdict {
	case record.VerdictOnSupply:
		v.OnSupply++
	case record.VerdictArmed:
		v.Armed++
	case record.VerdictNotSafe:
		v.NotSafe++
	case record.VerdictExcluded:
		v.Excluded++
	default:
		v.Unknown++
	}
}

// all is how many homes were counted.
func (h Homes) all() int { return h.AllOnSupply + h.Armed + h.Other }

// add counts a home by the verdicts of its meters.
func (h *Homes) add(meters Verdicts) {
	switch {
	case meters.NotSafe+meters.Unknown+meters.Excluded > 0:
		h.Other++
	case meters.Armed > 0:
		h.Armed++
	default:
		h.AllOnSupply++
	}
}

// add counts a home.
func (c *Calls) add(n Need) {
	switch n {
	case needButton:
		c.Armed++
	case needPerson:
		c.Dark++
	}
}

// verdicts counts a home's meters by their verdicts.
func (h home) verdicts(of func(*Meter) string) (v Verdicts) {
	for _, m := range h {
		v.add(of(m))
	}
	return v
}

// add counts a request. A class that is not known is in doubt, not lost.
func (c *Classes) add(class record.Class) {
	c.Sent++
	switch class {
	case record.ClassSuccess:
		c.Success++
	case record.ClassNegative:
		c.Negative++
	case record.ClassNoResponse:
		c.NoResponse++
	case record.ClassRejected:
		c.Rejected++
	case record.ClassUnverified:
		c.Unverified++
	default:
		c.InDoubt++
	}
}
