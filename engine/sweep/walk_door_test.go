package sweep_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/pacer"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// point is where a half stops.
type point string

// half is a half that a worker has.
type half struct {
	sweep.Send
	at     point
	from   uint64
	yield  func(point) bool
	resume func() (point, bool)
	end    func()
	result exchange.Result

	fenced, knows bool // another engine has gone on with the journal, and it has learnt so
}

// The door.

// stop is where a half lets others go first.
func (w *world) stop(at point) {
	if !w.running.yield(at) {
		panic(errKilled) // the process has died; nobody hears of it
	}
}

// send gives a half to a worker.
func (w *world) send(s sweep.Send) {
	l := &half{Send: s, at: "begin", from: w.last}
	w.given[s.Ticket] = w.last
	l.resume, l.end = iter.Pull(func(yield func(point) bool) {
		l.yield = yield
		l.result = w.door.Do(context.Background(), context.Background(), s.Half)
	})
	w.halves = append(w.halves, l)
}

// advance has a half go on to its next stop.
func (w *world) advance(i int) {
	l := w.halves[i]
	w.running = l
	at, more := l.resume()
	if w.found != nil {
		panic(w.found)
	}
	if more {
		l.at = at
		return
	}
	w.halves = slices.Delete(w.halves, i, i+1)
	w.done = append(w.done, sweep.Done{Ticket: l.Ticket, Result: l.result})
}

// wake has a half of a fenced engine go on to its next stop. Nobody hears what became of it.
func (w *world) wake() bool {
	l := w.fenced[0]
	w.running = l
	l.knows = l.knows || w.choose("it knows that it is fenced", 2) == 1
	_, more := l.resume()
	if w.found != nil {
		panic(w.found)
	}
	if w.fenced = w.fenced[1:]; more {
		w.fenced = append(w.fenced, l)
	}
	return true
}

// SignRequest and the others are the signing gate. It gives every body a number of its
// own, so that signing again shows.
func (w *world) SignRequest(_ context.Context, _ servicerequests.EUI, r duis.Request) ([]byte, error) {
	return w.sign(piece{service: r.Service, id: r.ID, device: r.InventoryDevice}), nil
}

func (w *world) Prepare(e gbcs.Expected, preCommand []byte) (*signer.Token, error) {
	if want := "pre-command of " + e.ID.String(); string(preCommand) != want {
		return nil, &signer.RefusedError{ID: e.ID, Err: gbcs.ErrNoPreCommand}
	}
	token := new(signer.Token)
	w.tokens[token] = e
	return token, nil
}

func (w *world) Sign(_ context.Context, _ servicerequests.EUI, token *signer.Token) ([]byte, error) {
	e, ok := w.tokens[token]
	delete(w.tokens, token)
	if !ok {
		return nil, signer.ErrTokenUsed
	}
	return w.sign(piece{command: true, service: e.Service, id: e.ID}), nil
}

// Reply reads the DCC's reply.
func (w *world) Reply(raw []byte, id servicerequests.RequestID) (duis.Response, error) {
	text := string(raw)
	r := duis.Response{RequestID: id, Code: servicerequests.Success}
	switch {
	case text == "garbled":
		return duis.Response{}, errors.New("garbled")
	case strings.HasPrefix(text, "pre-command of "):
		r.Content = duis.PreCommand{Payload: raw}
	case strings.HasPrefix(text, "inventory of "):
		eui, err := servicerequests.ParseEUI(strings.TrimPrefix(text, "inventory of "))
		if err != nil {
			return r, err
		}
		h := w.at[eui]
		r.Content = duis.Inventory{{ID: h.eui, Type: "GSME"}, {ID: h.proxy, Type: "GPF"}}
	default:
		r.Code = servicerequests.ResponseCode(text)
	}
	return r, nil
}

// Now and Real are the clock of the door.
func (w *world) Now() time.Time { return w.now }

func (w *world) At(real time.Time) time.Time           { return w.now.Add(time.Until(real).Round(time.Second)) }
func (w *world) Span(real time.Duration) time.Duration { return real }

func (w *world) Sleep(context.Context, time.Time) error { panic("a walk does not wait") }

// rate is what the limits let pass: one POST a second, and three at once.
var rate = pacer.Limit{PerSecond: 1, Burst: 3}

func newLimits() *pacer.Pacer {
	unlimited := pacer.Limit{PerSecond: math.Inf(1)}
	l := pacer.Limits{User: rate, Region: map[servicerequests.Region]pacer.Limit{}, Service: map[string]pacer.Limit{}}
	for _, r := range servicerequests.Regions {
		l.Region[r] = unlimited
	}
	for _, e := range record.Endpoints {
		l.Service[e.String()] = unlimited
	}
	p, err := pacer.New(l)
	if err != nil {
		panic(err)
	}
	return p
}

// Grant is the limit at the socket.
func (w *world) Grant(now time.Time, p exchange.Place) (bool, time.Duration, string) {
	return take(w.limits, now, p)
}

func (w *world) Hold(e record.Endpoint, until time.Time) {
	w.limits.Hold(pacer.Service(e.String()), until)
}

func take(p *pacer.Pacer, now time.Time, place exchange.Place) (bool, time.Duration, string) {
	user, service := pacer.User(place.Originator), pacer.Service(place.Endpoint.String())
	ok, wait := p.Take(now, user, service)
	if limit := sweep.LimitService; p.Wait(now, service) > p.Wait(now, user) {
		return ok, wait, limit
	}
	return ok, wait, "user"
}

// planned is the machine's own Pacer.
type planned struct{ *pacer.Pacer }

func (p planned) Take(now time.Time, place exchange.Place) (bool, time.Duration, string) {
	return take(p.Pacer, now, place)
}

func (p planned) Hold(place exchange.Place, limit string, until time.Time) {
	if limit == sweep.LimitService {
		p.Pacer.Hold(pacer.Service(place.Endpoint.String()), until)
	} else {
		p.Pacer.Hold(pacer.User(place.Originator), until)
	}
}

func (p planned) Spent(time.Time, exchange.Place) {}

// Allow is the circuit breakers.
func (w *world) Allow(record.Endpoint, servicerequests.Region) (func(error), error) {
	if w.mishap("circuit open") {
		return nil, errClosed
	}
	return func(error) {}, nil
}
