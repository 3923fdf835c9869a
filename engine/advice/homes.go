package advice

import (
	"fmt"
	"strings"

	"safemode/engine/record"
)

// homes tells of the meters that need people, those that are worst off first.
func (j *judge) homes() {
	st := j.st
	for _, kind := range [...]struct{ verdict, one, many string }{
		{record.VerdictNotSafe, "1 meter is not safe", "%d meters are not safe"},
		{record.VerdictUnknown, "of 1 meter nothing trustworthy is known", "of %d meters nothing trustworthy is known"},
	} {
		if n := st.Verdicts[kind.verdict]; n > 0 {
			t := record.Task{Incident: "homes", Says: count(n, kind.one, kind.many), List: kind.verdict, Meters: n, Reasons: j.reasons(kind.verdict)}
			t.Do = "What to do depends on the reason. Once a cause is put right, ask these meters again:"
			if t.Commands = j.ifActive("rerun", "--verdict", kind.verdict, "--reason", "WHAT WAS MENDED"); t.Commands == nil {
				t.Do = "What to do depends on the reason; meters.csv of the report lists them."
			}
			j.add(t)
		}
	}
	j.waiting("stuck", "1 meter is stuck: nothing has been learnt of it for too long", "%d meters are stuck: nothing has been learnt of them for too long",
		"They are still tried. Look at their stories; ask the DCC's service desk about hubs that are out of reach.")
	moved := 0
	if t := st.Transfers; t != nil {
		moved = t.Expected + t.Unexpected
		if n := t.Unexpected; n > 0 {
			j.add(record.Task{
				Incident: "mpids-moved", Says: count(n, "1 answer says that a home is another supplier's (E4), and no list of transfers names it", "%d answers say that homes are another supplier's (E4), and no list of transfers names them"), List: "rejected",
				Do: "These homes are left alone. Find out whether they have switched, and have the list of transfers brought up to date (transfers.file).",
			})
		}
	}
	j.requests("rejected", moved, "the DCC rejected 1 request", "the DCC rejected %d requests", "Look at the codes and the stories; the DCC's service desk explains a code.")
	j.requests("unverified", 0, "1 answer could not be proven, and does not count", "%d answers could not be proven, and do not count", "Look at their stories: a certificate that the SMKI service or the configuration lacks, or a stranger.")
	j.waiting("held", "1 meter is held for a person: an answer that the code table does not know", "%d meters are held for a person: an answer that the code table does not know", "Find out with the DCC's service desk what the code means, and ask the meters again.")
	if n := st.Verdicts[record.VerdictArmed]; n > 0 {
		j.add(record.Task{
			Incident: "homes", Says: count(n, "1 meter is armed: supply returns when the consumer presses the button", "%d meters are armed: supply returns when the consumer presses the button"), List: record.VerdictArmed, Meters: n,
			Do: "Call these homes, the longest without supply first" + j.called() + ". The list says which button; what came of the calls comes back with calls import:", Commands: []string{j.place.callList()},
		})
	}
}

// called says how far the call centre is, by its record.
func (j *judge) called() string {
	switch c := j.st.Calls; {
	case c == nil:
		return ""
	case c.Fault != "":
		return " (the record of calls cannot be read: " + c.Fault + ")"
	default:
		return fmt.Sprintf(" (%d homes done, %d tried so far)", c.Done, c.Tried)
	}
}

// waiting tells of meters that wait for a reason.
func (j *judge) waiting(name, one, many, do string) {
	if n := j.st.Waiting[name]; n > 0 {
		j.add(record.Task{Incident: "homes", Says: count(n, one, many), Do: do, List: name, Meters: n})
	}
}

// requests adds a task for requests that ended in a class, without those that other tasks name.
func (j *judge) requests(class string, but int, one, many, do string) {
	if n := j.st.Classes[class] - but; n > 0 {
		j.add(record.Task{Incident: classIncidents[class], Says: count(n, one, many), Do: do, List: class})
	}
}

// count says how many, where one is said otherwise.
func count(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

// reasons are those of a verdict, each with what to do.
func (j *judge) reasons(verdict string) (all []record.ReasonCount) {
	for _, r := range j.st.Reasons {
		if r.Verdict == verdict {
			r.Do = doFor(r.Reason)
			all = append(all, r)
		}
	}
	return all
}

// doFor is what a person does about a meter with a reason for its verdict; empty where no
// more can be said than the reason does.
func doFor(reason string) string {
	for _, r := range remedies {
		if strings.HasPrefix(reason, r.begins) {
			return r.do
		}
	}
	return ""
}

// NextFor says what a person does about a meter with a verdict; empty: none yet.
func NextFor(verdict, reason string) string {
	switch verdict {
	case "":
		return "nothing yet: the sweep is not through with it"
	case record.VerdictOnSupply:
		return "nothing"
	case record.VerdictArmed:
		return "call the home: supply returns when the consumer presses the button"
	case record.VerdictExcluded:
		return "leave it alone: it is another supplier's, or suppressed"
	}
	if do := doFor(reason); do != "" {
		return do
	}
	return "read what happened, and decide"
}

// remedies are found by the beginning of a reason; the first that fits counts. The ledger makes the
// reasons (Policy.Conclude).
var remedies = [...]struct{ begins, do string }{
	{record.ReasonStuck, "it is still tried: ask the DCC whether its hub is reachable"},
	{record.ReasonWorse, "it is being seen to again"},
	{"held for a person", "find out what the code means; then rerun"},
	{"no answer; the sweep's retries", "raise retry_budget, or accept that it is not known"},
	{"no answer", "ask the DCC whether its hub is reachable; then rerun, or send somebody"},
	{"not read back", "rerun"},
	{"the journal holds no verdict", "the sweep had not come to it: go on with the sweep"},
	{"time bought", "emergency credit runs out: call the home before it does"},
	{"in prepayment: switching is not part", "this direction does not permit more: tell the Authority"},
	{"switch refused by the meter", "call the home; the meter needs an engineer"},
	{"switch rejected", "ask the DCC what the code means; then rerun"},
	{"switch got no answer", "rerun; if it stays so, call the home"},
	{"meter reads prepayment after", "rerun; if it stays so, the meter needs an engineer"},
	{"a future-dated switch", "watch it: an old switch to prepayment may still run"},
	{"arm refused", "the supply is locked: call the home, and send an engineer"},
	{"arm rejected", "ask the DCC what the code means; then rerun"},
	{"arm: no answer", "the device's certificates: ask the SMKI service; then rerun"},
	{"disabled after arm", "call the home: was the button pressed and did it go off again?"},
	{"arming is not permitted", "this direction does not permit it: call the home, tell the Authority"},
	{"disabled with credit left", "not for lack of credit: call the home, somebody must look why"},
	{"disabled, balance not known", "rerun once the balance can be read; call the home meanwhile"},
	{"found in credit and disabled", "not for lack of credit: call the home, somebody must look why"},
	{"how it was found was not proven", "call the home: a person decides"},
	{"a stored switch to prepayment", "call the home: a person decides"},
	{"turned off after", "call the home: ask who turned it off and why"},
	{"no read was fresh enough", "rerun: it is read and armed at once"},
	{"SRV ", "look at its story: the code says whether meter or DCC refuses"},
	{otherReasons, "the page lists them"},
}

// otherReasons is what the sweep counts together where there are too many.
const otherReasons = "other reasons"

// classIncidents are what it is when requests end so.
var classIncidents = map[string]string{"unverified": "wrong-certificate", "rejected": "homes"}
