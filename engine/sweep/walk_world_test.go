package sweep_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/ledger"
	"safemode/engine/pacer"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// world is everything outside a machine, in one goroutine and virtual time: the DCC with
// its meters, the journal, the inbox, the door (the real one, which stops at each point at
// which something else may come first), the people, and the judge of all of it. Whatever
// is left open it asks [chooser].
type world struct {
	*chooser
	now     time.Time
	begun   time.Time // this run
	looked  time.Time // when a person last found nothing to do
	machine *sweep.Machine
	door    *exchange.Exchange
	limits  *pacer.Pacer // that bind
	policy  ledger.Policy
	options sweep.Options

	creditArms, armAnyway, spentSuffice bool // answers to the open questions about meters

	homes []*home
	at    map[servicerequests.EUI]*home

	// The journal.
	durable, queued []record.Record
	last            uint64
	rows            []record.StateRow // durable
	keeping         [][]record.StateRow
	stalled, failed bool
	counter         uint64
	skew            time.Duration // of the time that the machine is told

	// The process.
	halves    []*half
	fenced    []*half // of an engine that another has taken over from
	done      []sweep.Done
	stored    []uint64 // messages that are durable, and that the machine has not heard
	delivered map[uint64]proof.Delivery
	waiting   []sweep.Event // that the loop has not taken in
	gate      error
	tickets   uint64
	given     map[uint64]uint64 // by ticket: the last record that was queued when the half was given
	steps     int
	coverage  *[ledger.PhaseCount][ledger.EventCount]int

	turns              bool // workers take turns at each point; else one goes on to its end
	deaf, slow, asleep int  // turns for which messages, results and devices wait

	// The DCC.
	taken    map[string]string // its reply, by bytes
	flights  []flight
	inbox    []proof.Delivery
	heldBack map[servicerequests.RequestID]string // by AD1: the event reference
	events   int
	moved    bool

	inventory string // the fate of each POST to the inventory; empty: like any other's

	judge
}

// flight is a request on its way to a device.
type flight struct {
	home    *home
	service servicerequests.Service
	id      servicerequests.RequestID
	fate    string
}

const (
	ourEUI = servicerequests.EUI(0x90B3D51F30010000)
	dccEUI = servicerequests.EUI(0x90B3D51F30000002)
)

var (
	errDisk   = errors.New("disk full")
	errClosed = errors.New("closed")
	errKilled = errors.New("killed")
)

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC) // a Monday

// newWorld draws a street of one or two homes.
func newWorld(c *chooser) *world {
	c.drawing = true
	w := &world{
		chooser: c, now: start, looked: start, at: map[servicerequests.EUI]*home{}, taken: map[string]string{},
		delivered: map[uint64]proof.Delivery{}, heldBack: map[servicerequests.RequestID]string{}, given: map[uint64]uint64{}, counter: 1000,
		judge: newJudge(),
	}
	per := func(e, g time.Duration) ledger.PerFuel[time.Duration] {
		return ledger.PerFuel[time.Duration]{Electricity: e, Gas: g}
	}
	w.policy = ledger.Policy{
		Strategy:             pick(w, "strategy", record.CreditMode, record.Full, record.EmergencyCredit),
		ReadWait:             time.Minute,
		ProofWait:            per(15*time.Minute, 95*time.Minute),
		EmergencyCreditBelow: 2 * servicerequests.Pound,
		ArmFresh:             per(time.Minute, 45*time.Minute),
		ResponseWait:         per(5*time.Minute, 25*time.Hour),
		Retry: ledger.PerFuel[[]time.Duration]{
			Electricity: []time.Duration{time.Minute, time.Hour}, Gas: []time.Duration{time.Hour, 4 * time.Hour},
		},
		SwitchTries: 3, ArmTries: 2, GasBalanceFromProxy: w.choose("proxy", 2) == 0,
		Patience: time.Hour, StepDeadline: per(4*time.Hour, 26*time.Hour),
		BalanceAfter: w.choose("balance after", 2) == 1,
		DailySpend:   5 * servicerequests.Pound, AtRiskWithin: 24 * time.Hour, ActWithin: 2 * time.Hour,
	}
	w.turns = w.choose("turns", 2) == 1
	if w.choose("dark wait", 2) == 1 {
		w.policy.DarkWait, w.policy.DarkAgain = per(2*time.Minute, 65*time.Minute), 2*time.Minute
	}
	if w.choose("reread", 3) == 2 {
		w.policy.RereadArmedAfter, w.policy.RereadAfter, w.policy.RereadShare = time.Hour, 24*time.Hour, 1
	}
	w.policy.Permits = func(s servicerequests.Service, _ servicerequests.DeviceType) bool {
		return s != servicerequests.ReadPrepaymentConfiguration && (w.policy.Strategy != record.EmergencyCredit || s != servicerequests.SwitchToCredit)
	}
	w.creditArms, w.armAnyway, w.spentSuffice = w.choose("1.6 arms", 2) == 1, w.choose("7.3 on what is on", 2) == 1, w.choose("spent suffices", 2) == 1
	w.draw(0x00DB123456780001, 0, servicerequests.ESME, servicerequests.North)
	if w.choose("gas", 2) == 0 {
		w.draw(0x00DB123456780002, 0x00DB123456780003, servicerequests.GSME, servicerequests.North)
	}
	if w.choose("another home", 3) > 0 {
		w.draw(0x00DB123456780011, 0, servicerequests.ESME, pick(w, "region", servicerequests.North, servicerequests.South))
	}
	w.options = sweep.Options{
		Policy: w.policy, Originators: []servicerequests.EUI{ourEUI}, DCC: dccEUI,
		Workers: 2, InFlight: pick(w, "in flight", 100, 2), PerHub: pick(w, "per hub", 4, 1), Resend: time.Second, Resends: 2,
		RetryBudget: pick(w, "retry budget", 0, 3), DeadMan: pick(w, "dead man", 0, 2*time.Hour), Drain: 2 * time.Minute,
		Thresholds: map[servicerequests.Service]sweep.Threshold{servicerequests.ReadSupplyStatus: {Count: 50, Per: time.Hour}},
	}
	if w.choose("waves", 2) == 1 {
		w.options.Waves = []sweep.Wave{{Name: "canary", Meters: 1, Soak: time.Minute}, {Name: "rest"}}
	}
	// Without an inventory nothing tells whose a proxy is that the portfolio names.
	w.inventory = pick(w, "inventory", "", "", "", "bad status", "lost after")
	if w.choose("one at a time", 4) == 3 { // then a single sleeper may be in the way of all
		w.options.InFlight = 1
	}
	c.drawing = false
	w.options.Tripwires.Unverified = sweep.Tripwire{Window: 20, Minimum: 4, Ratio: 0.5}
	w.options.Tripwires.Unregistered = sweep.Tripwire{Window: 20, Minimum: 2, Ratio: 0.5}
	w.boot()
	return w
}

// draw plans a meter. By default it is off for lack of credit.
func (w *world) draw(eui, proxy servicerequests.EUI, kind servicerequests.DeviceType, region servicerequests.Region) {
	h := &home{eui: eui, proxy: proxy, kind: kind, region: region, number: int32(len(w.homes)), answered: map[uint64]seen{}}
	h.seen = pick(w, "found", seen{servicerequests.Prepayment, servicerequests.Disabled}, seen{servicerequests.Prepayment, servicerequests.Enabled},
		seen{servicerequests.Prepayment, servicerequests.Armed}, seen{servicerequests.Credit, servicerequests.Enabled},
		seen{servicerequests.Credit, servicerequests.Disabled})
	h.balance = pick(w, "balance", -5*servicerequests.Pound, 10*servicerequests.Pound, servicerequests.Pound)
	h.emergency = pick(w, "emergency", spent, available, active, unavailable)
	h.claimed = pick(w, "claimed", servicerequests.Prepayment, servicerequests.Credit)
	if h.mode == servicerequests.Credit {
		h.emergency = unavailable
	}
	switch w.choose("history", 6) {
	case 4:
		h.stored, h.history = true, []string{ledger.HistoryPendingMode}
	case 5:
		h.history, h.person = []string{ledger.HistoryDisabled}, true
	}
	off := h.supply == servicerequests.Disabled
	h.lacks = off && h.mode == servicerequests.Prepayment && h.balance <= 0 && !h.person
	h.locked = off && w.choose("locked", 6) == 5
	h.person = h.person || off && !h.lacks
	h.known = h.person
	h.silent = w.choose("silent", 8) == 7
	h.found = h.seen
	w.homes = append(w.homes, h)
	w.at[eui], w.at[proxy] = h, h
	body := record.TargetBody{
		Type: kind, Hub: 0x00DB123456789000 + eui>>4, Region: region, Claimed: h.claimed, History: h.history, Originator: ourEUI,
	}
	if proxy != 0 { // what the portfolio says of it may be wrong: another home's, which is dark, or one that is nowhere
		body.Proxy = pick(w, "gpf_id", 0, proxy, proxy+16, proxy+32)
		other := &home{
			eui: proxy + 15, proxy: proxy + 16, number: h.number, kind: kind, balance: -5 * servicerequests.Pound,
			seen: seen{servicerequests.Prepayment, servicerequests.Disabled}, answered: map[uint64]seen{},
		}
		w.at[other.proxy] = other
		before := h.balance + 10*servicerequests.Pound
		body.BalanceEstimate, body.BalanceAt = &before, w.now.Add(-48*time.Hour)
	}
	w.write(record.Record{At: w.now, Kind: record.Target, Device: eui, Body: record.Encode(body)})
	w.sync()
}

// deliver is the inbox: a message is durable first, and answered 204.
func (w *world) deliver(i int) {
	d := w.inbox[i]
	kind := record.Response
	code := string(d.Code)
	switch {
	case d.Alert != nil:
		kind, code = record.Alert, fmt.Sprintf("%04X", d.Alert.Code)
	case d.DCCAlert != nil:
		kind, code = record.Alert, d.DCCAlert.Code
	}
	if w.failed || w.stalled {
		return // 503: it is sent again
	}
	w.inbox = slices.Delete(w.inbox, i, i+1)
	seq := w.write(record.Record{At: w.now, Kind: kind, Device: d.Device, ID: d.ID, Code: code, Body: []byte("message")})
	w.sync()
	w.delivered[seq] = d
	w.stored = append(w.stored, seq)
	w.judge.stored(seq, d)
}

// prove has a stored message judged. Keys may be missing or old: then it is tried again.
func (w *world) prove(i int) {
	seq := w.stored[i]
	d := w.delivered[seq]
	if w.mishap("keys are not to be had") {
		w.happen(sweep.Disbelieved{Seq: seq, ID: d.ID, Reason: "keys", FromDCC: true})
		w.stored = append(slices.Delete(w.stored, i, i+1), seq)
		return
	}
	w.stored = slices.Delete(w.stored, i, i+1)
	w.happen(sweep.Heard{Seq: seq, At: w.now, Delivery: d})
}

// happen tells the machine.
func (w *world) happen(events ...sweep.Event) {
	now := w.now.Add(w.skew)
	w.skew = 0
	w.perform(w.machine.Step(now, events...))
	w.judge.after(w)
}

// perform does what the machine asks for.
func (w *world) perform(actions []sweep.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case sweep.Append:
			for _, r := range a.Records {
				w.write(r)
			}
		case sweep.Send:
			w.send(a)
		case sweep.Recall:
			a.Permit.Recall()
		case sweep.Reserve:
			if w.mishap("no counters") {
				w.waiting = append(w.waiting, sweep.Reserved{Originator: a.Originator, Err: errDisk})
				break
			}
			w.waiting = append(w.waiting, sweep.Reserved{Originator: a.Originator, First: w.counter + 1, Last: w.counter + 512})
			w.counter += 512
		case sweep.Answer:
			w.refused = a.Err
		case sweep.Settled:
			w.judge.settled(w, a.Seq)
		case sweep.Moved:
			w.moved = true
		}
	}
}

// codeOf is the message code of a service on a kind of device.
func (w *world) codeOf(s servicerequests.Service, kind servicerequests.DeviceType) uint16 {
	return codes[[2]uint8{uint8(s), uint8(kind)}]
}

var codes = func() map[[2]uint8]uint16 {
	all := map[[2]uint8]uint16{}
	for _, s := range servicerequests.Services {
		for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME, servicerequests.GPF} {
			for code := range uint16(0x200) {
				if u, ok := gbcs.LookupUseCase(code); ok && u.Service == s && u.Fits(kind) {
					all[[2]uint8{uint8(s), uint8(kind)}] = code
					break
				}
			}
		}
	}
	return all
}()

// cover counts the machine's moves.
func (w *world) cover() {
	if w.machine == nil || w.coverage == nil {
		return
	}
	for p := range w.machine.Moves() {
		for e, n := range w.machine.Moves()[p] {
			w.coverage[p][e] += n
		}
	}
}

// boot starts a process on what is durable.
func (w *world) boot() {
	w.cover()
	for _, l := range w.halves {
		l.end()
	}
	w.halves, w.done, w.waiting, w.stored, w.gate, w.stalled, w.failed = nil, nil, nil, nil, nil, false, false
	w.begun, w.moved = w.now, false
	w.limits = newLimits()
	w.limits.Empty(w.now)
	w.door = exchange.New(exchange.Options{
		Journal: w, Signer: w, Gateway: w, Verifier: w, Clock: w, Limits: w, Breakers: w, Log: nop, Patience: 1,
		Gate: w.mayAct,
	})
	replayed, unjudged := w.replay(nil)
	w.machine = replayed
	if w.rows != nil {
		restored, again := w.replay(w.rows)
		if a, b := replayed.Snapshot(), restored.Snapshot(); a != b {
			w.broken(oneStory, "the records tell\n%s\nthe state tells\n%s\n%s", a, b, w.tail(w.homes[0].eui))
		}
		if !slices.Equal(unjudged, again) {
			w.broken(oneStory, "messages not judged: %v by the records, %v by the state", unjudged, again)
		}
		w.machine = restored
	}
	w.stored = unjudged
	w.write(record.Record{At: w.now, Kind: record.Opened, Body: record.Encode(record.Opening{StoreFirst: true})})
	w.sync()
	w.judge.started(w)
	w.perform(w.machine.Begin(w.now, w.now))
	w.happen(sweep.Tick{Real: w.now})
}

// mayAct is the gate of the door. An engine that is fenced learns it by its lease, sooner or
// later.
func (w *world) mayAct(time.Time) error {
	if w.running.fenced {
		if w.running.knows {
			return record.ErrLapsed
		}
		return nil
	}
	return w.gate
}

var nop = zap.NewNop()

// replay makes a machine of the journal, with or without a state.
func (w *world) replay(rows []record.StateRow) (*sweep.Machine, []uint64) {
	o := w.options
	o.Pacer, o.Log, o.Registerer = planned{newLimits()}, nop, discard{}
	m, from := sweep.New(o), uint64(1)
	if rows != nil {
		var err error
		if from, err = m.Restore(rows); err != nil {
			w.broken(oneStory, "the state is refused: %v", err)
			from = 1
		}
	}
	unjudged, err := m.Replay(func(yield func(record.Record, error) bool) {
		for _, r := range w.durable[from-1:] {
			if !yield(r, nil) {
				return
			}
		}
	}, func([]byte) (proof.Delivery, error) { return proof.Delivery{}, nil })
	if err != nil {
		w.broken(oneStory, "replay: %v", err)
	}
	return m, unjudged
}

// discard registers nothing: a million machines are made.
type discard struct{}

func (discard) Register(prometheus.Collector) error  { return nil }
func (discard) MustRegister(...prometheus.Collector) {}
func (discard) Unregister(prometheus.Collector) bool { return true }
