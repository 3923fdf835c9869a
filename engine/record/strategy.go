package record

// Strategy is which commands a sweep leans on.
type Strategy string

// The strategies.
const (
	// CreditMode switches every prepayment meter to Credit and activates emergency
	// credit where that buys time.
	CreditMode Strategy = "credit_mode"
	// Full activates emergency credit on every meter found in Prepayment, too.
	Full Strategy = "full"
	// EmergencyCredit never switches the mode: for a direction without 1.6. No meter
	// becomes safe by it; it buys time.
	EmergencyCredit Strategy = "emergency_credit"
)

// AbortRule watches the requests of one wave that have ended. It breaks when, of at
// least MinSample of them, more than Ratio are of Class. A wave that ends with fewer has
// shown nothing: the next one waits.
type AbortRule struct {
	Class     string  `json:"class"` // one of [AbortClasses]
	Ratio     float64 `json:"ratio"` // over 0, to 1
	MinSample int     `json:"min_sample"`
	Action    Action  `json:"action"`
}

// Action is what an abort rule does to the sweep.
type Action string

// The actions.
const (
	AbortPause Action = "pause" // nothing new is taken in until an operator resumes
	AbortHalt  Action = "halt"  // the sweep ends; to go on needs approvals
)
