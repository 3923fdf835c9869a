//go:build cgo

package token

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/miekg/pkcs11"
	"go.uber.org/zap"
)

// Level is what a module does for a key agreement.
type Level string

// The levels of agreement.
const (
	Secret Level = "secret" // gives the shared secret
	KDF    Level = "kdf"    // derives the message's key
	None   Level = "none"   // neither
)

// Options say which token is opened, and how.
type Options struct {
	Module string // absolute path of the vendor's library
	Token  string // label
	// PIN is asked for at each login, and its answer is not kept.
	PIN func(context.Context) (string, error)
	// Sessions are used at once at most; 0: 8.
	Sessions int
	// Timeout is for one signature or derivation, with the wait for a session and all
	// tries; 0: 10 seconds.
	Timeout time.Duration

	Agreement Level // empty: Secret
	// KDFNumber is the module's number of the one-step SHA-256 KDF of NIST SP 800-56A. For
	// level KDF it is required.
	KDFNumber uint

	Log *zap.Logger // nil: none
}

const (
	defaultSessions = 8
	defaultTimeout  = 10 * time.Second
	firstWait       = 10 * time.Millisecond // between tries, and doubled
	longestWait     = time.Second
)

func (o *Options) complete() error {
	if o.Sessions == 0 {
		o.Sessions = defaultSessions
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Agreement == "" {
		o.Agreement = Secret
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	check(filepath.IsAbs(o.Module), "Module %q: want an absolute path", o.Module)
	check(o.Token != "", "Token: required")
	check(o.PIN != nil, "PIN: required")
	check(o.Sessions > 0, "Sessions %d: want 1 or more", o.Sessions)
	check(o.Timeout > 0, "Timeout %v: want more than 0s", o.Timeout)
	check(o.Agreement == Secret || o.Agreement == KDF || o.Agreement == None, "Agreement %q: want secret, kdf or none", o.Agreement)
	check(o.Agreement != KDF || o.KDFNumber != 0, "KDFNumber: required for agreement kdf")
	return errors.Join(faults...)
}

// Token is an open token. It may be used from many goroutines.
type Token struct {
	o Options
	m module

	initialised bool          // here, and so finalised here
	idle        chan *session // those that nobody uses; never closed
	closed      chan struct{} // closed by Close
	closing     sync.Once
	unclosed    error // what Close returns

	importing sync.Mutex // one at a time: SoftHSM fails where two write
	loggingIn sync.Mutex // one login at a time; guards barred
	barred    error      // why the PIN is not tried again: tries lock a token

	mu     sync.Mutex
	slot   uint
	found  bool                              // the slot is known
	owners map[pkcs11.SessionHandle]*session // of open handles
}

// Open loads a module, finds the token and logs in. Its errors are of type [Error], except those
// of the options and of the module's file.
func Open(ctx context.Context, o Options) (*Token, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	m, err := load(o.Module)
	if err != nil {
		return nil, err
	}
	return open(ctx, o, m)
}

// open is Open with a module that is loaded and options that are complete.
func open(ctx context.Context, o Options, m module) (*Token, error) {
	t := &Token{
		o: o, m: m, idle: make(chan *session, o.Sessions), closed: make(chan struct{}),
		owners: map[pkcs11.SessionHandle]*session{},
	}
	for range o.Sessions {
		t.idle <- &session{}
	}
	err := called("C_Initialize", m.Initialize())
	if e, is := errors.AsType[*Error](err); is && e.Code != pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED {
		return nil, err
	}
	t.initialised = err == nil
	_, err = do(ctx, t, func(context.Context, *session) (struct{}, error) { return struct{}{}, nil })
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Close ends all sessions once they are not in use. It waits for a call that does not return,
// for one timeout at most; then it leaves the call and the module alone.
func (t *Token) Close() error {
	t.closing.Do(func() {
		close(t.closed)
		t.unclosed = t.shut()
	})
	return t.unclosed
}

func (t *Token) shut() error {
	late := time.NewTimer(t.o.Timeout)
	defer late.Stop()
	for range t.o.Sessions {
		select {
		case s := <-t.idle:
			t.drop(s, nil)
		case <-late.C:
			return fail(away, "a call has not come back, so the module stays open")
		}
	}
	if !t.initialised {
		return nil
	}
	return called("C_Finalize", t.m.Finalize())
}

// do calls work with a session, and again if that can help, until the timeout. Only work may
// use the session until it returns. Work may outlive its caller, so it passes its result on
// only by returning it.
func do[R any](ctx context.Context, t *Token, work func(context.Context, *session) (R, error)) (R, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Timeout)
	defer cancel()
	var last error
	for wait, tries := time.Duration(0), 0; ; tries++ {
		r, err := once(ctx, t, work)
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			if last == nil || classify(err) != away {
				last = err
			}
			return r, expired(ctx, last)
		}
		last = err
		switch classify(err) {
		case refused, away:
			return r, err
		case mismatched:
			if tries > 0 {
				return r, err
			}
		case gone, busy, lost:
			t.o.Log.Warn("token call tried again", zap.Error(err), zap.Int("try", tries))
		}
		if tries > 0 { // the first time at once: most losses are cured by a fresh session
			wait = min(max(2*wait, firstWait), longestWait)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return r, expired(ctx, last)
		case <-t.closed:
			return r, errClosed
		}
	}
}

var errClosed = fail(away, "it is closed")

// once takes a session and has work done in a goroutine, for a call to a module cannot be
// broken off.
func once[R any](ctx context.Context, t *Token, work func(context.Context, *session) (R, error)) (none R, err error) {
	var s *session
	select {
	case <-t.closed:
		return none, errClosed
	default:
	}
	select {
	case s = <-t.idle:
	case <-t.closed:
		return none, errClosed
	case <-ctx.Done():
		return none, fail(away, "all %d sessions are in use", t.o.Sessions)
	}
	type result struct {
		r   R
		err error
	}
	done := make(chan result, 1)
	go func() {
		r, err := use(ctx, t, s, work)
		t.idle <- s
		done <- result{r, err}
	}()
	select {
	case got := <-done:
		return got.r, got.err
	case <-ctx.Done():
		return none, fail(away, "the module has not answered")
	}
}

// use opens a session if needed, calls work with it, and drops it after an error.
func use[R any](ctx context.Context, t *Token, s *session, work func(context.Context, *session) (R, error)) (r R, err error) {
	if err = t.ready(ctx, s); err == nil {
		r, err = work(ctx, s)
	}
	if err != nil && classify(err) != refused {
		t.drop(s, err)
	}
	t.rest(s)
	return r, err
}
