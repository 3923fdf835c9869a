package sweep_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// invariant is what must hold after every step, whatever happens.
type invariant string

// The invariants.
//
//  1. one counter, one request; each half of it is signed once, and only those bytes go out
//  2. nothing goes out that is not durable
//  3. nothing goes out for a request that has its outcome, or is held back by the DCC
//  4. a stored message is marked as judged once, and its answer is not lost
//  5. on_supply and armed are said only after reads that were answered so, and that are
//     newer than the last command
//  6. no window holds more POSTs than the limit, and a Retry-After is obeyed
//  7. nothing goes out while a gate is closed, or after the sweep has halted
//  8. nothing goes out to a home that was excluded, or that the list of transfers has
//     leave by now
//  9. nothing goes out of a scope that is paused or was stopped now
//  10. 7.3 goes out only on a read of Disabled that is fresh, to a supply that is off for
//     lack of credit, in Credit
//  11. nothing outside the strategy and the permitted set is signed
//  12. no home is worse off than it was found
//  13. every open request has a way to its end, and what is in which queue, behind which
//     hub and in which count follows from its phase; no event comes that cannot be
//  14. that it has halted is written in the step in which it halts
//  15. the records and a kept state tell one story, and a start always can begin
//  16. every meter gets its verdict at last; a home that is off for lack of credit and
//     answers is armed
//  17. a home that is awake is asked, however many sleep
const (
	signedOnce    invariant = "1 one counter, one request, signed once"
	durableFirst  invariant = "2 durable before it goes out"
	notAfterEnd   invariant = "3 nothing after its outcome or while it is held"
	judgedOnce    invariant = "4 each message is judged once, and no answer is lost"
	verdictProven invariant = "5 verdicts are proven"
	withinLimits  invariant = "6 no window is over its limit"
	gateHolds     invariant = "7 nothing goes out after a gate has closed or a halt"
	excludedHolds invariant = "8 nothing goes out to an excluded home"
	pauseHolds    invariant = "9 nothing goes out of what is paused"
	armOnProof    invariant = "10 7.3 on fresh proof of cause"
	permittedOnly invariant = "11 nothing outside the strategy"
	noneWorseOff  invariant = "12 no home is worse off"
	phasesHold    invariant = "13 what is kept follows from the phases"
	haltWritten   invariant = "14 a halt is written at once"
	oneStory      invariant = "15 the records and the state tell one story"
	goodEnd       invariant = "16 every meter comes to its end"
	awakeAsked    invariant = "17 who is awake is asked"
)

// violation is what a walk ends with where an invariant is broken.
type violation struct {
	what   invariant
	detail string
}

func (v *violation) Error() string { return fmt.Sprintf("invariant %s: %s", v.what, v.detail) }

// broken ends the walk. Inside a half the door takes the panic for a worker's, so it is
// kept, too.
func (w *world) broken(what invariant, format string, args ...any) {
	if w.found == nil {
		w.found = &violation{what, fmt.Sprintf(format, args...)}
	}
	panic(w.found)
}

// piece is what a body was signed for.
type piece struct {
	command bool
	service servicerequests.Service
	id      servicerequests.RequestID
	device  servicerequests.EUI // of an inventory
}

// judge holds all that goes out, is written and is heard against the invariants.
type judge struct {
	pieces  map[string]piece
	bodies  map[piece]string
	tokens  map[*signer.Token]gbcs.Expected
	nonce   int
	running *half
	refused error      // the last order
	found   *violation // the first

	journalled map[string]bool                      // bytes that are in the journal
	requests   map[uint64]servicerequests.RequestID // by counter
	ended      map[servicerequests.RequestID]bool   // with an outcome
	marks      map[uint64]int                       // of stored messages
	answers    map[servicerequests.RequestID]servicerequests.EUI
	toldHeld   map[servicerequests.RequestID]bool
	commands   map[servicerequests.EUI]uint64 // the latest that went out
	times      []time.Time                    // of POSTs
	until      map[record.Endpoint]time.Time  // Retry-After
	holds      []record.OrderBody
	halted     bool // since the last start, by a record
	again      bool // the records of earlier runs are gone through
	people     bool // somebody has given an order, or a process has died
}

func newJudge() judge {
	return judge{
		pieces: map[string]piece{}, bodies: map[piece]string{}, tokens: map[*signer.Token]gbcs.Expected{},
		journalled: map[string]bool{}, requests: map[uint64]servicerequests.RequestID{}, ended: map[servicerequests.RequestID]bool{},
		marks: map[uint64]int{}, answers: map[servicerequests.RequestID]servicerequests.EUI{}, toldHeld: map[servicerequests.RequestID]bool{},
		commands: map[servicerequests.EUI]uint64{}, until: map[record.Endpoint]time.Time{},
	}
}

// sign gives a body its number.
func (w *world) sign(p piece) []byte {
	w.nonce++
	body := fmt.Sprintf("%t %v %v #%d", p.command, p.service, p.id, w.nonce)
	if was, ok := w.requests[p.id.Counter]; ok && was != p.id {
		w.broken(signedOnce, "counter %d for %v and %v", p.id.Counter, was, p.id)
	}
	w.requests[p.id.Counter] = p.id
	if was, ok := w.bodies[p]; ok && w.journalled[was] {
		w.broken(signedOnce, "SRV %v %v is signed again", p.service, p.id)
	}
	if p.service == servicerequests.SwitchToCredit && w.policy.Strategy == record.EmergencyCredit {
		w.broken(permittedOnly, "1.6 in strategy %s", w.policy.Strategy)
	}
	w.pieces[body], w.bodies[p] = p, body
	return []byte(body)
}

// posted holds a POST, at the moment its bytes leave, against the rules.
func (j *judge) posted(w *world, id servicerequests.RequestID, body string) {
	p := w.pieces[body]
	h := w.at[w.running.Half.Device]
	if w.running.fenced { // what was durable before may still go out; what holds for it holds then
		if !j.journalled[body] || w.bodies[p] != body {
			w.broken(durableFirst, "POST of %q by an engine that is fenced", body)
		}
		return
	}
	switch {
	case p.id != id || w.bodies[p] != body:
		w.broken(signedOnce, "POST of %q as %v", body, id)
	case !j.journalled[body]:
		w.broken(durableFirst, "POST of %q", body)
	case j.ended[id]:
		w.broken(notAfterEnd, "POST of %q, which has its outcome", body)
	case j.toldHeld[id]:
		w.broken(notAfterEnd, "POST of %q, which the DCC holds back", body)
	case w.gate != nil || j.halted:
		w.broken(gateHolds, "POST of %q", body)
	case h.excluded:
		w.broken(excludedHolds, "POST of %q", body)
	}
	for _, l := range w.options.Transfers {
		if l.Device == h.eui && !w.now.Before(l.Leave) {
			w.broken(excludedHolds, "POST of %q, which leaves at %v", body, l.Effective)
		}
	}
	for _, o := range j.holds {
		begun := o.Action == record.OrderStop && !o.Now
		switch {
		case begun, o.Region != servicerequests.UnknownRegion && o.Region != h.region, o.SRV != "" && o.SRV != p.service.SRV(), o.Wave != 0:
		default:
			w.broken(pauseHolds, "POST of %q though %s of %v SRV %q", body, o.Action, o.Region, o.SRV)
		}
	}
	endpoint := w.running.Place.Endpoint
	if w.now.Before(j.until[endpoint]) {
		w.broken(withinLimits, "POST of %q %v before the Retry-After is over", body, j.until[endpoint].Sub(w.now))
	}
	j.times = append(j.times, w.now)
	for i, from := range j.times {
		n, span := len(j.times)-i, w.now.Sub(from).Seconds()
		if float64(n) > float64(rate.Burst)+rate.PerSecond*span+1e-6 {
			w.broken(withinLimits, "%d POSTs in %.3f s", n, span)
		}
	}
	if len(j.times) > 64 {
		j.times = j.times[32:]
	}
	if p.command {
		j.commands[h.eui] = max(j.commands[h.eui], id.Counter)
		if p.service == servicerequests.ArmSupply {
			j.arming(w, h, body)
		}
	}
}

// arming holds a 7.3 against the truth.
func (j *judge) arming(w *world, h *home, body string) {
	fresh := w.policy.ArmFresh.Electricity
	if h.kind == servicerequests.GSME {
		fresh = w.policy.ArmFresh.Gas
	}
	switch {
	case h.supply != servicerequests.Disabled && !h.readOff.IsZero() && w.now.Sub(h.readOff) <= fresh: // somebody was there since
	case h.person && h.known || !h.lacks:
		w.broken(armOnProof, "%q: it is off for another reason: %+v\n%s", body, *h, w.tail(h.eui))
	case h.mode != servicerequests.Credit && !h.touched:
		w.broken(armOnProof, "%q in %v", body, h.mode)
	case h.readOff.IsZero() || w.now.Sub(h.readOff) > fresh:
		w.broken(armOnProof, "%q on a read of %v", body, h.readOff)
	}
}

// record holds a record, as it is written, against the rules.
func (j *judge) record(w *world, r *record.Record) {
	var of uint64
	switch r.Kind {
	case record.Request, record.SignedCommand:
		j.journalled[string(r.Body)] = true
		return
	case record.Outcome:
		j.ended[r.ID] = true
		if body, err := record.Decode[record.OutcomeBody](*r); err == nil {
			of = body.Of
		}
	case record.Refused:
		if body, err := record.Decode[record.RefusedBody](*r); err == nil {
			of = body.Of
		}
	case record.Proven:
		body, err := record.Decode[record.ProvenBody](*r)
		if err == nil {
			of = body.Of
		}
		switch body.Code {
		case "81BE", "81BF", "81B4", "81B5", "81B6":
			if h := w.at[r.Device]; h.person {
				h.known = true
			}
		}
		if q := body.Quarantined; q != nil && !j.ended[q.Request] {
			j.toldHeld[q.Request] = true
		}
	case record.Unmatched, record.Repeated:
		if body, err := record.Decode[record.JudgedBody](*r); err == nil {
			of = body.Of
		}
	case record.Halted:
		j.halted = true
	case record.Operator:
		j.order(w, r)
	case record.Verdict:
		if !j.again {
			j.verdict(w, r)
		}
	}
	if of != 0 {
		if j.marks[of]++; j.marks[of] > 1 {
			w.broken(judgedOnce, "message %d is marked %d times, last by %v", of, j.marks[of], r.Kind)
		}
	}
}

// order follows what is paused.
func (j *judge) order(w *world, r *record.Record) {
	o, err := record.Decode[record.OrderBody](*r)
	if err != nil {
		return
	}
	same := func(h record.OrderBody) bool { return h.Region == o.Region && h.SRV == o.SRV && h.Wave == o.Wave }
	keep := j.holds[:0:0]
	switch o.Action {
	case record.OrderPause, record.OrderStop:
		j.holds = append(j.holds, o)
		return
	case record.OrderResume:
		for _, h := range j.holds {
			if !same(h) {
				keep = append(keep, h)
			}
		}
	case record.OrderExclude, record.OrderSuppress:
		for _, eui := range o.Devices {
			w.at[eui].excluded = true
		}
		return
	case record.OrderRenew:
		for _, h := range j.holds {
			if h.Cause != record.CauseRenewal {
				keep = append(keep, h)
			}
		}
	default:
		return
	}
	j.holds = keep
}

// verdict compares a verdict with the answers.
func (j *judge) verdict(w *world, r *record.Record) {
	v, err := record.Decode[record.VerdictBody](*r)
	if err != nil {
		w.broken(verdictProven, "%v", err)
	}
	if v.Verdict != record.VerdictOnSupply && v.Verdict != record.VerdictArmed {
		return
	}
	h := w.at[r.Device]
	want := servicerequests.Enabled
	if v.Verdict == record.VerdictArmed {
		want = servicerequests.Armed
	}
	switch {
	case v.End.Mode != servicerequests.Credit || v.End.Supply != want:
		w.broken(verdictProven, "%v: %s with %v", h.eui, v.Verdict, v.End)
	case h.answered[v.ModeCounter].mode != v.End.Mode || h.answered[v.SupplyCounter].supply != v.End.Supply:
		w.broken(verdictProven, "%v: %s, but it never answered so", h.eui, v.Verdict)
	case v.SupplyCounter <= j.commands[h.eui]:
		w.broken(verdictProven, "%v: %s by the read %d, after command %d\n%s", h.eui, v.Verdict, v.SupplyCounter, j.commands[h.eui], w.tail(h.eui))
	}
}

// stored notes a message that was answered 204.
func (j *judge) stored(_ uint64, d proof.Delivery) {
	if d.Result != nil && d.Message.Counter == d.ID.Counter {
		j.answers[d.ID] = d.Device
	}
}

// settled holds that a message is marked when it is said to be.
func (j *judge) settled(w *world, seq uint64) {
	if j.marks[seq] == 0 {
		w.broken(judgedOnce, "message %d is given up without a record", seq)
	}
}

// started notes that a process begins: what a crash has taken with it is not in the
// journal any more.
func (j *judge) started(w *world) {
	j.journalled, j.ended, j.marks = map[string]bool{}, map[servicerequests.RequestID]bool{}, map[uint64]int{}
	j.toldHeld, j.holds, j.times = map[servicerequests.RequestID]bool{}, nil, nil
	clear(j.until) // a Retry-After is not kept across a start
	for _, h := range w.homes {
		h.excluded = false
	}
	j.again = true
	for i := range w.durable {
		j.record(w, &w.durable[i])
	}
	j.again, j.halted = false, false
	j.holds = slices.DeleteFunc(j.holds, func(o record.OrderBody) bool { // it ended the run that it was given to
		return o.Action == record.OrderStop && o.Region == servicerequests.UnknownRegion && o.SRV == "" && o.Wave == 0
	})
}

// after is asked after every step of the machine.
func (j *judge) after(w *world) {
	if err := w.machine.Check(); err != nil {
		w.broken(phasesHold, "%v", err)
	}
	if halt := w.machine.Halt(); halt != nil && strings.Contains(halt.Reason, "defect") {
		w.broken(phasesHold, "%v", halt)
	}
	if (w.machine.Halt() != nil) != j.halted && !w.failed {
		w.broken(haltWritten, "halted %v, written %t", w.machine.Halt(), j.halted)
	}
	if w.now.Sub(w.begun) > 3*time.Hour && w.mishaps == 0 && len(j.holds) == 0 && w.options.Waves == nil {
		for _, h := range w.homes {
			if h.kind == servicerequests.ESME && !w.machine.Begun(h.number) && w.machine.Halt() == nil {
				w.broken(awakeAsked, "%v is not asked for %v", h.eui, w.now.Sub(w.begun))
			}
		}
	}
}

// conclude compares the end with the truth.
func (j *judge) conclude(w *world) {
	ledgers := w.machine.Ledgers()
	for id, device := range j.answers {
		m := ledgers[w.at[device].number]
		if past := m.PastWith(id); past != nil && past.Class.Unanswered() {
			w.broken(judgedOnce, "%v answered %v, which is %v", device, id, past.Class)
		}
	}
	for seq := range w.delivered {
		if j.marks[seq] != 1 {
			w.broken(judgedOnce, "message %d is marked %d times", seq, j.marks[seq])
		}
	}
	if w.mishaps > 1 || j.people || w.policy.Strategy != record.CreditMode {
		return
	}
	for i, h := range w.homes {
		tallies := ledgers[i].Tallies
		tallies[servicerequests.ReadInventory].Last = record.ClassOpen // no home needs an inventory
		if slices.ContainsFunc(tallies[:], func(t ledger.Tally) bool { return t.Last == record.ClassRejected }) {
			continue // the DCC has refused it for good
		}
		if ledgers[i].Bars.Person != "" {
			continue // an alert, however old, said so before anything was read
		}
		if found := ledgers[i].Found; !found.Mode.Known() || !found.Supply.Known() {
			continue // a read was lost, and the switch waits for no evidence (decision 18)
		}
		if h.lacks && !h.locked && !h.refused && !h.person && !h.touched && !h.silent && !h.excluded && h.supply < servicerequests.Armed {
			w.broken(goodEnd, "%v stays off: %s, %s", h.eui, ledgers[i].Verdict.Verdict, w.policy.Conclude(ledgers[i]).Reason)
		}
	}
}

// tail is the last records of a device.
func (w *world) tail(device servicerequests.EUI) string {
	var lines []string
	for _, r := range append(slices.Clone(w.durable), w.queued...) {
		switch r.Kind {
		case record.Outcome, record.Verdict, record.Operator, record.Proven, record.Opened, record.Closed, record.Halted, record.Request, record.SignedCommand, record.Reply, record.Response:
			if r.Device == device || r.Device == 0 {
				lines = append(lines, fmt.Sprintf("      %d %v %v %v %s %.300s", r.Seq, r.Kind, r.Service, r.ID.Counter, r.Code, r.Body))
			}
		}
	}
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
