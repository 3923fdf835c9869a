package meter

import "time"

// Behaviour answers what public sources leave open (Q1 to Q5). Every answer is an
// assumption; the zero value is the default.
type Behaviour struct {
	// Q1: a switch to Credit arms a supply that is off for lack of credit.
	// Default: it stays Disabled until 7.3.
	CreditArms bool

	// Q2: what 7.3 does to a supply that is Enabled or Armed.
	ArmWhenNotDisabled ArmWhenNotDisabled

	// Q3: what 7.3 does in Prepayment while credit is exhausted.
	ArmWithoutCredit ArmWithoutCredit

	// Q4: 2.5 succeeds when emergency credit was taken and is used up.
	// Default: it fails.
	SpentCountsAsActive bool

	// An immediate 1.6 leaves a future-dated one in its place.
	// Default: it removes it.
	DatedSurvives bool

	// Q5: how far a gas proxy's copy lags behind the meter at most.
	// 0 means 30 minutes.
	MirrorLag time.Duration
}

// ArmWhenNotDisabled is an answer to Q2.
type ArmWhenNotDisabled uint8

// The answers to Q2.
const (
	ArmRejected    ArmWhenNotDisabled = iota // failure, no change
	ArmIgnored                               // success, no change; a GSME's answer then says Armed all the same
	ArmOpensSwitch                           // success, an Enabled supply becomes Armed: the home goes off
)

// ArmWithoutCredit is an answer to Q3.
type ArmWithoutCredit uint8

// The answers to Q3.
const (
	ArmAccepted     ArmWithoutCredit = iota // success, Armed
	ArmRefused                              // failure, no change
	ArmedThenCutOff                         // success, but the next check of the balance disables again
)

// Mirror returns the gas proxy's largest lag.
func (b Behaviour) Mirror() time.Duration {
	if b.MirrorLag == 0 {
		return 30 * time.Minute
	}
	return b.MirrorLag
}
