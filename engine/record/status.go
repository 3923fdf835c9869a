package record

import "time"

// Status is where a sweep stands. Every share has its denominator: Meters.
type Status struct {
	State     string         `json:"state"` // starting, running, paused, stopping, halted, ceased, finished
	Reason    string         `json:"reason,omitempty"`
	Meters    int            `json:"meters"`
	Started   int            `json:"started"`
	Done      int            `json:"done"`
	Verdicts  map[string]int `json:"verdicts"`
	InFlight  map[string]int `json:"in_flight"` // open requests by region
	Queued    int            `json:"queued"`    // legs waiting for a limit or a worker
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

	FirstContact map[string]Contact `json:"first_contact"` // by fuel: electricity, gas
	BlastRadius  BlastRadius        `json:"blast_radius"`

	Refusals []Refusal `json:"refusals,omitempty"` // the last requests that ended so, the newest first

	// Headroom is the share of each anomaly detection threshold that is left, by SRV;
	// below 0 by what exceeds it.
	Headroom map[string]float64 `json:"anomaly_headroom,omitempty"`

	// The engine's, by name.
	Signer   string            `json:"signer,omitempty"`           // why it gives no signatures; empty: it does
	Breakers map[string]string `json:"breakers,omitempty"`         // of circuits that are not closed
	Gates    map[string]string `json:"gates,omitempty"`            // open, or why not
	Limit    *float64          `json:"limit_per_second,omitempty"` // POSTs a second by the sweep's clock, of all regions together; null: none
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
	Sample    map[string]int `json:"sample"`    // requests that its abort rules judge, by class
}

// HoldStatus is what is paused or stopped, and why.
type HoldStatus struct {
	Scope  string    `json:"scope"`
	Action string    `json:"action"` // pause or stop
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// Refusal is a request that the DCC or the device refused, or whose answer was not
// believed. It names no device: the journal does.
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

// Rates are what passes the sweep in a second, by its clock. A critical Service Request
// takes two POSTs and brings one answer.
type Rates struct {
	At           time.Time `json:"at"`           // real time, the end of the span
	Requested    float64   `json:"requested"`    // POSTs that meters' next steps asked for
	Sent         float64   `json:"sent"`         // POSTs that the limits let go: what limit_per_second bounds
	Acknowledged float64   `json:"acknowledged"` // POSTs that the DCC took
	Answered     float64   `json:"answered"`     // proven answers that ended a request
}

// StateRow is a row of the state: what somebody has made of the records so far, so
// that they need not be read again. To the journal it is bytes.
type StateRow struct {
	Row   int // from 0, without a gap
	Value []byte
}
