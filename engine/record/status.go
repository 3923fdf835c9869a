package record

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Status is where a sweep stands. Every share has its denominator: Meters.
type Status struct {
	Identity
	Health Health `json:"health"` // of the sweep, in one word
	ToDo   []Task `json:"to_do"`  // for people, the most pressing first

	State     string         `json:"state"` // standing_by, starting, running, paused, stopping, halted, interrupted, ceased, finished; of a journal alone also planned, open
	Reason    string         `json:"reason,omitempty"`
	Cause     string         `json:"cause,omitempty"`    // of a halt: one of the Halt constants
	Since     time.Time      `json:"halted_at,omitzero"` // by the sweep's clock
	Meters    int            `json:"meters"`
	Started   int            `json:"started"`
	Done      int            `json:"done"`
	Verdicts  map[string]int `json:"verdicts"`
	InFlight  map[string]int `json:"in_flight"` // open requests by region
	Queued    int            `json:"queued"`    // halves waiting for a limit or a worker
	Throttled int            `json:"throttled"` // POSTs the DCC put off, in this run
	Elapsed   float64        `json:"elapsed_seconds"`
	// ETA is the time to go, by the sweep's clock: at the pace since the present wave
	// opened, or this run began, and with the soaks to come. Null while nothing is done,
	// in the first of several waves, and while one soaks: its pace is not that of the rest.
	ETA *float64 `json:"eta_seconds"`

	// ETARange is the time to go at the better and at the worse of two paces: ETA's,
	// and that of the last minute. Null while either is nothing.
	ETARange *[2]float64    `json:"eta_range_seconds"`
	Rate     float64        `json:"service_requests_per_second"` // ended in the last minute, by the sweep's clock
	Classes  map[string]int `json:"classes"`                     // of the requests that have ended
	Rates    Rates          `json:"rates"`                       // of the last ten seconds of real time

	// Heard is how long each region with planned meters has been silent.
	Heard []RegionHeard `json:"regions_heard,omitempty"`
	// Reasons are why meters are not safe or unknown, most meters first; one meter has one.
	Reasons []ReasonCount `json:"reasons,omitempty"`

	// Regions are the meters by region and fuel; they sum to Meters. Services are the
	// requests that have ended by SRV and class; they sum to Classes.
	Regions  []RegionStatus            `json:"regions"`
	Services map[string]map[string]int `json:"services"`

	Waiting     map[string]int `json:"waiting"` // meters: quarantined, stuck, retrying, held
	Retries     int            `json:"retries"`
	RetryBudget int            `json:"retry_budget,omitempty"` // 0: no end
	Waves       []WaveStatus   `json:"waves"`
	Holds       []HoldStatus   `json:"holds,omitempty"`
	Quarantine  []string       `json:"quarantine,omitempty"` // event references of requests held back by the DCC
	// Delete are the event references of what the DCC must delete and not release: old
	// arming, and requests that had ended before it said that it holds them back.
	Delete []string `json:"quarantine_delete,omitempty"`
	// Transfers is how it stands with homes that leave on days of their own; null: none is known
	// to, and no E4 has come.
	Transfers *TransferCounts `json:"transfers,omitempty"`
	Renewal   *float64        `json:"renewal_seconds,omitempty"` // real time in which an operator must renew

	// Calls is what the call centre has done about homes; null: it has no record.
	Calls *CallCounts `json:"calls,omitempty"`

	FirstContact map[string]Contact `json:"first_contact"` // by fuel: electricity, gas
	BlastRadius  BlastRadius        `json:"blast_radius"`

	Refusals []Refusal `json:"refusals,omitempty"` // the last requests that ended so, the newest first

	// Headroom is the share of each anomaly detection threshold that is left, by SRV;
	// below 0 by what exceeds it.
	Headroom map[string]float64 `json:"anomaly_headroom,omitempty"`

	// The engine's.
	ResumesLeft   int       `json:"resumes_left"`            // starts that the approvals still give after stops that are no halts
	ApprovedUntil time.Time `json:"approved_until,omitzero"` // real time
	InboxHeard    *float64  `json:"inbox_heard_seconds"`     // real time since the last message came in; null: none has
	// UnknownSigner is how many answers are kept because the DCC has signed them under a
	// certificate that is not configured, and UnknownSince since when, by the sweep's clock.
	UnknownSigner int       `json:"unknown_signer,omitempty"`
	UnknownSince  time.Time `json:"unknown_signer_since,omitzero"`
	DiskFree      *uint64   `json:"disk_free_bytes,omitempty"`   // where the journal is; null: not known
	DiskNeeded    uint64    `json:"disk_needed_bytes,omitempty"` // that the rest of the sweep may take

	// Of a journal in a database. Holder is for whom this engine stands by or, by a journal
	// alone, who has the sweep; null: it does not, nobody has. Standby are those who stand by.
	Holder  *Holder  `json:"holder,omitempty"`
	Standby []Holder `json:"standby,omitempty"`
	// StandbyMissing is for how long nobody has stood by for this engine, in real time; null:
	// somebody does, or nobody can.
	StandbyMissing *float64 `json:"standby_missing_seconds,omitempty"`

	// By name.
	Signer   string            `json:"signer,omitempty"`   // why it gives no signatures; empty: it does
	Breakers map[string]string `json:"breakers,omitempty"` // of circuits that are not closed
	// BreakersSince is since when one or another of them was not closed, in real time.
	BreakersSince time.Time `json:"breakers_since,omitzero"`

	Gates map[string]string `json:"gates,omitempty"`            // open, or why not
	Limit *float64          `json:"limit_per_second,omitempty"` // POSTs a second by the sweep's clock, of all regions together; null: none
}

// Holder is who may write a journal in a database, or stands by to.
type Holder struct {
	Name  string    `json:"name"` // machine and process
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // if nothing more is heard of it, by the database's clock
}

// String says it in words.
func (h Holder) String() string {
	return fmt.Sprintf("%s holds the sweep since %s, its lease until %s", h.Name,
		h.Since.UTC().Format(time.RFC3339), h.Until.UTC().Format(time.RFC3339))
}

// StandsBy says in words who stands by, or that nobody does; empty: nobody can, or it is not
// known.
func (s *Status) StandsBy() string {
	var all []string
	for _, h := range s.Standby {
		all = append(all, h.Name+" since "+h.Since.UTC().Format(time.RFC3339))
	}
	if all == nil && s.StandbyMissing != nil {
		return "nobody for " + Span(*s.StandbyMissing)
	}
	return strings.Join(all, ", ")
}

// CallCounts counts homes by the call centre's record. Nothing is decided by it.
type CallCounts struct {
	Tried int    `json:"tried"` // called, and to be called again
	Done  int    `json:"done"`
	Fault string `json:"fault,omitempty"` // why it cannot be read
}

// Identity says which sweep a status, a report or a page is of, and whether it is real.
type Identity struct {
	Environment string    `json:"environment"`         // simulator or live
	SweepID     string    `json:"sweep_id"`            // empty: it has none yet
	Direction   string    `json:"direction,omitempty"` // the Authority's reference
	Supplier    string    `json:"supplier,omitempty"`  // EUI and MPIDs of the one that failed
	Deadline    time.Time `json:"deadline,omitzero"`   // the last instant of the direction
	Time        time.Time `json:"time,omitzero"`       // by the sweep's clock
	RealTime    time.Time `json:"real_time,omitzero"`
	ClockSpeed  float64   `json:"clock_speed,omitempty"`
}

// Banner says in capitals whether real meters are at the other end. Whatever is not known to
// be a simulator is taken for real.
func (i Identity) Banner() string {
	switch i.Environment {
	case Simulator:
		return "SIMULATOR: a drill, no real meter is touched"
	case Live:
		return "LIVE: real homes"
	case "":
		return "LIVE OR NOT IS NOT KNOWN: take it for real"
	}
	return strings.ToUpper(i.Environment) + ": take it for real"
}

// Drill says whether nothing of it reaches a real meter.
func (i Identity) Drill() bool { return i.Environment == Simulator }

// Environments.
const (
	Simulator = "simulator" // nothing reaches a real meter
	Live      = "live"
)

// Health is how a sweep is, in one of three words.
type Health struct {
	Level string `json:"level"` // one of the Health constants
	Says  string `json:"says"`  // why, in a line
}

// Levels of health.
const (
	HealthOK         = "ok"           // there is nothing for anybody to do
	HealthPerson     = "needs_person" // it sends, and somebody has something to do
	HealthNotSending = "not_sending"  // nothing is sent, though meters wait
)

// Lines is a task for a terminal or a log: the cause and what to do, then the reasons and
// the commands, a line each, which are indented.
func (t Task) Lines() []string {
	first := strings.TrimSuffix(t.Says, ".")
	if t.Do != "" {
		first += ". " + t.Do
	}
	lines := []string{first}
	for _, r := range t.Reasons {
		line := fmt.Sprintf("  %d: %s", r.Meters, r.Reason)
		if r.Do != "" {
			line += " -> " + r.Do
		}
		lines = append(lines, line)
	}
	for _, c := range t.Commands {
		lines = append(lines, "  "+c)
	}
	if t.Incident != "" {
		lines = append(lines, "  more: safemode help incident "+t.Incident)
	}
	return lines
}

// Words is the level as people read it.
func (h Health) Words() string {
	switch h.Level {
	case HealthOK:
		return "ok"
	case HealthNotSending:
		return "not sending"
	}
	return "needs a person"
}

// Task is one thing for people to do.
type Task struct {
	Says     string   `json:"says"`               // what is the matter
	Do       string   `json:"do"`                 // what to do about it
	Commands []string `json:"commands,omitempty"` // which may be pasted, in their order; words in capitals are the reader's own
	List     string   `json:"list,omitempty"`     // of the page: the meters it is about
	Meters   int      `json:"meters,omitempty"`   // how many these are

	Reasons []ReasonCount `json:"reasons,omitempty"` // they sum to Meters

	Incident string `json:"incident,omitempty"` // of the runbook: safemode help incident NAME
	// Cause is set where somebody who does not watch must be told.
	Cause *Cause `json:"-"`
}

// Cause is why somebody is called. Two with the same Kind, Scope and Since are one.
type Cause struct {
	Kind  string    // one of the Notice constants
	Scope string    // what it is about: a region, a gate, a circuit; empty: the sweep
	Since time.Time // by the sweep's clock; zero: not known, or none
	Says  string    // as the task says it, but without names of people and without what people wrote
	Do    string    // likewise
}

// Kinds of causes that people are called for.
const (
	NoticeHalt       = "halt"
	NoticePause      = "pause"
	NoticeGate       = "gate"       // closed
	NoticeQuarantine = "quarantine" // the DCC holds requests back
	NoticeBreaker    = "breaker"    // POSTs fail
	NoticeRegion     = "region"     // no meter answers there
	NoticeInbox      = "inbox"      // nothing comes in
	NoticeWave       = "wave"       // its abort rule does not hold: it waits for a person
	NoticeDeadMan    = "dead_man"   // nobody has renewed
	NoticeDisk       = "disk"
	NoticeSigner     = "signer" // no signatures
	NoticeTest       = "test"   // nothing is the matter
)

// ReasonCount is how many meters have a reason for their verdict.
type ReasonCount struct {
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	Meters  int    `json:"meters"`
	Do      string `json:"do,omitempty"`
}

// RegionHeard is when the meters of a region were last heard of.
type RegionHeard struct {
	Region string `json:"region"`
	Open   int    `json:"open"` // requests that wait for an answer
	// OpenElectricity are those of Open for electricity meters, which do not sleep.
	OpenElectricity int `json:"open_electricity"`

	Seconds *float64 `json:"seconds"` // since a meter there answered, by the sweep's clock; null: none has in this run
	Silent  bool     `json:"silent"`  // requests are open for longer than an answer may take, and none comes
}

// WaveStatus is where a wave stands.
type WaveStatus struct {
	Number    int            `json:"wave"`
	Name      string         `json:"name"`
	State     string         `json:"state"` // waiting, opened, soaking, passed
	Since     time.Time      `json:"since,omitzero"`
	Until     time.Time      `json:"soaks_until,omitzero"` // while it soaks; both by the sweep's clock
	Meters    int            `json:"meters"`
	Unsettled int            `json:"unsettled"` // without a verdict, and not in long retries
	Early     int            `json:"early"`     // that may be given commands, or were, before it opened
	WaitsFor  string         `json:"waits_for,omitempty"`
	Sample    map[string]int `json:"sample"` // requests that its abort rules judge, by class
}

// HoldStatus is what is paused or stopped, and why.
type HoldStatus struct {
	Scope  string    `json:"scope"`
	Action string    `json:"action"` // pause or stop
	By     string    `json:"by"`
	Cause  string    `json:"cause,omitempty"` // of what the sweep ordered itself
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// Refusal is a request that the DCC or the device refused, or that had an answer without
// proof. It names no device: the journal does.
type Refusal struct {
	At     time.Time `json:"at"` // the sweep's clock
	SRV    string    `json:"srv"`
	Region string    `json:"region"`
	Class  string    `json:"class"`
	Code   string    `json:"code,omitempty"`
}

// RegionStatus is where the meters of one fuel in one region stand.
type RegionStatus struct {
	Region   string         `json:"region"`
	Fuel     string         `json:"fuel"` // electricity or gas
	Meters   int            `json:"meters"`
	Verdicts map[string]int `json:"verdicts"` // of Meters
}

// Left is how many of the meters have no verdict yet.
func (r RegionStatus) Left() int {
	left := r.Meters
	for _, n := range r.Verdicts {
		left -= n
	}
	return left
}

// Way is a gate, a circuit or the signer. One word for all of them: it passes, or it is shut.
type Way struct {
	Name string
	Shut string // why; empty: it passes
}

// Ways are the gates, the circuits that are shut, and the signer where it is away.
func (s *Status) Ways() (all []Way) {
	for _, name := range slices.Sorted(maps.Keys(s.Gates)) {
		w := Way{Name: "gate " + name}
		if s.Gates[name] != "open" {
			w.Shut = s.Gates[name]
		}
		all = append(all, w)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Breakers)) {
		all = append(all, Way{"circuit " + name, "POSTs failed; it is tried again by itself"})
	}
	if s.Signer != "" {
		all = append(all, Way{"signer", s.Signer})
	}
	return all
}

// Rates are what passes the sweep in a second, by its clock. A critical Service Request
// takes two POSTs and brings one answer.
type Rates struct {
	At           time.Time `json:"at"`           // real time, the end of the span
	Requested    float64   `json:"requested"`    // POSTs that meters' next steps asked for
	Sent         float64   `json:"sent"`         // POSTs that the limits let go: what limit_per_second bounds
	Acknowledged float64   `json:"acknowledged"` // POSTs that the DCC took
	Answered     float64   `json:"answered"`     // proven answers that ended a request
}

// Moment is what passed the sweep from one sample to the next, and what came of it.
type Moment struct {
	Rates
	Regions []RegionRates // those with planned meters, in the order of Status.Heard
}

// RegionRates are how the requests to a region's meters ended in a second, by the sweep's
// clock.
type RegionRates struct {
	Answered float64 // the meter answered, whatever it said
	Failed   float64 // it did not, or its answer was not proven, or the DCC rejected the request
}

// StateRow is a row of the state: what somebody has made of the records so far, so
// that they need not be read again. To the journal it is bytes.
type StateRow struct {
	Row   int // from 0, without a gap
	Value []byte
}
