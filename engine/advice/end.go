package advice

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"safemode/engine/record"
)

// sweep tells what the state itself asks for.
func (j *judge) sweep() {
	st, p := j.st, j.place
	switch st.State {
	case "planned":
		j.stops = true
		t := record.Task{Incident: "not-begun", Says: "it has not begun", Do: j.approve("it") + "; then the sweep's command begins it:"}
		if p.Approved != nil {
			t.Incident = "approver-missing"
		}
		t.Commands = append(p.approve(false), p.Sweep())
		j.add(t)
	case "halted":
		j.stops = true
		j.halted()
	case "stopping":
		j.stops = true
		j.add(record.Task{Incident: "killed", Says: "it was told to stop: what is under way is waited for", Do: "Wait until it has ended. The same command then goes on with it:", Commands: []string{p.Sweep()}})
	case "interrupted":
		j.stops = true
		j.goOn("it was told to stop, and has drained")
	case "open":
		j.stops = true
		says := "its journal has no end: it runs, or was cut off"
		if !st.Time.IsZero() {
			says += "; its last record is of " + j.clockOf(st.Time)
		}
		j.goOn(says)
		t := &j.tasks[len(j.tasks)-1]
		t.Do = doCutOff + t.Do
		t.Commands = slices.Insert(t.Commands, 0, p.order("status"))
	case "ceased":
		j.stops = true
		j.add(record.Task{Incident: "not-begun", Says: "it has ceased for good, by notice " + cmp.Or(st.Reason, "of the next supplier"), Do: "Write the reports, and hand the pack in REPORT/handover over:", Commands: []string{p.Report()}})
	}
}

// goOn tells how a sweep goes on that has ended without a halt.
func (j *judge) goOn(says string) {
	st, p := j.st, j.place
	t := record.Task{Incident: "killed", Says: says}
	switch {
	case p.Rehearsal:
		t.Do = "A rehearsal starts from the beginning, in a new folder."
	case st.ResumesLeft > 0 && !j.approvalsOver():
		t.Do = fmt.Sprintf("The same command goes on with it; the approvals give that %d times more, until %s:", st.ResumesLeft, st.ApprovedUntil.UTC().Format(clockLayout))
		t.Commands = []string{p.Sweep()}
	default:
		t.Do = "The stops that the approvals gave ahead are used up or have expired. " + j.twoApprove()
		t.Commands = append(p.approve(true), p.Sweep())
	}
	j.add(t)
}

// approvalsOver says whether the approvals have expired.
func (j *judge) approvalsOver() bool {
	return !j.st.ApprovedUntil.IsZero() && j.st.RealTime.After(j.st.ApprovedUntil)
}

// twoApprove says who gives the commands that follow.
func (j *judge) twoApprove() string {
	return j.approve("again") + "; then the sweep's command goes on with it:"
}

// approve says who must still approve.
func (j *judge) approve(what string) string {
	if by := j.place.Approved; len(by) == 1 {
		return fmt.Sprintf("%s has approved. One approver more (not who prepared the plan or recorded its direction) approves %s, with their own key", by[0], what)
	}
	return fmt.Sprintf("Two approvers (not who prepared the plan or recorded its direction) approve %s, each with their own key", what)
}

// halted adds the tasks after a halt: repair the cause, have two people approve, give the
// sweep's command. If approvals cannot help, it asks for none.
func (j *judge) halted() {
	st, p := j.st, j.place
	t := record.Task{Incident: j.incident(), Says: "it has halted: " + st.Why()}
	if !st.Since.IsZero() {
		t.Says += "; since " + j.clockOf(st.Since)
	}
	mend, final := j.mend()
	if p.Ending {
		mend = "It still takes in answers to what was sent, and ends by itself. " + mend
	}
	switch {
	case p.Rehearsal:
		t.Do = mend + " A rehearsal starts from the beginning, in a new folder."
	case final:
		t.Do = mend
		t.Commands = []string{p.files("plan", "--config", p.config(), "--direction", "NEW-DIRECTION.yaml", "--portfolio", "PORTFOLIO.csv", "--out", "NEW-PLAN", "--cert", "PREPARER.pem", "--key", "PREPARER.key")}
	default:
		t.Do = mend + " " + j.twoApprove()
		t.Commands = append(p.approve(true), p.Sweep())
	}
	j.add(call(t, record.NoticeHalt, st.Cause, ""))
}

// mend says what must be mended before a halted sweep may go on. final says that it cannot:
// another plan is needed.
func (j *judge) mend() (text string, final bool) {
	st := j.st
	closed := map[string]string{}
	maps.Copy(closed, st.Gates)
	maps.DeleteFunc(closed, func(_, why string) bool { return why == "open" })
	switch st.Cause {
	case record.HaltGate:
		if _, shut := closed["direction"]; (shut || len(st.Gates) == 0) && !st.Deadline.IsZero() && j.now.After(st.Deadline) {
			return fmt.Sprintf("The direction ended %s: approvals of this plan give nothing any more. "+doDirection,
				st.Deadline.UTC().Format(clockLayout)), true
		}
		var all []string
		for _, gate := range slices.Sorted(maps.Keys(closed)) {
			all = append(all, cmp.Or(gates[gate], "See to the gate "+gate+"."))
		}
		switch {
		case len(all) > 0:
			return strings.Join(all, " "), false
		case len(st.Gates) > 0:
			return "The gates are open again.", false
		}
		return cmp.Or(gates[j.gateInReason()], "See to what has closed the gate.") + " preflight says whether the gate passes again.", false
	case record.HaltJournal:
		return doJournal, false
	case record.HaltFenced:
		return doFenced, false
	case record.HaltKey:
		return doKeys, false
	case record.HaltDCC:
		return doUser, false
	case record.HaltTripwire:
		if j.incident() == "mpids-moved" {
			return doMoved, false
		}
		return doUnproven, false
	case record.HaltWave:
		return "Find out why so many requests of the wave ended so.", false
	case record.HaltDefect:
		return doDefect, false
	}
	return "Mend what it names.", false
}

// gates says what opens each gate again.
var gates = map[string]string{
	"direction":    "The direction is not in force: nothing may be sent before it begins.",
	"certificates": "A certificate of the supplier is revoked, has expired, or its revocation list is too old. Find out why; have the list renewed (gates.revocation_lists), or a new certificate issued.",
	"mpids":        "The market participant IDs have moved, or their record is too old (gates.mpids_file). Ask the Authority whether the homes are still the supplier's; have the record renewed.",
	"adapter":      "The statement that the supplier's everyday adapter is frozen has run out or does not hold (gates.freeze_file): the recorder signs a new one (safemode sign).",
}

// incident names the incident of a halt.
func (j *judge) incident() string {
	switch j.st.Cause {
	case record.HaltGate:
		if len(j.st.Gates) == 0 {
			return cmp.Or(gateIncidents[j.gateInReason()], "halted")
		}
		for _, gate := range slices.Sorted(maps.Keys(j.st.Gates)) {
			if name := gateIncidents[gate]; j.st.Gates[gate] != "open" && name != "" {
				return name
			}
		}
	case record.HaltJournal:
		return "disk-full"
	case record.HaltKey:
		return "keys-failed"
	case record.HaltDCC:
		return "user-refused"
	case record.HaltTripwire:
		if strings.Contains(j.st.Reason, "unregistered") || strings.Contains(j.st.Reason, "E4") {
			return "mpids-moved"
		}
		return "wrong-certificate"
	case record.HaltDefect:
		return "defect"
	}
	return "halted"
}

// gateInReason is the gate that a halt names, where nothing else tells which one closed: by a
// journal alone.
func (j *judge) gateInReason() string {
	for name := range gates {
		if strings.Contains(j.st.Reason, "gate "+name+" is closed") {
			return name
		}
	}
	return ""
}

// gateIncidents are what it is when a gate closes.
var gateIncidents = map[string]string{
	"direction": "direction-ended", "certificates": "certificate-revoked", "mpids": "mpids-moved", "adapter": "adapter-not-frozen",
}

// incidentOf are the incidents of holds by their cause; a person's has none.
var incidentOf = map[string]string{
	"": "paused", record.CauseWave: "paused", record.CauseQuarantine: "quarantine", record.CauseRenewal: "paused", record.CauseStranger: "adapter-not-frozen",
}
