package exchange_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/servicerequests/duis"
)

// The breaker is told once of each half that it has let pass, whatever comes of it.
func TestBreakerIsToldOnce(t *testing.T) {
	throttled := &gateway.ThrottledError{Status: 503}
	fails := func(err error) func(*door, *exchange.Half) {
		return func(d *door, _ *exchange.Half) { d.network = func(gateway.Post) ([]byte, error) { return nil, err } }
	}
	for name, test := range map[string]struct {
		set  func(*door, *exchange.Half)
		told error // nil: that it went well
		none bool  // the breaker let nothing pass
		want error // of the result
	}{
		"it goes well":              {set: func(*door, *exchange.Half) {}},
		"with a Pre-Command":        {set: func(d *door, l *exchange.Half) { *l = transform(); d.reply = preCommand }},
		"not written":               {set: fails(gateway.ErrNotWritten), told: gateway.ErrNotWritten, want: gateway.ErrNotWritten},
		"throttled":                 {set: fails(throttled), told: throttled, want: throttled},
		"rejected":                  {set: fails(gateway.ErrRejected), told: gateway.ErrRejected, want: gateway.ErrRejected},
		"in doubt":                  {set: fails(gateway.ErrInDoubt), told: gateway.ErrInDoubt, want: gateway.ErrInDoubt},
		"held back after all":       {set: fails(gateway.ErrNotAdmitted), told: context.Canceled, want: gateway.ErrNotAdmitted},
		"no connection":             {set: func(d *door, _ *exchange.Half) { d.dial = func() error { return gateway.ErrNotWritten } }, told: gateway.ErrNotWritten, want: gateway.ErrNotWritten},
		"at the wall":               {set: func(d *door, _ *exchange.Half) { d.dial = func() error { return gateway.ErrNotPermitted } }, none: true, want: gateway.ErrNotPermitted},
		"two connections":           {set: func(d *door, _ *exchange.Half) { d.conns = 2 }},
		"two connections, in doubt": {set: func(d *door, l *exchange.Half) { d.conns = 2; fails(gateway.ErrInDoubt)(d, l) }, told: gateway.ErrInDoubt, want: gateway.ErrInDoubt},
		"refused on the second":     {set: func(d *door, _ *exchange.Half) { d.conns = 2; d.grant = once() }, told: context.Canceled, want: gateway.ErrNotAdmitted},
		"reply not proven": {set: func(d *door, _ *exchange.Half) {
			d.reply = func() (duis.Response, error) { return duis.Response{}, errShut }
		}, want: exchange.ErrUnproven},
		"the gateway panics":        {set: func(d *door, _ *exchange.Half) { d.network = func(gateway.Post) ([]byte, error) { panic("x") } }, told: context.Canceled, want: exchange.ErrPanic},
		"the verifier panics":       {set: func(d *door, _ *exchange.Half) { d.reply = func() (duis.Response, error) { panic("x") } }, want: exchange.ErrPanic},
		"the journal panics after":  {set: func(d *door, _ *exchange.Half) { d.appended = func(record.Record) { panic("x") } }, want: exchange.ErrPanic},
		"the breaker panics":        {set: func(d *door, _ *exchange.Half) { d.allow = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"the gate panics":           {set: func(d *door, _ *exchange.Half) { d.gate = func(time.Time) error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"panic before a connection": {set: func(d *door, _ *exchange.Half) { d.dial = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"panic on the second":       {set: func(d *door, _ *exchange.Half) { d.conns = 2; d.grant = panicsOnce() }, told: context.Canceled, want: exchange.ErrPanic},
		"the signer panics":         {set: func(d *door, l *exchange.Half) { l.Body = nil; d.sign = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"the journal panics":        {set: func(d *door, l *exchange.Half) { l.Body = nil; d.commit = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"no connection, and no pass": {set: func(d *door, _ *exchange.Half) {
			d.dial = func() error { return gateway.ErrNotWritten }
			d.allow = func() error { return errDCC }
		}, none: true, want: exchange.ErrCircuit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, l := newDoor(t), durable()
				test.set(d, &l)
				res := d.do(l)
				if !errors.Is(res.Err, test.want) {
					t.Errorf("%v, want %v", res.Err, test.want)
				}
				if want := map[bool]int{false: 1, true: 0}[test.none]; d.leaves != want || len(d.reports) != want {
					t.Fatalf("%d leaves, reports %v", d.leaves, d.reports)
				}
				if !test.none && (!errors.Is(d.reports[0], test.told) || test.told == nil && d.reports[0] != nil) {
					t.Errorf("told %v, want %v", d.reports[0], test.told)
				}
			})
		})
	}
}

// once grants one place.
func once() func(time.Time) (bool, time.Duration, string) {
	granted := false
	return func(time.Time) (bool, time.Duration, string) {
		defer func() { granted = true }()
		return !granted, time.Second, "user"
	}
}

func panicsOnce() func(time.Time) (bool, time.Duration, string) {
	granted := false
	return func(time.Time) (bool, time.Duration, string) {
		if granted {
			panic("x")
		}
		granted = true
		return true, 0, ""
	}
}
