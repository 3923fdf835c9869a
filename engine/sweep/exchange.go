package sweep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

// Journal is the durable record. It may be used from many goroutines. What
// Commit was given is durable when it returns without an error; what Append was
// given follows in the same order. Any failure is final.
type Journal interface {
	Commit(ctx context.Context, records ...record.Record) error
	Append(records ...record.Record)
	Failed() <-chan struct{} // closed when a write has failed
	Err() error              // then says why
}

// Signer is the signing gate. It may be used from many goroutines. It refuses
// with [*signer.RefusedError] whatever is not permitted.
type Signer interface {
	SignRequest(duis.Request) ([]byte, error)
	Prepare(gbcs.Expected, []byte) (*signer.Token, error)
	Sign(*signer.Token) ([]byte, error)
}

// Gateway POSTs signed bytes to the DCC. It may be used from many goroutines, and
// never repeats a POST by itself. Its errors tell whether the bytes may have
// arrived.
type Gateway interface {
	Post(context.Context, gateway.Post) ([]byte, error)
}

// Verifier reads a synchronous reply of the DCC, and believes it only as far as
// it is proven.
type Verifier interface {
	Reply(raw []byte, id servicerequests.RequestID) (duis.Response, error)
}

// Faults of a leg that are not the gateway's.
var (
	errJournal      = errors.New("journal")
	errRefused      = errors.New("refused by the signing gate")
	errKey          = errors.New("signing failed")
	errGate         = errors.New("a gate is closed")
	errStale        = errors.New("the read that the command rests on has grown old")
	errUnfit        = errors.New("a reply of another kind than the request has")
	errUnproven     = errors.New("reply not proven")
	errUncorrelated = errors.New("Pre-Command does not correlate")
	errPanic        = errors.New("panic in a worker")
)

// job is one leg of one request, as a worker gets it.
type job struct {
	request  *request // handed back with the result; the worker does not look inside
	endpoint gateway.Service
	leg      leg
	device   servicerequests.EUI
	expected gbcs.Expected
	token    *signer.Token
	body     []byte      // the signed bytes, if they exist already
	again    bool        // the DCC may have the bytes already
	notAfter time.Time   // no signature and no POST later than this; zero: any time
	report   func(error) // tells the circuit breaker how the POST went
}

// result is what a worker learnt.
type result struct {
	request  *request
	endpoint gateway.Service
	body     []byte // the signed bytes, durable; nil if there are none
	reply    duis.Response
	token    *signer.Token // of a Pre-Command that correlates
	again    bool          // as in the job
	took     time.Duration // of the POST, in real time; 0 if there was none
	err      error
}

// exchange is what workers need. All of it may be used concurrently.
type exchange struct {
	journal  Journal
	signer   Signer
	gateway  Gateway
	verifier Verifier
	clock    clock.Clock
	log      *zap.Logger
	posts    context.Context // ends the POSTs under way
	gate     func(time.Time) error
}

// run does one leg: sign and make durable, unless that was done before; POST;
// prove the reply; correlate a Pre-Command.
func (x *exchange) run(ctx context.Context, j job) (res result) {
	res = result{request: j.request, endpoint: j.endpoint, body: j.body, again: j.again}
	reported := false
	defer func() {
		if v := recover(); v != nil {
			x.log.Error("worker panicked", zap.Any("panic", v), zap.Stringer("request_id", j.expected.ID), zap.Stack("stack"))
			res.err = fmt.Errorf("%w: %v", errPanic, v)
		}
		if !reported {
			j.report(context.Canceled) // nothing was learnt about the DCC
		}
	}()
	if res.body == nil {
		if res.err = x.fresh(j); res.err != nil {
			return res
		}
		if res.body, res.err = x.sign(ctx, j); res.err != nil {
			res.body = nil
			return res
		}
	}
	if res.err = x.fresh(j); res.err != nil { // the journal may have been slow
		return res
	}
	start := time.Now()
	raw, err := x.gateway.Post(x.posts, gateway.Post{Service: j.endpoint, ID: j.expected.ID, Body: res.body})
	res.took = max(1, time.Since(start))
	j.report(err)
	reported = true
	if err != nil {
		res.err = err
		return res
	}
	x.read(j, raw, &res)
	return res
}

// fresh says whether a leg may still go.
func (x *exchange) fresh(j job) error {
	if !j.notAfter.IsZero() && x.clock.Now().After(j.notAfter) {
		return errStale
	}
	return nil
}

// reached says whether the DCC may have what a POST that ended so carried.
func reached(err error) bool {
	var throttled *gateway.ThrottledError
	return !errors.As(err, &throttled) && !errors.Is(err, gateway.ErrNotWritten) && !errors.Is(err, gateway.ErrNotPermitted)
}

// sign makes the bytes of the leg and commits them: nothing is on the wire that
// the journal does not know.
func (x *exchange) sign(ctx context.Context, j job) ([]byte, error) {
	if err := x.gate(x.clock.Now()); err != nil {
		return nil, fmt.Errorf("%w: %w", errGate, err)
	}
	kind := record.Request
	var body []byte
	var err error
	if j.leg == commandLeg {
		kind = record.SignedCommand
		body, err = x.signer.Sign(j.token)
	} else {
		request := duis.Request{ID: j.expected.ID, Service: j.expected.Service}
		if j.expected.Service == servicerequests.ReadInventory {
			request.InventoryDevice = j.device
		}
		body, err = x.signer.SignRequest(request)
	}
	var refused *signer.RefusedError
	switch {
	case errors.As(err, &refused):
		x.refuse(j, record.RefusedUnpermitted, err, nil)
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errKey, err)
	}
	if err := x.journal.Commit(ctx, x.record(j, kind, "", body)); err != nil {
		return nil, fmt.Errorf("%w: %w", errJournal, err)
	}
	return body, nil
}

// read proves the reply, records it, and correlates a Pre-Command.
func (x *exchange) read(j job, raw []byte, res *result) {
	if res.reply, res.err = x.verifier.Reply(raw, j.expected.ID); res.err == nil && !fits(res.reply, j.endpoint) {
		res.err = errUnfit
	}
	if res.err != nil {
		x.refuse(j, record.RefusedUnverified, res.err, raw)
		res.err = fmt.Errorf("%w: %w", errUnproven, res.err)
		return
	}
	preCommand, ok := res.reply.Content.(duis.PreCommand)
	if !ok {
		x.journal.Append(x.record(j, record.Reply, string(res.reply.Code), raw))
		return
	}
	x.journal.Append(x.record(j, record.PreCommand, string(res.reply.Code), raw))
	token, err := x.signer.Prepare(j.expected, preCommand.Payload)
	if err != nil {
		x.refuse(j, record.RefusedUncorrelated, err, raw)
		res.err = fmt.Errorf("%w: %w", errUncorrelated, err)
		return
	}
	res.token = token
}

// fits says whether a reply is of a kind that a service gives: a Pre-Command from
// Transform only, above all, so that nothing is signed a second time.
func fits(reply duis.Response, e gateway.Service) bool {
	if reply.Code.Class() != servicerequests.CodeSuccess {
		return true
	}
	switch reply.Content.(type) {
	case duis.PreCommand:
		return e == gateway.Transform
	case duis.Inventory:
		return e == gateway.NonDevice
	}
	return false
}

func (x *exchange) record(j job, kind record.Kind, code string, body []byte) record.Record {
	return record.Record{
		At: x.clock.Now(), Kind: kind, Device: j.device, Service: j.expected.Service, ID: j.expected.ID,
		Code: code, Body: body,
	}
}

// refuse records that something was not signed or not believed.
func (x *exchange) refuse(j job, code string, reason error, raw []byte) {
	digest := sha256.Sum256(raw)
	x.log.Warn("refused", zap.String("class", code), zap.Stringer("request_id", j.expected.ID), zap.Error(reason))
	x.journal.Append(x.record(j, record.Refused, code,
		record.Encode(record.RefusedBody{Reason: reason.Error(), SHA256: hex.EncodeToString(digest[:])})))
}
