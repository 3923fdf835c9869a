package record

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"safemode/servicerequests"
)

// Codes of [Refused] records.
const (
	RefusedUnpermitted  = "unpermitted"  // outside the direction or the permitted set: never sent
	RefusedUncorrelated = "uncorrelated" // a Pre-Command that is not what was asked for: never signed
	RefusedUnverified   = "unverified"   // a message that could not be proven
)

// Codes of [Verdict] records.
const (
	VerdictOnSupply = "on_supply" // Credit and Enabled, both read back from the device
	VerdictArmed    = "armed"     // Credit and Armed: safe once the consumer presses the button
	VerdictNotSafe  = "not_safe"  // known to be neither
	VerdictUnknown  = "unknown"   // no trustworthy answer
	VerdictExcluded = "excluded"  // not to be touched: transferred to another supplier, suppressed
)

// Verdicts are all verdicts, from best to worst.
var Verdicts = [...]string{VerdictOnSupply, VerdictArmed, VerdictNotSafe, VerdictUnknown, VerdictExcluded}

// ReasonTransferred begins the reason of a meter that is excluded because the DCC
// says that it is another supplier's; the code follows in brackets.
const ReasonTransferred = "not registered to the supplier any more"

// Beginnings of a reason in a verdict that is only an interim state of a meter.
const (
	ReasonStuck = "stuck: "
	ReasonWorse = "read again and found "
)

// InPassing says whether a verdict's reason tells where a meter stands in passing.
func InPassing(reason string) bool {
	return strings.HasPrefix(reason, ReasonStuck) || strings.HasPrefix(reason, ReasonWorse)
}

// ReasonLeaves begins the reason of a meter that is left alone by the list of transfers.
const ReasonLeaves = "leaves the supplier by the list of transfers"

// Codes of [Closed] records.
const (
	ClosedFinished    = "finished"
	ClosedHalted      = "halted"
	ClosedInterrupted = "interrupted"
	ClosedCeased      = "ceased" // by a notice: for good
)

// Opening is the body of an [Opened] record. Every start of the sweep writes
// one; the first gives the identity that the later ones must repeat.
type Opening struct {
	SweepID      string                `json:"sweep_id"`
	PlanSHA256   string                `json:"plan_sha256"` // hex
	Environment  string                `json:"environment"` // simulator or live
	ClockAnchor  time.Time             `json:"clock_anchor"`
	ClockSpeed   float64               `json:"clock_speed"` // 0 and 1 are real time
	Originators  []servicerequests.EUI `json:"originators"`
	CounterFloor uint64                `json:"counter_floor"`
	Version      string                `json:"version"` // of the program

	// Approvals are the signatures by which the sweep began or goes on. Those of an
	// earlier start stand here again where they gave this one ahead. Empty in a
	// rehearsal.
	Approvals []Approved `json:"approvals,omitempty"`
	// ResumesLeft is how many more starts they give after stops that are no halts, until
	// ApprovedUntil (real time).
	ResumesLeft   int       `json:"resumes_left,omitempty"`
	ApprovedUntil time.Time `json:"approved_until,omitzero"`

	// The evidence of the approvals, so that they can be proven later: the real time of the
	// start, the preparer's signature over the plan's hash, the roster as it was then with its
	// signature, and the certificate (PEM) that checked it.
	Began           time.Time `json:"began,omitzero"`
	PlanSignature   []byte    `json:"plan_signature,omitempty"`
	Roster          string    `json:"roster,omitempty"`
	RosterSignature []byte    `json:"roster_signature,omitempty"`
	RosterSignedBy  string    `json:"roster_signed_by,omitempty"`

	// The statement that the supplier's everyday adapter is frozen, and its signature.
	Freeze          string `json:"freeze,omitempty"`
	FreezeSignature []byte `json:"freeze_signature,omitempty"`

	// Custody names the entry of the custody's book by which this start was spent.
	Custody      string `json:"custody_id,omitempty"`
	CustodyEntry uint64 `json:"custody_entry,omitempty"`

	// Takeover says from whom this engine has taken the sweep over, for whom it had stood by;
	// null: from nobody.
	Takeover *Takeover `json:"takeover,omitempty"`

	// StoreFirst says that from here on messages are written before they are judged: an
	// alert counts from its [Proven] record on. Before, it was proven when it was written.
	StoreFirst bool `json:"store_first,omitempty"`
}

// Takeover is from whom an engine has taken a sweep over.
type Takeover struct {
	From       string    `json:"from"`        // machine and process
	Since      time.Time `json:"since"`       // it had held the sweep
	HandedOver bool      `json:"handed_over"` // it gave the sweep up itself; else nothing was heard of it until its lease had ended
}

// String says it in words.
func (t *Takeover) String() string {
	if t.HandedOver {
		return "it was handed over by " + t.From
	}
	return "it was taken over from " + t.From + ", of which nothing was heard any more"
}

// Approved is one person's approval, as the engine's direction specifies it.
type Approved struct {
	Name      string `json:"name"`
	Key       string `json:"key"`  // SHA-256 of the SubjectPublicKeyInfo, hex
	Text      string `json:"text"` // what was signed
	Signature []byte `json:"signature"`
}

// TargetBody is the body of a [Target] record; the record's Device is the meter.
type TargetBody struct {
	Type       servicerequests.DeviceType  `json:"device_type"`
	Hub        servicerequests.EUI         `json:"chf_id"`
	MPxN       string                      `json:"mpxn"`
	Region     servicerequests.Region      `json:"csp_region"`
	Claimed    servicerequests.PaymentMode `json:"claimed_mode"`
	Priority   int                         `json:"priority"` // 0 first
	History    []string                    `json:"history,omitempty"`
	Originator servicerequests.EUI         `json:"originator"`
	Model      string                      `json:"model,omitempty"` // as the portfolio has it, if the plan carries it

	// Further claims of the portfolio; zero or nil where it says nothing.
	Proxy           servicerequests.EUI         `json:"gpf_id,omitzero"`
	BalanceEstimate *servicerequests.Millipence `json:"balance_estimate,omitempty"`
	BalanceAt       time.Time                   `json:"balance_at,omitzero"`
	LastTopUp       time.Time                   `json:"last_top_up,omitzero"`
	Supply          servicerequests.SupplyState `json:"supply_state,omitzero"`

	Suppressed bool `json:"suppressed,omitempty"` // it must not be touched
}

// RejectedBody is the body of a [Rejected] record: a portfolio row of which
// nothing is sent.
type RejectedBody struct {
	Line   int    `json:"line"`      // in the portfolio, from 1
	Device string `json:"device_id"` // as the row has it
	Reason string `json:"reason"`
	SMETS1 bool   `json:"smets1,omitempty"` // a meter of the first generation, which is a group of its own

	// Of such a meter, as the portfolio has it; zero in older journals.
	MPxN    string                      `json:"mpxn,omitempty"`
	Hub     servicerequests.EUI         `json:"chf_id,omitzero"`
	Claimed servicerequests.PaymentMode `json:"claimed_mode,omitzero"`
}

// OutcomeBody is the body of an [Outcome] record. The record's ID names the
// request; its Code repeats the class.
type OutcomeBody struct {
	Class      Class     `json:"class"`
	Code       string    `json:"code"`        // DUIS response code or device result, like "E21" or "250"; empty if none
	SentAt     time.Time `json:"sent_at"`     // the sweep's clock
	AnsweredAt time.Time `json:"answered_at"` // when the class was decided: an answer, or the end of waiting
	Attempt    int       `json:"attempt"`     // from 1, counted for this service on this meter

	// Tripped says that the refusal came with a run of refusals that halted the
	// sweep: it says more of the User than of the meter.
	Tripped bool `json:"tripped,omitempty"`
	// After says that the meter had its verdict when this was asked for: without an answer
	// that verdict stands.
	After bool `json:"after_verdict,omitempty"`
	// Expected says of an E4 that the home was to have left by then.
	Expected bool `json:"expected,omitempty"`
	// Stands says that the verdict outlasts this end all the same.
	Stands bool `json:"verdict_stands,omitempty"`

	Observed *Observation        `json:"observed,omitempty"` // what the answer showed, if it showed anything
	Proxy    servicerequests.EUI `json:"gpf_id,omitempty"`   // the gas proxy that an inventory named

	// Issued is for the end of a command: the latest originator counter that the meter's
	// requests had then. Requests up to it may have been carried out before the command.
	Issued uint64 `json:"issued,omitempty"`

	Of uint64 `json:"of,omitempty"` // number of the Response record that it rests on; 0: it rests on none (silence, a reply), or an older journal
}

// ClosedBody is the body of a [Closed] record.
type ClosedBody struct {
	Reason    string `json:"reason,omitempty"` // why it did not finish
	Throttled int    `json:"throttled"`        // POSTs the DCC put off (429 or 503) since the last [Opened]
}

// RefusedBody is the body of a [Refused] record.
type RefusedBody struct {
	Reason string `json:"reason"`
	SHA256 string `json:"sha256"`       // hex, of the bytes that were refused
	Of     uint64 `json:"of,omitempty"` // number of the message's record that it is about; 0: none, or an older journal
}

// ProvenBody is the body of a [Proven] record.
type ProvenBody struct {
	Of      uint64    `json:"of"`      // number of the record that was proven
	At      time.Time `json:"at"`      // by the device's clock, of a DCC Alert by the DCC's
	Code    string    `json:"code"`    // of the alert
	Counter uint64    `json:"counter"` // the device's own, in the alert; 0 for DCC Alerts

	// Issued is the latest originator counter that the meter's requests had then: requests
	// up to it may have been answered before the alert was raised.
	Issued uint64 `json:"issued,omitempty"`

	FutureDated uint16       `json:"future_dated,omitempty"` // message code of the future dated command that an 8F66 tells of
	Quarantined *Quarantined `json:"quarantined,omitempty"`  // what an AD1 tells of
}

// Quarantined is a request that the DCC's anomaly detection holds back.
type Quarantined struct {
	Request  servicerequests.RequestID `json:"request_id"`
	EventRef string                    `json:"event_ref"`
	Breach   string                    `json:"breach"`
}

// HaltedBody is the body of a [Halted] record.
type HaltedBody struct {
	Reason string `json:"reason"`
	Cause  string `json:"cause,omitempty"` // one of the Halt constants; empty in older journals
}

// Causes of a halt: they say what kind of thing must be mended.
const (
	HaltGate     = "gate"     // a gate closed
	HaltJournal  = "journal"  // the journal cannot be written
	HaltFenced   = "fenced"   // another engine has gone on with the journal, or may have
	HaltKey      = "key"      // a signing key, or the counters, cannot be used
	HaltDCC      = "dcc"      // the DCC refuses the User, or every POST
	HaltTripwire = "tripwire" // a run of bad answers
	HaltWave     = "wave"     // an abort rule of a wave
	HaltDefect   = "defect"   // of this program
)

// JudgedBody is the body of a [Repeated] record, and of an [Unmatched] one, which in older
// journals has none.
type JudgedBody struct {
	Of     uint64    `json:"of"`               // number of the message's record
	Kind   OtherKind `json:"kind,omitempty"`   // of an [Unmatched] one: what the message is
	Detail string    `json:"detail,omitempty"` // likewise: what is known of a message that is not decoded as ours
}

// Actions of an [OrderBody]; codes of [Operator] records.
const (
	OrderPause     = "pause"     // send nothing of the scope; answers are still taken in
	OrderResume    = "resume"    // take pauses and stops of the scope back
	OrderStop      = "stop"      // begin nothing more of the scope; without a scope the process drains and ends
	OrderHandover  = "handover"  // drain and end: the engine that stands by goes on
	OrderRerun     = "rerun"     // ask meters again from their first reads on
	OrderExclude   = "exclude"   // leave meters alone: they are another supplier's now
	OrderSuppress  = "suppress"  // leave meters alone
	OrderDeleted   = "deleted"   // the DCC has deleted a quarantined request: read back
	OrderRenew     = "renew"     // the operator is still there
	OrderCease     = "cease"     // end the sweep for good
	OrderTransfers = "transfers" // the list of homes that leave has changed; given by the sweep itself
	OrderGoOn      = "go_on"     // the next supplier's wish that the sweep goes on, with its reason: it changes nothing

	// OrderAccept accepts an older copy of the journal as the sweep's: nobody knows what was sent
	// after it, and earlier reads prove nothing any more.
	OrderAccept = "accept"
)

// Causes of what the sweep ordered itself.
const (
	CauseWave       = "wave"       // an abort rule of a wave does not hold
	CauseQuarantine = "quarantine" // the DCC's anomaly detection holds requests back
	CauseRenewal    = "renewal"    // no operator has renewed in time
	CauseTransfer   = "transfer"   // homes leave the supplier: Reason says by whose word
	CauseStranger   = "stranger"   // somebody else sends under an identity of the sweep's
)

// BySweep stands in an order for a person's name where the sweep ordered it itself.
const BySweep = "safemode"

// OrderBody is the body of an [Operator] record. The record's Code repeats the
// action. At most one of Region, Wave and SRV is set; none means the whole sweep.
type OrderBody struct {
	Action        string                 `json:"action"`
	By            string                 `json:"by"`            // a person's name, or [BySweep]
	Authenticated bool                   `json:"authenticated"` // the name was proven by the person's token
	Cause         string                 `json:"cause,omitempty"`
	Region        servicerequests.Region `json:"region,omitzero"`
	Wave          int                    `json:"wave,omitempty"` // from 1
	SRV           string                 `json:"srv,omitempty"`
	Now           bool                   `json:"now,omitempty"`     // of a stop: what is queued is not sent, replies are not waited for
	Verdict       string                 `json:"verdict,omitempty"` // of a rerun: the meters with this verdict
	Devices       []servicerequests.EUI  `json:"devices,omitempty"`
	Reason        string                 `json:"reason,omitempty"`
	Reference     string                 `json:"reference,omitempty"` // of the cease notice or the wish to go on, of a quarantine event

	// Transfers are the entries that are new or changed; Devices then those that are not in
	// the list any more.
	Transfers []Transfer `json:"transfers,omitempty"`
}

// WholeSweep is the scope of an order that names no part.
const WholeSweep = "the sweep"

// Scope is what an order is of, in words.
func (b *OrderBody) Scope() string {
	switch {
	case b.Region != servicerequests.UnknownRegion:
		return "region " + b.Region.String()
	case b.Wave != 0:
		return "wave " + strconv.Itoa(b.Wave)
	case b.SRV != "":
		return "SRV " + b.SRV
	case len(b.Devices) > 0:
		return "meters"
	}
	return WholeSweep
}

// Transfer is a planned meter whose home leaves the supplier.
type Transfer struct {
	Device    servicerequests.EUI `json:"device_id"`
	MPxN      string              `json:"mpxn"`
	Effective time.Time           `json:"effective_at"`    // from when on it is another supplier's
	Leave     time.Time           `json:"left_alone_from"` // from when on nothing is sent to it
	Incoming  string              `json:"incoming_mpid"`   // MPID of that supplier
	Source    string              `json:"source,omitempty"`
	AsOf      time.Time           `json:"as_of,omitzero"` // of the entry
}

// TransferCounts is how it stands with homes that leave.
type TransferCounts struct {
	Listed     int `json:"listed"`        // meters of the plan that the list names
	Left       int `json:"left"`          // left alone by the list or by a DCC Alert
	Confirmed  int `json:"confirmed"`     // listed ones of which a DCC Alert says so
	Expected   int `json:"expected_e4"`   // answers E4 of homes that were to have left
	Unexpected int `json:"unexpected_e4"` // answers E4 of others: these feed the tripwire
}

// Codes of [Wave] records.
const (
	WaveOpened  = "opened"  // its meters may begin
	WaveSoaking = "soaking" // its meters have verdicts or are in long retries
	WavePassed  = "passed"  // its soak is over and its abort rules hold
)

// WaveBody is the body of a [Wave] record.
type WaveBody struct {
	Wave   int    `json:"wave"` // from 1
	Name   string `json:"name"`
	Meters int    `json:"meters"`
}

// TripwireBody is the body of a [Tripwire] record. The meters it names were refused in
// the run of refusals that tripped it: that says more of the User than of them, and
// they are asked again.
type TripwireBody struct {
	Reason  string                `json:"reason"`
	Devices []servicerequests.EUI `json:"devices,omitempty"`
}

// StateBody is the body of a [State] record: it identifies the table state as it is after
// the transaction that wrote this record.
type StateBody struct {
	Rows   int    `json:"rows"`
	SHA256 string `json:"sha256"` // hex, of the rows (see doc.go)
}

// Observation is what a meter was seen as. A nil Balance was not read.
type Observation struct {
	Mode    servicerequests.PaymentMode `json:"mode"`
	Supply  servicerequests.SupplyState `json:"supply"`
	Balance *servicerequests.Millipence `json:"balance,omitempty"`
}

// VerdictBody is the body of a [Verdict] record. The record's Code repeats the
// verdict.
type VerdictBody struct {
	Verdict       string      `json:"verdict"`
	Reason        string      `json:"reason,omitempty"`
	AsOf          time.Time   `json:"as_of"` // when the read it rests on was answered; zero if it rests on none
	Found         Observation `json:"found"`
	End           Observation `json:"end"`
	ModeCounter   uint64      `json:"mode_counter"`   // of the response that End.Mode rests on; 0 if none
	SupplyCounter uint64      `json:"supply_counter"` // of the response that End.Supply rests on; 0 if none

	// Spend is what the home was taken to use up in a day, where balances told it; nil: they
	// did not, and the policy's daily_spend was assumed.
	Spend *Spend `json:"spend,omitempty"`
}

// Spend is what a home uses up in a day, by two dated balances.
type Spend struct {
	PerDay servicerequests.Millipence `json:"per_day"` // pounds
	By     string                     `json:"by"`      // whose the two balances are
}

// How a [Spend] is known.
const (
	ByReads     = "two_reads"
	ByPortfolio = "portfolio_and_read"
)

// Body is a typed body.
type Body interface {
	Opening | TargetBody | RejectedBody | OutcomeBody | RefusedBody | VerdictBody | ClosedBody |
		OrderBody | WaveBody | TripwireBody | StateBody | JudgedBody | ProvenBody | HaltedBody
}

// Encode returns the JSON of a body. For a value that JSON cannot express (a
// clock speed that is no number, a year over 9999) it returns nil, and the
// journal refuses the record.
func Encode[B Body](body B) []byte {
	b, err := json.Marshal(body)
	if err != nil {
		return nil
	}
	return b
}

// Decode reads the typed body of a record.
func Decode[B Body](r Record) (body B, err error) {
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return body, fmt.Errorf("record %d: body of %v: %w", r.Seq, r.Kind, err)
	}
	return body, nil
}
