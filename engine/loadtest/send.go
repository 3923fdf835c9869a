package loadtest

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// errCode says that the DCC refuses a request by its response code.
var errCode = errors.New("refused by response code")

// send sends one request and waits for its acknowledgement.
func (t *Tester) send(ctx context.Context, j job) {
	counter, err := t.o.Counters.Next()
	if err != nil {
		t.end(j, nil, err)
		return
	}
	o := &open{stage: j.stage, record: j.record, expected: gbcs.Expected{
		Service: j.service, Device: j.target.Type,
		ID: id{Originator: t.o.Originator, Target: j.target.Device, Counter: counter},
	}}
	half := exchange.Half{
		Device: j.target.Device, Expected: o.expected,
		Place: exchange.Place{Originator: t.o.Originator, Endpoint: record.SendCommand, Service: j.service},
	}
	if j.service.Critical() {
		if half.Token, err = t.transform(ctx, j, half); err != nil {
			t.end(j, nil, err)
			return
		}
		half.Command = true
	}
	t.mu.Lock()
	t.open[o.expected.ID] = o // the answer may overtake the acknowledgement
	t.mu.Unlock()
	reply := t.do(ctx, j, half)
	if err = reply.Err; err == nil && reply.Reply.Code.Class() != servicerequests.CodeAcknowledged {
		err = fmt.Errorf("%w: %s", errCode, reply.Reply.Code)
	}
	t.end(j, o, err)
}

// transform gets a critical command's Pre-Command.
func (t *Tester) transform(ctx context.Context, j job, half exchange.Half) (*signer.Token, error) {
	half.Place.Endpoint = record.Transform
	res := t.do(ctx, j, half)
	if res.Err == nil && res.Token == nil {
		res.Err = fmt.Errorf("%w: %s", errCode, res.Reply.Code)
	}
	return res.Token, res.Err
}

// do sends one half through package exchange, like a sweep, without a journal and limits.
func (t *Tester) do(ctx context.Context, j job, half exchange.Half) exchange.Result {
	t.mu.Lock()
	if r := &j.stage.records[j.record]; r.sent == 0 {
		r.sent = j.stage.since()
	}
	t.mu.Unlock()
	return t.door.Do(ctx, ctx, half)
}

// nowhere is the journal of a load test, which leaves no evidence.
type nowhere struct{}

func (nowhere) Commit(context.Context, ...record.Record) error { return nil }
func (nowhere) Append(...record.Record)                        {}

// end notes how the sending went. Without an error the request is accepted and waits
// for its answer; o is nil where none can come.
func (t *Tester) end(j job, o *open, err error) {
	if err == nil {
		t.note(j.stage, j.record, func(r *entry) { r.acked = j.stage.since() })
		return
	}
	fate := fateOf(err)
	t.o.Log.Debug("not accepted", zap.Stringer("service", j.service), zap.Error(err))
	if o != nil && fate == inDoubt {
		// The DCC may have it all the same: an answer still counts as one.
		t.note(j.stage, j.record, func(r *entry) {
			if r.fate == pending {
				r.fate = inDoubt
			}
		})
		return
	}
	change := func(r *entry) {
		if r.fate = fate; fate == refused {
			r.acked = j.stage.since()
			r.answered = r.acked
		}
	}
	if o != nil {
		t.close(o, change)
		return
	}
	t.free(j)
	t.note(j.stage, j.record, change)
}

// fateOf is what an error makes of a request.
func fateOf(err error) fate {
	var throttledBy *gateway.ThrottledError
	var unsigned *signer.RefusedError
	switch {
	case errors.As(err, &throttledBy):
		return throttled
	case errors.Is(err, gateway.ErrNotWritten):
		return unavailable
	case errors.Is(err, gateway.ErrRejected):
		return rejected
	case errors.Is(err, errCode):
		return refused
	case errors.Is(err, exchange.ErrUnproven), errors.Is(err, exchange.ErrUncorrelated), errors.As(err, &unsigned):
		return unverified
	case errors.Is(err, gateway.ErrInDoubt):
		return inDoubt
	}
	return unsent
}
