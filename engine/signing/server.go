package signing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"safemode/engine/direction"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// Bounds of a question, in bytes. Evidence carries the custody's book and the starts.
const (
	mostAsk      = 64 << 10
	mostEvidence = 128 << 20
)

// handler answers the interface.
func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/about", func(w http.ResponseWriter, r *http.Request) { answer(w, s.about(), nil) })
	mux.HandleFunc("POST /v1/open", func(w http.ResponseWriter, r *http.Request) {
		ev, err := read[Evidence](w, r, mostEvidence)
		var granted Granted
		if err == nil {
			granted, err = s.Open(r.Context(), ev)
		}
		answer(w, granted, err)
	})
	mux.HandleFunc("POST /v1/request", func(w http.ResponseWriter, r *http.Request) {
		a, err := read[question](w, r, mostAsk)
		var document []byte
		if err == nil {
			document, err = s.request(r.Context(), a.Meter, duis.Request{ID: a.ID, Service: servicerequests.Service(a.Service), InventoryDevice: a.Inventory})
		}
		signed(w, document, s.unread(err))
	})
	mux.HandleFunc("POST /v1/command", func(w http.ResponseWriter, r *http.Request) {
		a, err := read[question](w, r, mostAsk)
		var document []byte
		if err == nil {
			document, err = s.command(r.Context(), a.Meter, gbcs.Expected{Service: servicerequests.Service(a.Service), ID: a.ID}, a.PreCommand)
		}
		signed(w, document, s.unread(err))
	})
	mux.HandleFunc("POST /v1/agree", func(w http.ResponseWriter, r *http.Request) {
		d, err := read[derivation](w, r, mostAsk)
		var key [16]byte
		if err == nil {
			key, err = s.agree(r.Context(), d)
		}
		answer(w, derivedKey{key[:]}, err)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, &unreadable{fmt.Errorf("%s %s: this signer speaks version %s of the interface", r.Method, r.URL.Path, interfaceVersion), http.StatusNotFound})
	})
	return mux
}

// unreadable is the error for a question that cannot be read.
type unreadable struct {
	error
	status int
}

// Unwrap returns the error itself.
func (u *unreadable) Unwrap() error { return u.error }

func read[T any](w http.ResponseWriter, r *http.Request, most int64) (v T, err error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	d.DisallowUnknownFields()
	if err = d.Decode(&v); err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is more than one value")
		}
	}
	if err == nil {
		return v, nil
	}
	status := http.StatusBadRequest
	if errors.Is(err, servicerequests.ErrNotPermitted) {
		status = http.StatusForbidden
	}
	return v, &unreadable{err, status}
}

// unread writes a question into the log that named a forbidden service: Enable, Disable, a
// switch to Prepayment.
func (s *Service) unread(err error) error {
	if errors.Is(err, servicerequests.ErrNotPermitted) {
		return s.refuse(signature{}, err)
	}
	return err
}

func signed(w http.ResponseWriter, document []byte, err error) {
	if err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Write(document)
}

// answer writes a value, or the fault that an error is.
func answer(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	if err != nil {
		status = statusOf(err)
		v = faultBody{err.Error()}
		var rate *rateError
		if errors.As(err, &rate) {
			w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(rate.Wait.Seconds())))))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client may have gone
}

func statusOf(err error) int {
	var unread *unreadable
	var rate *rateError
	var refused *signer.RefusedError
	var module interface{ Unavailable() bool }
	switch {
	case errors.As(err, &module) && !module.Unavailable(): // its key is broken: to ask again helps nobody
		return http.StatusInternalServerError
	case errors.As(err, &unread):
		return unread.status
	case errors.As(err, &rate):
		return http.StatusTooManyRequests
	case errors.As(err, &refused), errors.Is(err, errDerive):
		return http.StatusForbidden
	case errors.Is(err, signer.ErrStopped), errors.Is(err, errOlder), errors.Is(err, direction.ErrNotApproved), errors.Is(err, errAuthority):
		return http.StatusLocked
	case errors.Is(err, gbcs.ErrNotCheckable):
		return http.StatusNotImplemented
	}
	return http.StatusServiceUnavailable
}

// Server answers on a listener. The listener decides which peers may connect.
func (s *Service) Server() *http.Server {
	return &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute,
		MaxHeaderBytes: 16 << 10,
	}
}

// ListenUnix listens on a socket that only its user may open, and accepts connections of
// these users alone. It removes a socket that a dead signer has left.
func ListenUnix(ctx context.Context, path string, users []int) (net.Listener, error) {
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("%s: another signer answers there", path), c.Close())
	}
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	mask := unix.Umask(0o177)
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	unix.Umask(mask)
	if err != nil {
		return nil, err
	}
	return &unixListener{l, users}, nil
}

type unixListener struct {
	net.Listener
	users []int
}

// Accept implements [net.Listener].
func (l *unixListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if user, err := userOf(c); err == nil && slices.Contains(l.users, user) {
			return c, nil
		}
		_ = c.Close() // a peer that must not ask gets no answer
	}
}

// userOf asks the kernel which user the peer is.
func userOf(c net.Conn) (user int, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.New("no unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *unix.Ucred
	var fault error
	if err := raw.Control(func(fd uintptr) {
		credentials, fault = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if fault != nil {
		return 0, fault
	}
	return int(credentials.Uid), nil
}
