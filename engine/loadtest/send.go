package loadtest

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"safemode/engine/gateway"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// errUnproven says that a reply is not believed.
var errUnproven = errors.New("reply not proven")

// errCode says that the DCC refuses a request by its response code.
var errCode = errors.New("refused by response code")

// send carries one request as far as its acknowledgement.
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
	body, err := t.o.Signer.SignRequest(duis.Request{ID: o.expected.ID, Service: j.service})
	if err == nil && j.service.Critical() {
		body, err = t.transform(ctx, j, o.expected, body)
	}
	if err != nil {
		t.end(j, nil, err)
		return
	}
	t.mu.Lock()
	t.open[o.expected.ID] = o // the answer may overtake the acknowledgement
	t.mu.Unlock()
	reply, err := t.post(ctx, j, gateway.SendCommand, o.expected.ID, body)
	if err == nil && reply.Code.Class() != servicerequests.CodeAcknowledged {
		err = fmt.Errorf("%w: %s", errCode, reply.Code)
	}
	t.end(j, o, err)
}

// transform gets a critical command's Pre-Command and signs it.
func (t *Tester) transform(ctx context.Context, j job, e gbcs.Expected, body []byte) ([]byte, error) {
	reply, err := t.post(ctx, j, gateway.Transform, e.ID, body)
	if err != nil {
		return nil, err
	}
	preCommand, ok := reply.Content.(duis.PreCommand)
	if !ok {
		return nil, fmt.Errorf("%w: %s", errCode, reply.Code)
	}
	token, err := t.o.Signer.Prepare(e, preCommand.Payload)
	if err != nil {
		return nil, err
	}
	return t.o.Signer.Sign(token)
}

// post sends bytes once and proves the reply.
func (t *Tester) post(ctx context.Context, j job, service gateway.Service, as id, body []byte) (duis.Response, error) {
	t.mu.Lock()
	if r := &j.stage.records[j.record]; r.sent == 0 {
		r.sent = j.stage.since()
	}
	t.mu.Unlock()
	raw, err := t.o.Gateway.Post(ctx, gateway.Post{Service: service, ID: as, Body: body})
	if err != nil {
		return duis.Response{}, err
	}
	reply, err := t.o.Verifier.Reply(raw, as)
	if err != nil {
		return reply, fmt.Errorf("%w: %w", errUnproven, err)
	}
	return reply, nil
}

// end notes how the sending went. Without an error the request is accepted and waits
// for its answer; o is nil where none can come.
func (t *Tester) end(j job, o *open, err error) {
	if err == nil {
		t.note(j.stage, j.record, func(r *record) { r.acked = j.stage.since() })
		return
	}
	fate := fateOf(err)
	t.o.Log.Debug("not accepted", zap.Stringer("service", j.service), zap.Error(err))
	if o != nil && fate == inDoubt {
		// The DCC may have it all the same: an answer still counts as one.
		t.note(j.stage, j.record, func(r *record) {
			if r.fate == pending {
				r.fate = inDoubt
			}
		})
		return
	}
	change := func(r *record) {
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
	case errors.Is(err, errUnproven), errors.As(err, &unsigned):
		return unverified
	case errors.Is(err, gateway.ErrInDoubt):
		return inDoubt
	}
	return unsent
}
