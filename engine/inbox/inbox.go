package inbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Path is where the handler expects to be mounted (as DCC Boxed calls it).
const Path = "/smartdcc/duis"

// Verifier proves messages. It is used by many goroutines. Errors are
// [*proof.Error].
type Verifier interface {
	Delivery(ctx context.Context, raw []byte) (proof.Delivery, error)
}

// Options configures an Inbox. Fields are required unless they say otherwise.
// Durations are real time.
type Options struct {
	Verifier Verifier

	// Take makes the record of a proven message durable before it returns, and hands the
	// message over, in no order. Refuse does so with one that the DCC has signed and that
	// is not believed. Both are called by many goroutines. After an error the DCC is asked
	// to send again.
	Take   func(context.Context, record.Record, proof.Delivery) error
	Refuse func(context.Context, record.Record, *proof.Error) error

	// Stranger is told of a message that is not believed and that no key of the DCC
	// has signed, or that is unsigned and about no request that Awaits knows. It is
	// to count: strangers must not be able to make it do more. Optional.
	Stranger func()

	// Awaits says whether an unsigned message about this request can be of use:
	// it keeps a stranger from filling the journal. Nil: every one can.
	Awaits func(servicerequests.RequestID) bool

	Now        func() time.Time // the sweep's clock
	Log        *zap.Logger
	Registerer prometheus.Registerer

	Limits
}

// Limits bound what peers can make the inbox do. Durations are real time.
type Limits struct {
	MaxBody    int64         // bytes of a message; 0: 1 MiB
	Concurrent int           // messages being proven or written at once; 0: 64 for each CPU, because most wait for the disk
	Header     time.Duration // until a request's header is there, a TLS handshake included; 0: 10 s
	Timeout    time.Duration // of one message, reading it and writing the answer included; 0: 20 s
	Idle       time.Duration // until a connection on which nothing is asked is closed; 0: 2 min
	PerPeer    Rate          // of messages from one address
	Total      Rate          // of all messages
}

// Validate joins all faults.
func (o Options) Validate() error {
	var errs []error
	if o.Verifier == nil || o.Take == nil || o.Refuse == nil || o.Now == nil || o.Log == nil || o.Registerer == nil {
		errs = append(errs, errors.New("verifier, take, refuse, now, log and registerer are required"))
	}
	if o.MaxBody < 0 || o.Concurrent < 0 || o.Header < 0 || o.Timeout < 0 || o.Idle < 0 {
		errs = append(errs, errors.New("max_body, concurrent, header, timeout and idle must not be negative"))
	}
	if !(o.PerPeer.PerSecond >= 0) || o.PerPeer.Burst < 0 || !(o.Total.PerSecond >= 0) || o.Total.Burst < 0 {
		errs = append(errs, errors.New("per_peer and total must not be negative"))
	}
	return errors.Join(errs...)
}

// Inbox is an [http.Handler].
type Inbox struct {
	o       Options
	metrics *metrics
	rates   *limits
	slots   chan struct{} // one token for each message being worked on
	strange *zap.Logger   // for what strangers send: it writes little of much
}

// New makes an inbox.
func New(o Options) (*Inbox, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	o.MaxBody = cmp.Or(o.MaxBody, 1<<20)
	o.Concurrent = cmp.Or(o.Concurrent, 64*runtime.GOMAXPROCS(0))
	o.Timeout = cmp.Or(o.Timeout, 20*time.Second)
	o.Header = cmp.Or(o.Header, 10*time.Second)
	o.Idle = cmp.Or(o.Idle, 2*time.Minute)
	i := &Inbox{o: o, metrics: newMetrics(o.Registerer), rates: newLimits(o.PerPeer, o.Total), slots: make(chan struct{}, o.Concurrent)}
	i.strange = o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 10_000)
	}))
	return i, nil
}

// ServeHTTP takes one message in.
func (i *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if limit := i.rates.over(peerOf(r.RemoteAddr), time.Now()); limit != "" {
		i.putOff(w, limit)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), i.o.Timeout)
	defer cancel()
	// A handler under test may have no connection to put a deadline on.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(i.o.Timeout))

	raw, status := i.receive(w, r)
	if status == 0 {
		status = i.take(ctx, raw)
	}
	i.metrics.answered(status)
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(status)
}

// putOff answers a peer that sends too much, before anything of it is read. The DCC
// sends again after a 503, so it loses nothing.
func (i *Inbox) putOff(w http.ResponseWriter, limit string) {
	i.strange.Warn("put off: over the limit of messages", zap.String("limit", limit))
	i.metrics.limited.WithLabelValues(limit).Inc()
	i.metrics.answered(http.StatusServiceUnavailable)
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// receive reads the body; status is the refusal, or 0.
func (i *Inbox) receive(w http.ResponseWriter, r *http.Request) (raw []byte, status int) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/xml" && media != "text/xml" {
		return nil, http.StatusUnsupportedMediaType
	}
	if r.ContentLength > i.o.MaxBody {
		return nil, http.StatusRequestEntityTooLarge
	}
	var body bytes.Buffer
	// Room as announced, and for the end to be seen; but a stranger announces what he likes.
	body.Grow(int(min(max(r.ContentLength, 0), 16<<10)) + bytes.MinRead)
	_, err = body.ReadFrom(http.MaxBytesReader(w, r.Body, i.o.MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, http.StatusRequestEntityTooLarge
	}
	if err != nil { // it was cut short or too slow, which is no judgement of it
		return nil, http.StatusServiceUnavailable
	}
	return body.Bytes(), 0
}

// take proves the message, makes it durable and hands it over.
func (i *Inbox) take(ctx context.Context, raw []byte) (status int) {
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	case <-ctx.Done():
		return http.StatusServiceUnavailable
	}
	d, err := i.o.Verifier.Delivery(ctx, raw)
	if err != nil {
		return i.refuse(ctx, raw, err)
	}
	if !d.Signed && i.o.Awaits != nil && !i.o.Awaits(d.ID) {
		return i.turnAway(errors.New("unsigned, and about no request of ours"))
	}
	if err := i.o.Take(ctx, i.record(d, raw), d); err != nil {
		i.o.Log.Error("delivery not written: the DCC is asked to send it again", zap.Stringer("request_id", d.ID), zap.Error(err))
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}

// refuse answers for a message that is not believed.
func (i *Inbox) refuse(ctx context.Context, raw []byte, err error) (status int) {
	unproven, ok := errors.AsType[*proof.Error](err)
	switch {
	case !ok, errors.Is(err, proof.ErrUndecided):
		i.o.Log.Warn("delivery not decided: the DCC is asked to send it again", zap.Error(err))
		return http.StatusServiceUnavailable
	case !unproven.FromDCC:
		return i.turnAway(err)
	}
	i.o.Log.Warn("signed by the DCC and not believed", zap.Stringer("request_id", unproven.ID), zap.Error(err))
	digest := sha256.Sum256(raw)
	record := record.Record{
		At: i.o.Now(), Kind: record.Refused, Device: unproven.ID.Target, ID: unproven.ID, Code: record.RefusedUnverified,
		Body: record.Encode(record.RefusedBody{Reason: err.Error(), SHA256: hex.EncodeToString(digest[:])}),
	}
	if err := i.o.Refuse(ctx, record, unproven); err != nil {
		i.o.Log.Error("refusal not written: the DCC is asked to send it again", zap.Error(err))
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// turnAway answers a stranger. Nothing is written but a line now and then.
func (i *Inbox) turnAway(reason error) (status int) {
	i.strange.Warn("not signed by the DCC and not believed", zap.Error(reason))
	if i.o.Stranger != nil {
		i.o.Stranger()
	}
	return http.StatusBadRequest
}

// record is a proven message as the journal keeps it.
func (i *Inbox) record(d proof.Delivery, raw []byte) record.Record {
	r := record.Record{
		At: i.o.Now(), Kind: record.Response, Device: d.Device, Service: serviceOf(d.SRV), ID: d.ID,
		Code: string(d.Code), Body: raw,
	}
	switch {
	case d.Alert != nil:
		r.Kind, r.Code = record.Alert, fmt.Sprintf("%04X", d.Alert.Code)
	case d.DCCAlert != nil:
		r.Kind, r.Code = record.Alert, d.DCCAlert.Code
	}
	return r
}

// serviceOf finds the member of the permitted set that an SRV names; 0 if none.
func serviceOf(srv string) servicerequests.Service {
	for _, s := range servicerequests.Services {
		if s.SRV() == srv {
			return s
		}
	}
	return 0
}
