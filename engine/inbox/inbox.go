package inbox

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"safemode/engine/listen"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// Path is where the handler expects to be mounted (as DCC Boxed calls it).
const Path = "/smartdcc/duis"

// Verifier reads what messages claim. It is used by many goroutines. An error says that
// a message is no XML.
type Verifier interface {
	Claim(raw []byte) (proof.Claim, error)
	File(raw []byte) (proof.Claim, error) // the same, without checking who has signed
}

// Options configures an Inbox. Fields are required unless they say otherwise.
// Durations are real time.
type Options struct {
	Verifier Verifier

	// Authenticated says whether the connection of a request proves the sender:
	// [OverMutualTLS], or in a simulation [OverLoopback]. Nil: none does, and only messages
	// that the DCC has signed are stored.
	Authenticated func(*http.Request) bool

	// Receive makes the record of a message durable before it returns, and hands it on to
	// be judged. It is called by many goroutines, and may wait. After an error the DCC is
	// asked to send again.
	Receive func(context.Context, record.Record) error

	// Stranger is called for a message from a sender that is not authenticated, and that no
	// key of the DCC has signed. It must only count, so that strangers cannot make it do more.
	// Optional.
	Stranger func()

	Now        func() time.Time // the sweep's clock
	Log        *zap.Logger
	Registerer prometheus.Registerer

	Limits
}

// OverMutualTLS says whether a request came over TLS from a client whose certificate was
// verified. [Listen] lets in none but those with an allowed name.
func OverMutualTLS(r *http.Request) bool {
	return r.TLS != nil && r.TLS.HandshakeComplete && len(r.TLS.VerifiedChains) > 0
}

// OverLoopback says whether a request came from this machine. It is proof enough in a
// simulation, and nowhere else.
func OverLoopback(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && remote.Addr().Unmap().IsLoopback()
}

// Rate is a token bucket of messages.
type Rate = listen.Rate

// Limits bound what peers can make the inbox do. Durations are real time.
type Limits struct {
	MaxBody    int64         // bytes of a message; 0: 1 MiB
	Concurrent int           // messages being read or written at once; 0: 64 for each CPU, because most wait for the disk
	Header     time.Duration // until a request's header is there, a TLS handshake included; 0: 10 s
	Timeout    time.Duration // of one message, reading it and writing the answer included; 0: 20 s
	Idle       time.Duration // until a connection on which nothing is asked is closed; 0: 2 min
	PerPeer    Rate          // of messages from one address
	Total      Rate          // of all messages
}

// validate joins all faults.
func (o Options) validate() error {
	var errs []error
	if o.Verifier == nil || o.Receive == nil || o.Now == nil || o.Log == nil || o.Registerer == nil {
		errs = append(errs, errors.New("verifier, receive, now, log and registerer are required"))
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
	rates   *listen.Rates
	slots   chan struct{} // one token for each message being worked on
	strange *zap.Logger   // for what strangers send: it writes little of much
}

// New makes an inbox.
func New(o Options) (*Inbox, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	o.MaxBody = cmp.Or(o.MaxBody, 1<<20)
	o.Concurrent = cmp.Or(o.Concurrent, 64*runtime.GOMAXPROCS(0))
	o.Timeout = cmp.Or(o.Timeout, 20*time.Second)
	o.Header = cmp.Or(o.Header, 10*time.Second)
	o.Idle = cmp.Or(o.Idle, 2*time.Minute)
	i := &Inbox{o: o, metrics: newMetrics(o.Registerer), rates: listen.NewRates(o.PerPeer, o.Total), slots: make(chan struct{}, o.Concurrent)}
	i.strange = o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 10, 10_000)
	}))
	return i, nil
}

// ServeHTTP takes one message in.
func (i *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if limit := i.rates.Over(listen.PeerOf(r.RemoteAddr).String(), time.Now()); limit != "" {
		i.answerBusy(w, limit)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), i.o.Timeout)
	defer cancel()
	// A handler under test may have no connection to put a deadline on.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(i.o.Timeout))

	known := i.o.Authenticated != nil && i.o.Authenticated(r)
	if !known || !listen.Admit(ctx, "") {
		w.Header().Set("Connection", "close") // others need the connection
	}
	raw, status := i.receive(w, r, known)
	if status == 0 {
		status = i.store(ctx, raw, known)
	}
	i.metrics.answered(status)
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.WriteHeader(status)
}

// wrongPath answers a request for another path than the inbox's. It counts and logs it,
// because it may be the DCC with an address that is nearly right.
func (i *Inbox) wrongPath(w http.ResponseWriter, r *http.Request) {
	if limit := i.rates.Over(listen.PeerOf(r.RemoteAddr).String(), time.Now()); limit != "" {
		i.answerBusy(w, limit)
		return
	}
	i.strange.Warn("request for unknown path refused",
		zap.String("method", fmt.Sprintf("%.10q", r.Method)), zap.String("path", fmt.Sprintf("%.100q", r.URL.Path)))
	i.metrics.answered(http.StatusNotFound)
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusNotFound)
}

// answerBusy answers a peer that sends too much with 503, before the body is read. The DCC
// sends again after a 503, so nothing is lost.
func (i *Inbox) answerBusy(w http.ResponseWriter, limit string) {
	i.strange.Warn("message refused with 503: over the rate limit", zap.String("limit", limit))
	i.metrics.limited.WithLabelValues(limit).Inc()
	i.metrics.answered(http.StatusServiceUnavailable)
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// receive reads the body; status is the refusal, or 0. The Content-Type of a known peer does
// not matter.
func (i *Inbox) receive(w http.ResponseWriter, r *http.Request, known bool) (raw []byte, status int) {
	if r.Method != http.MethodPost {
		return nil, http.StatusMethodNotAllowed
	}
	if !known && !xmltree.IsMediaType(r.Header.Get("Content-Type")) || !readable(r.Header.Get("Content-Encoding")) {
		w.Header().Set("Accept-Encoding", "gzip")
		return nil, http.StatusUnsupportedMediaType
	}
	if r.ContentLength > i.o.MaxBody {
		return nil, http.StatusRequestEntityTooLarge
	}
	var body bytes.Buffer
	// As large as announced, up to a bound, because a stranger may announce anything.
	body.Grow(int(min(max(r.ContentLength, 0), 16<<10)) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, i.o.MaxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, http.StatusRequestEntityTooLarge
	}
	if err != nil { // it was cut short or too slow: the DCC may send it again
		return nil, http.StatusServiceUnavailable
	}
	// No XML begins like gzip, so the bytes decide and not the headers.
	if bytes.HasPrefix(body.Bytes(), []byte("\x1F\x8B")) {
		return i.unpack(&body)
	}
	return body.Bytes(), 0
}

// readable says whether a Content-Encoding is one that [Inbox.receive] can decode.
func readable(encoding string) bool {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity", "gzip", "x-gzip":
		return true
	}
	return false
}

// unpack decompresses gzip, up to MaxBody bytes. The record holds the decompressed message.
func (i *Inbox) unpack(packed *bytes.Buffer) (raw []byte, status int) {
	reader, err := gzip.NewReader(packed)
	if err != nil {
		return nil, http.StatusBadRequest
	}
	var body bytes.Buffer
	n, err := body.ReadFrom(io.LimitReader(reader, i.o.MaxBody+1))
	switch {
	case n > i.o.MaxBody:
		return nil, http.StatusRequestEntityTooLarge
	case err != nil:
		return nil, http.StatusBadRequest
	}
	return body.Bytes(), 0
}

// store makes the message durable and has it judged.
func (i *Inbox) store(ctx context.Context, raw []byte, known bool) (status int) {
	select {
	case i.slots <- struct{}{}:
		defer func() { <-i.slots }()
	case <-ctx.Done():
		return http.StatusServiceUnavailable
	}
	file := i.o.Verifier.Claim
	if known { // the signature is checked once, when the message is judged
		file = i.o.Verifier.File
	}
	claim, err := file(raw)
	switch {
	case err != nil && known:
		i.o.Log.Warn("authenticated peer sent no XML", zap.Int("bytes", len(raw)), zap.Error(err))
		return http.StatusBadRequest
	case err != nil:
		return i.reject(err)
	case !known && !claim.FromDCC:
		return i.reject(errors.New("neither the connection nor a signature shows who sends"))
	}
	if err := i.o.Receive(ctx, i.record(claim, raw)); err != nil {
		i.o.Log.Error("delivery not stored: the DCC is asked to send it again", zap.Stringer("request_id", claim.ID), zap.Error(err))
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}

// reject answers a stranger. It logs a sample and stores nothing.
func (i *Inbox) reject(reason error) (status int) {
	i.strange.Warn("message of unauthenticated peer refused", zap.Error(reason))
	if i.o.Stranger != nil {
		i.o.Stranger()
	}
	return http.StatusBadRequest
}

// record makes the journal's record of a message, from what the message claims.
func (i *Inbox) record(c proof.Claim, raw []byte) record.Record {
	r := record.Record{
		At: i.o.Now(), Kind: record.Received, Device: c.Device, Service: serviceOf(c.SRV), ID: c.ID, Code: string(c.Code), Body: raw,
	}
	switch c.Kind {
	case proof.ClaimResponse, proof.ClaimSilence:
		r.Kind = record.Response
	case proof.ClaimAlert, proof.ClaimDCCAlert:
		r.Kind, r.Code = record.Alert, c.Alert
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
