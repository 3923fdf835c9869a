package sweep_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// Post is the DCC's front. The check at the socket comes first, and then the bytes.
func (w *world) Post(ctx context.Context, p gateway.Post) ([]byte, error) {
	w.stop("connecting")
	if w.mishap("not connected") {
		return nil, gateway.ErrNotWritten
	}
	if err := p.Admit(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", gateway.ErrNotAdmitted, err)
	}
	body := string(p.Body)
	w.judge.posted(w, p.ID, body)
	w.stop("posted")
	endpoint := w.running.Place.Endpoint
	if w.now.Before(w.until[endpoint]) && w.mishap("throttled like the one before") {
		return nil, &gateway.ThrottledError{Status: 503}
	}
	fate := w.fault("fate of a POST", "lost before", "lost after", "throttled", "throttled for an hour", "bad status", "bad reply", "E20", "E21", "E5", "E4", "E49", "I99", "E1")
	if w.inventory != "" && w.pieces[body].service == servicerequests.ReadInventory {
		fate = w.inventory
	}
	switch {
	case fate == "lost before":
		return nil, gateway.ErrInDoubt
	case fate == "throttled":
		return nil, &gateway.ThrottledError{Status: 503}
	case fate == "throttled for an hour":
		w.until[endpoint] = w.now.Add(time.Hour - 2*time.Second)
		return nil, &gateway.ThrottledError{Status: 429, RetryAfter: time.Hour}
	case fate == "bad status":
		return nil, gateway.ErrRejected
	case strings.HasPrefix(fate, "E"), fate == "I99":
		return []byte(fate), nil
	}
	reply := w.take(body)
	w.stop("replying")
	switch fate {
	case "lost after":
		return nil, gateway.ErrInDoubt
	case "bad reply":
		return []byte("garbled"), nil
	}
	return []byte(reply), nil
}

// take is the DCC taking bytes in; the same bytes get the same answer.
func (w *world) take(body string) string {
	if reply, ok := w.taken[body]; ok {
		return reply
	}
	p := w.pieces[body]
	reply := string(servicerequests.Acknowledged)
	switch {
	case p.service == servicerequests.ReadInventory:
		reply = "inventory of " + p.device.String()
	case !p.command && p.service.Critical():
		reply = "pre-command of " + p.id.String()
		if w.mishap("another Pre-Command") {
			reply = "pre-command of somebody"
		}
	default:
		f := flight{home: w.at[p.id.Target], service: p.service, id: p.id}
		if f.home == nil {
			return string(servicerequests.NoSuchDevice)
		}
		if f.fate = w.fault("fate of a request", "E20", "E21, not done", "lost", "done, answer lost", "done, E21, answer late", "refused", "no value", "twice", "garbled"); f.home.silent {
			f.fate = "lost"
		}
		if f.fate == "E20" || f.fate == "E21, not done" || f.fate == "done, E21, answer late" {
			code := servicerequests.NoResponse
			if f.fate == "E20" {
				code = servicerequests.Unreachable
			}
			w.inbox = append(w.inbox, proof.Delivery{ID: p.id, Device: p.id.Target, Code: code, At: w.now})
		}
		w.flights = append(w.flights, f)
	}
	w.taken[body] = reply
	return reply
}

// arrive has a flight arrive, if the DCC does not hold it back.
func (w *world) arrive(i int) {
	f := w.flights[i]
	w.flights = slices.Delete(w.flights, i, i+1)
	h := f.home
	if f.service.Critical() && f.id.Counter <= h.last {
		return // the device refuses what is not newer
	}
	switch f.fate {
	case "E20", "E21, not done", "lost":
		return
	case "refused":
		h.refused = h.refused || f.service == servicerequests.ArmSupply
		h.answered[f.id.Counter] = h.seen
		w.inbox = append(w.inbox, h.respond(w, f.service, f.id, false))
		return
	}
	d := h.respond(w, f.service, f.id, h.carryOut(w, f.service, f.id.Counter))
	switch f.fate {
	case "done, answer lost":
		return
	case "no value":
		d.Result = &gbcs.Response{Success: true}
	case "garbled":
		d.Message.Counter++
	case "twice":
		w.inbox = append(w.inbox, d)
	}
	w.inbox = append(w.inbox, d)
}
