// Package exchange sends one half of a request to the DCC, and returns what the DCC said. It
// makes the last checks before the bytes leave.
//
// # The order
//
// First it does the slow part: the half's bytes are signed and made durable, unless that was
// done before. Then it waits for a connection. Before the first byte is written it asks:
//
//  1. Do all gates pass ([Options.Gate])?
//  2. Was the half not recalled ([Permit])? It is, if its home is excluded or the sweep halts.
//  3. Is the read that the command rests on still fresh ([Half.NotAfter])?
//  4. Are the bytes permitted? Package gateway compares every body with the permitted set.
//  5. Does the pacer grant it now ([Limits])?
//  6. Does the circuit breaker allow it ([Breakers])?
//
// Then the bytes are written. Nothing comes between the grant and the write. So limits hold in
// every window, and a gate that closes stops what is on its way, whatever delays the disk, the
// scheduler or the collector cause. A half that is denied keeps its durable bytes, and may
// come again with the same bytes.
//
// # What it refuses
//
// It does not accept a reply that is not proven, or that is of another kind than the service
// gives. It does not sign a Pre-Command that is not, byte for byte, what was asked for (package
// signer).
package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// Journal is the durable record. It may be used from many goroutines. The records given to
// Commit are durable when it returns without an error; those given to Append follow in the
// same order. Any failure is final.
type Journal interface {
	Commit(ctx context.Context, records ...record.Record) error
	Append(records ...record.Record)
}

// Signer is the signing gate. It may be used from many goroutines. It refuses with
// [*signer.RefusedError] whatever is not permitted.
type Signer interface {
	SignRequest(ctx context.Context, meter servicerequests.EUI, r duis.Request) ([]byte, error)
	Prepare(gbcs.Expected, []byte) (*signer.Token, error)
	Sign(ctx context.Context, meter servicerequests.EUI, t *signer.Token) ([]byte, error)
}

// Gateway POSTs signed bytes to the DCC. It may be used from many goroutines, and never
// repeats a POST by itself. It asks Post.Admit at the socket. Its errors tell whether the
// bytes may have arrived.
type Gateway interface {
	Post(context.Context, gateway.Post) ([]byte, error)
}

// Verifier reads a synchronous reply of the DCC. It returns only what the reply proves.
type Verifier interface {
	Reply(raw []byte, id servicerequests.RequestID) (duis.Response, error)
}

// Limits are the rates at the socket. They may be used from many goroutines.
type Limits interface {
	// Grant takes a place in every limit that the POST counts in, or none: then wait says
	// how long to wait, by the clock of now, and limit names the one in the way.
	Grant(now time.Time, p Place) (ok bool, wait time.Duration, limit string)
	// Hold refuses every POST to an endpoint before an instant. Of several instants the latest
	// counts.
	Hold(e record.Endpoint, until time.Time)
}

// Clock is the sweep's clock, of package clock; tests have their own.
type Clock interface {
	Now() time.Time
	Span(real time.Duration) time.Duration // how far this clock goes in a span of real time
	Sleep(ctx context.Context, until time.Time) error
}

// Place says in which limits a POST takes a place.
type Place struct {
	Originator servicerequests.EUI
	Region     servicerequests.Region
	Endpoint   record.Endpoint
	Service    servicerequests.Service
	Signed     bool // a Signed Pre-Command
}

// Breakers guards the synchronous calls, a circuit per endpoint and region. It may be used
// from many goroutines. The report of a call that was allowed must be called once.
type Breakers interface {
	Allow(e record.Endpoint, region servicerequests.Region) (report func(error), err error)
}

// Reasons why a half was not sent, or how it failed, besides the gateway's errors.
var (
	ErrJournal      = errors.New("journal")
	ErrRefused      = errors.New("refused by the signing gate")
	ErrKey          = errors.New("signing failed")
	ErrGate         = errors.New("a gate is closed")
	ErrRecalled     = errors.New("recalled")
	ErrStale        = errors.New("the read that the command rests on has grown old")
	ErrCircuit      = errors.New("the circuit is open")
	ErrUnfit        = errors.New("a reply of another kind than the request has")
	ErrUnproven     = errors.New("reply not proven")
	ErrUncorrelated = errors.New("Pre-Command does not correlate")
	ErrPanic        = errors.New("panic in a worker")
)

// LimitError says that a limit did not let a POST go.
type LimitError struct {
	Limit string        // which
	Wait  time.Duration // how long to wait, by the sweep's clock
}

func (e *LimitError) Error() string { return fmt.Sprintf("limit %s: not for %v", e.Limit, e.Wait) }

// Denied says whether an error means that nothing was written and the same bytes may
// come again.
func Denied(err error) bool {
	return errors.Is(err, gateway.ErrNotAdmitted)
}

// Permit allows a half to be sent as long as it is not recalled.
type Permit struct{ recalled atomic.Bool }

// Recall keeps the half from being signed or written, wherever it is now.
func (p *Permit) Recall() { p.recalled.Store(true) }

// Half is one POST of one request, with what must be signed for it.
type Half struct {
	Device   servicerequests.EUI // the planned meter
	Place    Place
	Expected gbcs.Expected
	Command  bool          // sign Token; otherwise the request that Expected names
	Token    *signer.Token // of the proven Pre-Command
	Body     []byte        // the signed bytes, if they are durable already
	Again    bool          // the DCC may have the bytes already
	NotAfter time.Time     // no signature and no byte later than this; zero: any time
	Permit   *Permit       // nil: it cannot be recalled
}

// Result is the result of a half.
type Result struct {
	Signed *record.Record // the record that this half made durable; nil if its bytes were durable before, or were not made
	Reply  duis.Response
	Token  *signer.Token // of a Pre-Command that correlates
	At     time.Time     // when the reply was recorded, by the sweep's clock
	Until  time.Time     // the DCC wants nothing more at this endpoint before this time, by the sweep's clock; zero: it did not say
	Took   time.Duration // of the POST, in real time; 0 if nothing was written
	Err    error         // nil: Reply has the proof that its kind needs
}

// Written says whether the DCC may have the half's bytes.
func (r *Result) Written() bool {
	if r.Took == 0 {
		return false
	}
	var throttled *gateway.ThrottledError
	return !errors.As(r.Err, &throttled) && !errors.Is(r.Err, gateway.ErrNotWritten) &&
		!errors.Is(r.Err, gateway.ErrNotPermitted) && !Denied(r.Err)
}

// Options is what an exchange is made of. All fields are required unless they say
// otherwise.
type Options struct {
	Journal  Journal
	Signer   Signer
	Gateway  Gateway
	Verifier Verifier
	Clock    Clock // nil: real time
	Log      *zap.Logger

	Gate     func(now time.Time) error // nil: there is none
	Limits   Limits                    // nil: there are none
	Breakers Breakers                  // nil: there are none

	// Patience is how long a half waits at the socket for a limit that allows it soon, in
	// real time; 0: 250 ms. It covers the difference between planned and real times.
	Patience time.Duration
}

// Exchange is safe for concurrent use.
type Exchange struct{ o Options }

// New makes an exchange.
func New(o Options) *Exchange {
	if o.Clock == nil {
		o.Clock = clock.Clock{}
	}
	if o.Patience == 0 {
		o.Patience = 250 * time.Millisecond
	}
	return &Exchange{o}
}

// Do sends a half. ctx ends the signing and the commit, posts ends the POST.
func (x *Exchange) Do(ctx, posts context.Context, half Half) (res Result) {
	var report func(error) // of the breaker, once it has allowed the half
	var begun time.Time    // when the first byte could be written
	defer func() {
		if v := recover(); v != nil {
			x.o.Log.Error("worker panicked", zap.Any("panic", v), zap.Stringer("request_id", half.Expected.ID), zap.Stack("stack"))
			res.Err = fmt.Errorf("%w: %v", ErrPanic, v)
			if !begun.IsZero() && res.Took == 0 {
				res.Took = max(1, time.Since(begun))
			}
		}
		if report != nil {
			report(context.Canceled) // nothing was reported before: the call says nothing about the DCC
		}
	}()
	body := half.Body
	if body == nil {
		if res.Err = x.stands(&half); res.Err != nil {
			return res
		}
		if res.Signed, res.Err = x.sign(ctx, &half); res.Err != nil {
			return res
		}
		body = res.Signed.Body
	}
	raw, err := x.o.Gateway.Post(posts, gateway.Post{
		Service: half.Place.Endpoint, ID: half.Expected.ID, Body: body,
		Admit: func(ctx context.Context) error {
			begun = time.Time{} // on a connection before this one nothing could be written
			if err := x.admit(ctx, &half, &report); err != nil {
				return err
			}
			begun = time.Now()
			return nil
		},
	})
	if !begun.IsZero() {
		res.Took = max(1, time.Since(begun))
	}
	if errors.Is(err, gateway.ErrNotWritten) && report == nil {
		// There was no connection, so the breaker was not asked. It must get the failure all the same.
		if circuit := x.allow(&half, &report); circuit != nil {
			err = fmt.Errorf("%w: %w", circuit, err)
		}
	}
	if report != nil && !Denied(err) {
		report(err)
	}
	if res.Err = err; err != nil {
		res.Until = x.hold(&half, err)
		return res
	}
	x.read(&half, raw, &res)
	return res
}

// hold obeys a Retry-After at the socket, for halves that are under way already.
func (x *Exchange) hold(half *Half, err error) (until time.Time) {
	var throttled *gateway.ThrottledError
	if !errors.As(err, &throttled) || throttled.RetryAfter <= 0 {
		return until
	}
	until = x.o.Clock.Now().Add(x.o.Clock.Span(throttled.RetryAfter)) // RetryAfter is real time
	if x.o.Limits != nil {
		x.o.Limits.Hold(half.Place.Endpoint, until)
	}
	return until
}

// stands makes the checks that are made both before a signature and at the socket.
func (x *Exchange) stands(half *Half) error {
	now := x.o.Clock.Now()
	if x.o.Gate != nil {
		if err := x.o.Gate(now); err != nil {
			return fmt.Errorf("%w: %w", ErrGate, err)
		}
	}
	switch {
	case half.Permit != nil && half.Permit.recalled.Load():
		return ErrRecalled
	case !half.NotAfter.IsZero() && now.After(half.NotAfter):
		return ErrStale
	}
	return nil
}

// admit is called right before the first byte. It does not ask the breaker again if that has
// allowed the half already, on a connection that turned out to be dead.
func (x *Exchange) admit(ctx context.Context, half *Half, report *func(error)) error {
	deadline := x.o.Clock.Now().Add(x.o.Clock.Span(x.o.Patience))
	for {
		if err := x.stands(half); err != nil {
			return err
		}
		if x.o.Limits == nil {
			break
		}
		now := x.o.Clock.Now()
		ok, wait, limit := x.o.Limits.Grant(now, half.Place)
		if ok {
			break
		}
		if now.Add(wait).After(deadline) {
			return &LimitError{limit, wait}
		}
		if err := x.o.Clock.Sleep(ctx, now.Add(wait)); err != nil {
			return err
		}
	}
	return x.allow(half, report)
}

// allow asks the breaker, once for a half. Its report may be called more than once; the
// first call counts.
func (x *Exchange) allow(half *Half, report *func(error)) error {
	if x.o.Breakers == nil || *report != nil {
		return nil
	}
	leave, err := x.o.Breakers.Allow(half.Place.Endpoint, half.Place.Region)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCircuit, err)
	}
	reported := false
	*report = func(err error) {
		if !reported {
			reported = true
			leave(err)
		}
	}
	return nil
}

// sign makes the bytes of the half and commits them: the journal has everything that is on the
// wire.
func (x *Exchange) sign(ctx context.Context, half *Half) (*record.Record, error) {
	kind := record.Request
	if half.Command {
		kind = record.SignedCommand
	}
	body, err := x.signature(ctx, half)
	var refused *signer.RefusedError
	switch {
	case errors.As(err, &refused):
		x.refuse(half, record.RefusedUnpermitted, err, nil)
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, signer.ErrStopped):
		return nil, fmt.Errorf("%w: %w", ErrGate, err)
	case Denied(err), errors.Is(err, ErrGate), errors.Is(err, ErrRecalled), errors.Is(err, ErrStale):
		return nil, err // it waited for the keys until the half was not allowed any more
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	signed := x.record(half, kind, "", body)
	if err := x.o.Journal.Commit(ctx, signed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJournal, err)
	}
	return &signed, nil
}

// signature has the half's bytes signed. If the keys cannot be used it waits for them, as long
// as the half is allowed: the queue behind it waits, too, and nothing is lost.
func (x *Exchange) signature(ctx context.Context, half *Half) (body []byte, err error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if half.Command {
			body, err = x.o.Signer.Sign(ctx, half.Device, half.Token)
		} else {
			request := duis.Request{ID: half.Expected.ID, Service: half.Expected.Service}
			if half.Expected.Service == servicerequests.ReadInventory {
				request.InventoryDevice = half.Device
			}
			body, err = x.o.Signer.SignRequest(ctx, half.Device, request)
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil, fmt.Errorf("%w: %w", gateway.ErrNotAdmitted, err)
		}
		if !errors.Is(err, signer.ErrUnavailable) {
			return body, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", gateway.ErrNotAdmitted, err)
		}
		if err := x.stands(half); err != nil {
			return nil, err
		}
	}
}

// read proves the reply, records it, and correlates a Pre-Command.
func (x *Exchange) read(half *Half, raw []byte, res *Result) {
	if res.Reply, res.Err = x.o.Verifier.Reply(raw, half.Expected.ID); res.Err == nil && !fits(res.Reply, half.Place.Endpoint) {
		res.Err = ErrUnfit
	}
	if res.Err != nil {
		x.refuse(half, record.RefusedUnverified, res.Err, raw)
		res.Err = fmt.Errorf("%w: %w", ErrUnproven, res.Err)
		return
	}
	preCommand, ok := res.Reply.Content.(duis.PreCommand)
	if !ok {
		reply := x.record(half, record.Reply, string(res.Reply.Code), raw)
		res.At = reply.At
		x.o.Journal.Append(reply)
		return
	}
	x.o.Journal.Append(x.record(half, record.PreCommand, string(res.Reply.Code), raw))
	token, err := x.o.Signer.Prepare(half.Expected, preCommand.Payload)
	if err != nil {
		x.refuse(half, record.RefusedUncorrelated, err, raw)
		res.Err = fmt.Errorf("%w: %w", ErrUncorrelated, err)
		return
	}
	res.Token = token
}

// fits says whether a reply is of a kind that the endpoint gives. Above all, only Transform may
// give a Pre-Command, so that nothing is signed a second time.
func fits(reply duis.Response, e record.Endpoint) bool {
	success := reply.Code.Class() == servicerequests.CodeSuccess
	switch reply.Content.(type) {
	case duis.PreCommand:
		return success && e == record.Transform
	case duis.Inventory:
		return success && e == record.NonDevice
	}
	return !success
}

func (x *Exchange) record(half *Half, kind record.Kind, code string, body []byte) record.Record {
	return record.Record{
		At: x.o.Clock.Now(), Kind: kind, Device: half.Device, Service: half.Expected.Service, ID: half.Expected.ID,
		Code: code, Body: body,
	}
}

// refuse records that a message was not signed or not accepted.
func (x *Exchange) refuse(half *Half, code string, reason error, raw []byte) {
	digest := sha256.Sum256(raw)
	x.o.Log.Warn("refused", zap.String("class", code), zap.Stringer("request_id", half.Expected.ID), zap.Error(reason))
	x.o.Journal.Append(x.record(half, record.Refused, code,
		record.Encode(record.RefusedBody{Reason: reason.Error(), SHA256: hex.EncodeToString(digest[:])})))
}
