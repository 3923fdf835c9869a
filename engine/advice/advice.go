package advice

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"safemode/engine/record"
)

const (
	standbyGone  = time.Minute     // real time: a machine that starts again is back by then
	renewSoon    = 5 * time.Minute // real time: a renewal that is due by then is asked for
	inboxQuiet   = 5 * time.Minute // the sweep's clock: electricity meters answer within that. ASSUMPTION
	deadlineNear = 24 * time.Hour  // how long before the direction's end meters without a verdict are pointed at
	fewOpen      = 10              // so few open requests may all be of meters that do not answer. ASSUMPTION
	mostNamed    = 20              // event references in a task; status has more
	clockLayout  = "2 Jan 15:04 UTC"
)

// judge makes the tasks of one status.
type judge struct {
	st    *record.Status
	place Place
	now   time.Time // to which dates are held
	tasks []record.Task
	stops bool // nothing is sent, though meters wait
}

// Judge fills in how a sweep is and what people have to do. Dates are compared with now: the
// machine's clock, as the sweep's clock shows it.
func Judge(st *record.Status, p Place, now time.Time) {
	j := judge{st: st, place: p, now: now}
	j.sweep()
	first := len(j.tasks)
	if j.active() {
		j.ways()
	}
	j.held(first)
	if j.active() {
		j.soon()
	}
	j.homes()
	st.ToDo = j.tasks
	if st.ToDo == nil {
		st.ToDo = []record.Task{} // a list in JSON, too
	}
	st.Health = j.health()
}

// add notes a task.
func (j *judge) add(t record.Task) { j.tasks = append(j.tasks, t) }

// active says whether this run still sends, or would.
func (j *judge) active() bool {
	return j.st.State == "starting" || j.st.State == "running" || j.st.State == "paused"
}

// health rolls up what was found.
func (j *judge) health() record.Health {
	st := j.st
	says := ""
	if len(j.tasks) > 0 {
		says = j.tasks[0].Says
	}
	switch {
	case st.State == "ceased":
		return record.Health{Level: record.HealthNotSending, Says: "ended for good by the next supplier's notice"}
	case j.stops:
		return record.Health{Level: record.HealthNotSending, Says: says}
	case len(j.tasks) > 0:
		return record.Health{Level: record.HealthPerson, Says: says}
	case st.State == "finished":
		return record.Health{Level: record.HealthOK, Says: "finished: every meter has a verdict"}
	case st.State == "starting":
		return record.Health{Level: record.HealthOK, Says: "it reads its journal"}
	}
	return record.Health{Level: record.HealthOK, Says: "it goes on by itself"}
}

// call has people called for a task. says stands for what the task says where that holds
// names, or what people wrote.
func call(t record.Task, kind, scope, says string) record.Task {
	t.Cause = &record.Cause{Kind: kind, Scope: scope, Says: cmp.Or(says, t.Says), Do: t.Do}
	return t
}

// holdKinds are the kinds of notices of what the sweep holds by itself.
var holdKinds = map[string]string{
	record.CauseWave: record.NoticeWave, record.CauseQuarantine: record.NoticeQuarantine, record.CauseRenewal: record.NoticeDeadMan,
}

// held adds a task for each pause or stop by people and rules. One of the whole sweep comes at
// index first: behind trouble on the way to the meters, if that may have broken a wave's rule.
func (j *judge) held(first int) {
	st := j.st
	wrong := len(j.tasks) > first
	for _, h := range st.Holds {
		since := j.clockOf(h.Since)
		t := record.Task{Incident: incidentOf[h.Cause], Says: fmt.Sprintf("%s is %s since %s by %s: %s", h.Scope, map[string]string{"pause": "paused", "stop": "stopped"}[h.Action],
			since, h.By, cmp.Or(h.Reason, "no reason was given"))}
		switch h.Cause {
		case record.CauseWave:
			t.Do = "Find out why these requests ended so. If the rest may go on, resume: the rule then counts from zero."
			if wrong {
				t.Do = "What is said above may be why. Once it is mended, resume: the rule then counts from zero."
			}
		case record.CauseQuarantine:
			t.Do = doQuarantine
		case record.CauseRenewal:
			t.Do = "If somebody watches the sweep again, resume; renew then in time."
		case record.CauseStranger:
			t.Do = "Find out what else sends under this identity, and stop it. Resume only then."
		default:
			t.Do = fmt.Sprintf("Ask %s, or whoever took over, whether the reason is gone; then resume.", h.By)
		}
		if j.active() {
			t.Commands = []string{j.place.order(append([]string{"resume"}, of(h)...)...)}
		} else {
			t.Do = "It still holds when the sweep goes on. " + t.Do
		}
		t = callOfHold(t, h)
		if h.Scope == record.WholeSweep && j.active() {
			j.stops = true
			if h.Cause != record.CauseWave || !wrong {
				j.tasks = slices.Insert(j.tasks, first, t)
				continue
			}
		}
		j.add(t)
	}
	if n := len(st.Quarantine); n > 0 {
		j.add(call(record.Task{
			Incident: "quarantine", Says: fmt.Sprintf("the DCC holds %d requests back; event references %s", n, strings.Join(st.Quarantine[:min(n, mostNamed)], " ")),
			Do: "Have the DCC's service desk release them. Of one that it deletes instead, say so:", Commands: j.ifActive("deleted", "--reference", "REFERENCE"),
		}, record.NoticeQuarantine, "", fmt.Sprintf("the DCC holds %d requests back", n)))
	}
	if n := len(st.Delete); n > 0 {
		j.add(record.Task{
			Incident: "quarantine", Says: fmt.Sprintf("%d quarantined requests must not be released: event references %s", n, strings.Join(st.Delete[:min(n, mostNamed)], " ")),
			Do: "Have the DCC's service desk delete these. Of each, once it is gone, say so:", Commands: j.ifActive("deleted", "--reference", "REFERENCE"),
		})
	}
}

// callOfHold has people called for what is held. It leaves out who held it and what they wrote.
func callOfHold(t record.Task, h record.HoldStatus) record.Task {
	past := map[string]string{"pause": "paused", "stop": "stopped"}[h.Action]
	says := fmt.Sprintf("%s is %s by a person", h.Scope, past)
	if h.By == record.BySweep {
		says = fmt.Sprintf("%s is %s by itself: %s", h.Scope, past, h.Reason)
	}
	t = call(t, cmp.Or(holdKinds[h.Cause], record.NoticePause), h.Scope, says)
	t.Cause.Since = h.Since
	if h.By != record.BySweep {
		t.Cause.Do = strings.ReplaceAll(t.Do, "Ask "+h.By+", or whoever took over,", "Ask who did it, or whoever took over,")
	}
	if h.Cause == record.CauseQuarantine { // one cause with the requests held back
		t.Cause.Scope, t.Cause.Since = "", time.Time{}
	}
	return t
}

// clockOf formats an instant of the sweep's clock, and says so if that differs from the wall clock.
func (j *judge) clockOf(at time.Time) string {
	text := at.UTC().Format(clockLayout)
	if j.st.ClockSpeed != 0 && j.st.ClockSpeed != 1 {
		text += " (the sweep's clock)"
	}
	return text
}

// ifActive is an order, if the sweep still takes orders.
func (j *judge) ifActive(words ...string) []string {
	if !j.active() {
		return nil
	}
	return []string{j.place.order(words...)}
}

// ways tells of what is wrong between the sweep and the meters.
func (j *judge) ways() {
	st := j.st
	waits := st.Done < st.Meters
	if st.Signer != "" {
		j.stops = j.stops || waits
		j.add(call(record.Task{
			Says: "no signatures: " + st.Signer, Do: doSigner, Incident: "signer-gone",
			Commands: []string{j.place.command("signer", "serve", "--config", "SIGNER.yaml")},
		}, record.NoticeSigner, "", ""))
	}
	down := len(st.Breakers) > 0 && st.Rates.Acknowledged == 0 && waits
	if len(st.Breakers) > 0 {
		t := record.Task{Incident: "dcc-down", Says: "POSTs to the DCC fail: ", Do: doServices}
		if down {
			j.stops = true
			t.Says = "the DCC takes nothing: "
			t.Do += " If they are well, look at the way there: dcc.url, dcc.tls, the firewall."
		}
		tries := st.State != "paused" && slices.Contains(slices.Collect(maps.Values(st.Breakers)), "open")
		if !tries { // nothing is POSTed that would show it
			t.Says = strings.NewReplacer("takes nothing", "took nothing when it was last tried", "fail", "failed when they were last tried").Replace(t.Says)
		}
		if st.State == "paused" {
			t.Do = strings.Replace(t.Do, doesServices, "While it is paused the sweep tries nothing: resume once they are well.", 1)
		}
		names := strings.Join(slices.Sorted(maps.Keys(st.Breakers)), ", ")
		since := ""
		if !st.BreakersSince.IsZero() {
			since = ", since " + st.BreakersSince.UTC().Format(clockLayout)
		}
		t = call(t, record.NoticeBreaker, "", t.Says+names) // one cause, however often it is looked at
		t.Says += names + since
		j.add(t)
	}
	switch {
	case st.UnknownSigner > 0:
		j.add(call(record.Task{
			Says: fmt.Sprintf("%s under a certificate of the DCC that is not configured, since %s: none is believed", count(st.UnknownSigner, "1 answer is signed", "%d answers are signed"), j.clockOf(st.UnknownSince)),
			Do:   doCertificate, Incident: "wrong-certificate", Commands: append(j.ifActive("stop"), j.place.Sweep()),
		}, record.NoticeInbox, "certificate", "answers are signed under a certificate of the DCC that is not configured: none is believed"))
	case st.State == "running" && !down: // else they are silent for that
		j.regions()
	}
	if st.DiskFree != nil && *st.DiskFree < st.DiskNeeded {
		j.add(call(record.Task{
			Says: fmt.Sprintf("%d MiB are free where the journal is, and the rest of the sweep may take %d MiB", *st.DiskFree>>20, st.DiskNeeded>>20),
			Do:   doDisk, Incident: "disk-full",
		}, record.NoticeDisk, "", ""))
	}
	for _, gate := range slices.Sorted(maps.Keys(st.Gates)) {
		if why := st.Gates[gate]; why != "open" && st.State != "halted" {
			j.stops = true
			j.add(call(record.Task{Incident: gateIncidents[gate], Says: fmt.Sprintf("gate %s is closed: %s", gate, why), Do: "The sweep halts: see to the gate first."}, record.NoticeGate, gate, ""))
		}
	}
}

// regions tells where no answers come from.
func (j *judge) regions() {
	var silent, names, pauses []string
	electricity := 0
	for _, r := range j.st.Heard {
		electricity += r.OpenElectricity
		if r.Silent && !j.holds("region "+r.Region) {
			silent, names = append(silent, r.Region+" ("+r.Answered()+")"), append(names, r.Region)
			pauses = append(pauses, j.ifActive("pause", "--region", r.Region, "--reason", "region out")...)
		}
	}
	quiet := j.st.Elapsed
	if s := j.st.InboxHeard; s != nil {
		quiet = *s * cmp.Or(j.st.ClockSpeed, 1)
	}
	switch {
	case (electricity >= fewOpen || electricity > 0 && len(silent) > 0) && quiet > inboxQuiet.Seconds():
		j.add(call(record.Task{
			Says: fmt.Sprintf("nothing has come in at the inbox for %s, and %d requests wait for answers", record.Span(quiet), electricity),
			Do:   doInbox, Incident: "inbox-unreachable",
		}, record.NoticeInbox, "", ""))
	case len(silent) > 0:
		j.add(call(record.Task{
			Says: "no meter answers in " + strings.Join(silent, ", "),
			Do:   doRegion, Incident: "region-out",
			Commands: pauses,
		}, record.NoticeRegion, strings.Join(names, ", "), ""))
	}
}

// holds says whether something of this scope is held.
func (j *judge) holds(scope string) bool {
	return slices.ContainsFunc(j.st.Holds, func(h record.HoldStatus) bool { return h.Scope == scope })
}

// soon tells of what will stop the sweep if nobody does anything.
func (j *judge) soon() {
	st := j.st
	if r := st.Renewal; r != nil && *r < renewSoon.Seconds() && st.State == "running" {
		j.add(call(record.Task{
			Says: fmt.Sprintf("nobody has renewed the sweep: it pauses in %s", record.Span(max(0, *r))),
			Do:   doRenew, Incident: "paused", Commands: j.ifActive("renew"),
		}, record.NoticeDeadMan, "renewal", ""))
	}
	if s := st.StandbyMissing; s != nil && *s > standbyGone.Seconds() && !st.Drill() {
		j.add(record.Task{
			Says: "nobody stands by to take the sweep over, for " + record.Span(*s), Do: doStandby,
			Incident: "nobody-stands-by", Commands: []string{j.place.Sweep()},
		})
	}
	left := st.Meters - st.Done
	if st.Deadline.IsZero() || left == 0 || j.now.After(st.Deadline) { // the gate says the rest
		return
	}
	until := st.Deadline.Sub(j.now)
	if late := st.State == "running" && st.ETA != nil && until.Seconds() < *st.ETA; late || until < deadlineNear {
		j.add(record.Task{
			Incident: "plan-too-slow", Says: fmt.Sprintf("the direction ends in %s, %s, and %d of %d meters have no verdict", record.Span(until.Seconds()), st.Deadline.UTC().Format(clockLayout), left, st.Meters),
			Do: "Ask the Authority now whether it ends later: then sign the new direction, make a new plan and have two approve.",
		})
	}
}
