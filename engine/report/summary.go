package report

// Summary is the sweep in numbers. Its JSON is part of the program's outside.
type Summary struct {
	SweepID           string             `json:"sweep_id"`
	PlanSHA256        string             `json:"plan_sha256"`
	Meters            int                `json:"meters"` // planned
	Verdicts          Verdicts           `json:"verdicts"`
	NotCovered        int                `json:"not_covered"` // portfolio rows that were rejected
	Homes             Homes              `json:"homes"`
	Requests          map[string]Classes `json:"requests"` // by SRV; only those that were used
	Refused           Refused            `json:"refused"`
	ForbiddenCommands int                `json:"forbidden_commands"`
	Counters          Counters           `json:"counters"`
	Throttled         int                `json:"throttled"`   // POSTs the DCC put off
	Quarantined       int                `json:"quarantined"` // requests that the DCC's anomaly detection held back (DCC Alert AD1)
	DurationSeconds   float64            `json:"duration_seconds"`
	RequestRate       float64            `json:"service_requests_per_second"`
	Truth             *Truth             `json:"truth,omitempty"` // dry runs only
	DarkHours         *DarkHours         `json:"dark_hours,omitempty"`
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

// Refused counts what was never sent, never signed, or not believed.
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

	// Of the meters that could answer, the share that is on supply or armed. On a calm
	// day too small a share is a mismatch.
	CouldAnswer int     `json:"could_answer"`
	ShareSafe   float64 `json:"share_safe"` // 0 to 1
}
