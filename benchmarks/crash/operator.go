package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"safemode/engine/console"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// operator is the person of the night. All the time, also while the sweep is down, they
// give it orders and decide about what the DCC holds back. An order is given again until
// the sweep answers: it may die with it.
type operator struct {
	s      *scene
	random *rand.Rand

	sweep   string // its id, as it says; empty: it has not said so yet
	pending []order
	refused map[string]string   // what the sweep last said to an order that it refused, by action
	decided map[string]decision // by quarantine event
	given   int

	answered []order                           // carried out, by the sweep's word
	left     map[servicerequests.EUI]time.Time // meters to be left alone, and since when
	leaving  map[servicerequests.EUI]bool      // the same, and those of whom the sweep has not said so
	orders   map[string]int                    // answered, by action
	released int
	deleted  int
}

// decision is what became of a request that the DCC held back.
type decision struct {
	at      time.Time
	deleted bool
	said    bool // the sweep is told, or will be
}

// order is one of the operator's, under a name that no other has.
type order struct {
	console.Order
	name string
}

// writtenOff is when the operator gives up a request that was released, in real time: its
// answer was lost. Until another machine has taken over, answers wait.
func (s *setup) writtenOff() time.Duration {
	return 15*time.Second + time.Duration(s.nodes-1)*3*s.lease
}

// leftShare is the share of the meters that the operator has left alone in all.
const leftShare = 0.04

func newOperator(s *scene, seed uint64) *operator {
	return &operator{
		s: s, random: rand.New(rand.NewPCG(seed, 7)), decided: map[string]decision{}, refused: map[string]string{},
		left: map[servicerequests.EUI]time.Time{}, leaving: map[servicerequests.EUI]bool{}, orders: map[string]int{},
	}
}

// run gives orders until ctx ends.
func (o *operator) run(ctx context.Context) {
	resumed := time.Now()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(20+o.random.IntN(150)) * time.Millisecond):
		}
		o.decide(ctx)
		o.tell(ctx)
		if len(o.pending) < 20 {
			o.think()
		}
		if time.Since(resumed) > 500*time.Millisecond { // what has paused by itself goes on
			resumed = time.Now()
			for _, srv := range quarantinedSRVs {
				o.want(console.Order{Action: record.OrderResume, SRV: srv})
			}
			o.want(console.Order{Action: record.OrderRenew})
		}
		o.give(ctx)
	}
}

// quarantinedSRVs are those of which the DCC holds some back, as faults.yaml has it.
var quarantinedSRVs = []string{"1.6", "7.4"}

// want puts an order on the list.
func (o *operator) want(what console.Order) {
	o.given++
	o.pending = append(o.pending, order{Order: what, name: fmt.Sprintf("operator %d", o.given)})
}

// think makes up an order now and then.
func (o *operator) think() {
	switch n := o.random.IntN(40); n {
	case 0, 1, 2:
		scope := console.Order{Action: record.OrderPause, Reason: "a call"}
		switch n {
		case 1:
			scope.Region = servicerequests.North
		case 2:
			scope.SRV = "7.4"
		}
		o.want(scope)
		scope.Action = record.OrderResume
		o.want(scope)
	case 3, 4:
		what := console.Order{Action: record.OrderExclude, Devices: o.some()}
		if n == 4 {
			what.Action = record.OrderSuppress
		}
		if len(o.leaving)+len(what.Devices) > int(leftShare*float64(o.s.meters)) {
			return
		}
		o.want(what)
		for _, device := range what.Devices {
			o.leaving[device] = true
		}
	case 5:
		if o.s.ending.Load() {
			return // with slow clocks there would always be a meter that is asked again, and no end
		}
		o.want(console.Order{Action: record.OrderRerun, Devices: o.some(), Reason: "reported off"})
	}
}

// some are a few meters by chance.
func (o *operator) some() (devices []servicerequests.EUI) {
	for range 1 + o.random.IntN(2) {
		devices = append(devices, o.s.devices[o.random.IntN(len(o.s.devices))])
	}
	return devices
}

// decide has the DCC release or delete quarantined requests. The sweep must be told of deleted
// ones.
func (o *operator) decide(ctx context.Context) {
	text, err := get(ctx, "http://"+o.s.control+"/sim/v1/quarantine")
	if err != nil {
		return // the simulator has ended
	}
	var held []struct {
		Ref string `json:"quarantine_event_ref"`
	}
	if err := json.Unmarshal(text, &held); err != nil {
		complain("quarantine: %v", err)
		return
	}
	for _, h := range held {
		if _, done := o.decided[h.Ref]; done || o.random.IntN(3) == 0 { // it takes its time
			continue
		}
		verb := "release"
		if o.random.IntN(2) == 0 {
			verb = "delete"
		}
		if status, _, err := ask(ctx, http.MethodPost, "http://"+o.s.control+"/sim/v1/quarantine/"+h.Ref+"/"+verb, "", nil); err != nil || status != http.StatusNoContent {
			continue
		}
		o.decided[h.Ref] = decision{at: time.Now(), deleted: verb == "delete"}
		if verb == "release" {
			o.released++
		} else {
			o.deleted++
		}
	}
}

// tell tells the sweep which of the requests that it waits for are gone: what was deleted,
// and what was released so long ago that its answer must be lost.
func (o *operator) tell(ctx context.Context) {
	at := o.s.operations()
	if at == "" {
		return
	}
	text, err := get(ctx, "http://"+at+"/api/v1/sweep")
	if err != nil {
		return // it is down
	}
	var st record.Status
	if err := json.Unmarshal(text, &st); err != nil {
		complain("status: %v", err)
		return
	}
	o.sweep = st.SweepID
	for _, ref := range slices.Concat(st.Quarantine, st.Delete) {
		d, decided := o.decided[ref]
		if !decided || d.said || !d.deleted && time.Since(d.at) < o.s.writtenOff() {
			continue
		}
		d.said = true
		o.decided[ref] = d
		o.want(console.Order{Action: record.OrderDeleted, Reference: ref})
	}
}

// give gives the orders on the list. An order without an answer stays on it.
func (o *operator) give(ctx context.Context) {
	at := o.s.operations()
	if at == "" {
		return
	}
	var rest []order
	for i, next := range o.pending {
		next.Confirm = o.sweep // for orders that cannot be undone
		body, err := json.Marshal(next.Order)
		if err != nil {
			complain("order: %v", err)
			continue
		}
		status, reply, err := ask(ctx, http.MethodPost, "http://"+at+"/api/v1/sweep/"+next.Action, next.name, body)
		if err != nil { // it is down
			o.pending = append(rest, o.pending[i:]...)
			return
		}
		switch status {
		case http.StatusNoContent:
			o.take(next)
		case http.StatusConflict, http.StatusServiceUnavailable: // it is ending, or stands by
			rest = append(rest, next)
		case http.StatusUnprocessableEntity:
			o.refused[next.Action] = strings.TrimSpace(string(reply)) // it may be too late for it by now
		default:
			complain("order %s: %d %s", next.Action, status, reply)
		}
	}
	o.pending = rest
}

// take notes an order that was carried out.
func (o *operator) take(done order) {
	o.answered = append(o.answered, done)
	o.orders[done.Action]++
	if done.Action == record.OrderExclude || done.Action == record.OrderSuppress {
		for _, device := range done.Devices {
			if _, before := o.left[device]; !before {
				o.left[device] = time.Now()
			}
		}
	}
}
