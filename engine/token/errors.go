//go:build cgo

package token

import (
	"context"
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// The two kinds of [Error].
var (
	// errUnavailable means that the token does not answer now. It says nothing about the key:
	// try again later.
	errUnavailable = errors.New("the token is not available")
	// ErrRefused means that trying again does not help: the PIN, the key or the certificate is
	// wrong, or the module cannot do it.
	ErrRefused = errors.New("the token refuses")
)

// Error is why a token did not do what was asked. It is [errUnavailable] or [ErrRefused].
type Error struct {
	Call string // of PKCS#11, like C_Sign; empty where it was none
	Code uint   // CKR_, 0 where the module gave none
	Err  error

	class class
}

func (e *Error) Error() string {
	if e.Call == "" {
		return e.kind().Error() + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%v: %s: %v", e.kind(), e.Call, e.Err)
}

// Unwrap returns what the error is and what it wraps.
func (e *Error) Unwrap() []error { return []error{e.kind(), e.Err} }

// unavailable says whether trying again later can help.
func (e *Error) unavailable() bool { return e.class.unavailable() }

func (e *Error) kind() error {
	if e.unavailable() {
		return errUnavailable
	}
	return ErrRefused
}

// class is what is done about a failure.
type class uint8

const (
	refused    class = iota // nothing helps
	mismatched              // refused, if it is so with a fresh session, too
	gone                    // refused, if it stays so: a key that had been there is not
	away                    // unavailable, and not worth another try now
	busy                    // tried again after a wait
	lost                    // the session or what hangs on it: tried again with a fresh one
)

func (c class) unavailable() bool { return c == away || c == busy || c == lost }

// classOf is how each CKR_ is treated. FUNCTION_FAILED and OPERATION_ACTIVE are how
// CloudHSM says busy, and ARGUMENTS_BAD is when sessions are opened too fast; DEVICE_ERROR
// is how sessions end that were idle for too long.
func classOf(call string, code uint) class {
	switch code {
	case pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID,
		pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_OPERATION_NOT_INITIALIZED,
		pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_GENERAL_ERROR,
		pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_SLOT_ID_INVALID,
		pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED:
		return lost
	case pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_SESSION_COUNT,
		pkcs11.CKR_HOST_MEMORY, pkcs11.CKR_DEVICE_MEMORY, pkcs11.CKR_FUNCTION_CANCELED, pkcs11.CKR_CANCEL:
		return busy
	case pkcs11.CKR_ARGUMENTS_BAD:
		if call == "C_OpenSession" {
			return busy
		}
	}
	return refused
}

// called gives what a call to the module returned its class.
func called(call string, err error) error {
	if err == nil {
		return nil
	}
	code, is := errors.AsType[pkcs11.Error](err)
	if !is {
		return &Error{Call: call, Err: err, class: away}
	}
	return &Error{Call: call, Code: uint(code), Err: err, class: classOf(call, uint(code))}
}

func fail(c class, format string, args ...any) error {
	return &Error{Err: fmt.Errorf(format, args...), class: c}
}

// classify finds the class of any error; one that is no Error is not worth another try.
func classify(err error) class {
	if e, is := errors.AsType[*Error](err); is {
		return e.class
	}
	return away
}

// expired says why a caller's time ended, and what was in the way until then.
func expired(ctx context.Context, last error) error {
	if last == nil {
		return fail(away, "no answer in time: %w", context.Cause(ctx))
	}
	e, is := errors.AsType[*Error](last)
	if is && !e.unavailable() {
		return last
	}
	return fail(away, "not in time (%w): %w", context.Cause(ctx), last)
}
