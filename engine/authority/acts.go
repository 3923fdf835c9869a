package authority

import "safemode/engine/direction"

// Act is something that a person may do to a sweep.
type Act struct {
	Name    string // an order of the record, or a command
	Alone   string // who may do it alone; empty: nobody
	Second  string // who else must have agreed; empty: nobody
	Records string // what is recorded of it, and where
}

// By whom an act is done.
const (
	anyOperator  = "an operator at the operations address (by token in live)"
	recorder     = string(direction.Recorder)
	operator     = string(direction.Operator)
	twoApprovers = "two approvers"
	engineUser   = "the engine's user"
	signerUser   = "the signer's user"
	rosterSigner = "the holder of the certificate that roster.signed_by pins"
)

// Acts lists all of them. One person may narrow. To widen, to begin and to go on after a halt
// takes two.
var Acts = []Act{
	{"pause", anyOperator, "", "Operator record with the name, and whether it was proven"},
	{"resume", anyOperator, "", "Operator record; it takes back a pause or a stop of a scope, never a halt"},
	{"stop", anyOperator, "", "Operator record, and Closed"},
	{"handover", anyOperator, "", "Operator record, and Closed; the engine that stands by goes on"},
	{"rerun", anyOperator, "", "Operator record; what is asked again is within the plan"},
	{"exclude", anyOperator, "", "Operator record; nothing takes it back"},
	{"suppress", anyOperator, "", "Operator record; nothing takes it back"},
	{"deleted", anyOperator, "", "Operator record with the event's reference"},
	{"renew", anyOperator, "", "Operator record"},
	{"cease", anyOperator, "", "custody's book, Operator record with the notice's reference, and Closed; nothing takes it back"},
	{"go_on", anyOperator, "", "Operator record; it changes nothing"},
	{"transfers", engineUser, "", "Operator record by the sweep itself: a home on the list is left alone from its time on, which nothing takes back"},
	{"accept", "", twoApprovers, "Operator record with what was accepted, custody's book with the approvals"},
	{"sign a roster", rosterSigner, "", "FILE.sig; each start's Opened record carries roster, signature and certificate"},
	{"sign a direction", recorder, "", "FILE.sig; the plan carries text and signature"},
	{"sign a freeze statement", recorder, "", "FILE.sig; each start's Opened record carries statement and signature"},
	{"plan", operator, "", "the plan's header and its signature"},
	{"approve", "", "another approver", "approval-*.json; the Opened record carries it"},
	{"sweep: begin", engineUser, twoApprovers, "custody's book, then the Opened record with approvals and roster"},
	{"sweep: go on after a stop", engineUser, "two approvers, who may have given it ahead", "the same"},
	{"sweep: go on after a halt", engineUser, twoApprovers + " after it, who name it", "the same"},
	{"narrow the configuration", engineUser, "", "nothing; the plan's own suppressed meters and sources stay bound"},
	{"widen the configuration", "", "two approvers of a new plan", "the new plan's header"},
	{"signer: open for a start", engineUser, "the two approvers of that start", "the signer's log"},
	{"signer freeze", signerUser, "", "a file in the signer's folder, and its log: only approvals count that are given after it"},
	{"signer thaw", signerUser, "", "nothing: a start is granted again by two who approve after the freeze"},
	{"signer accept", "", twoApprovers, "the signer's log, with what was accepted"},
	{"custody release", engineUser, "", "the counters' file; to take them over again needs a new plan"},
	{"custody: take over from another journal", engineUser, twoApprovers + " of a plan that names that journal", "the counters' file, the plan's header"},
}
