package exchange_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/servicerequests/clock"
)

// The checks at the socket come in this order; each denies, what comes after it is not
// asked, and nothing is written.
func TestOrderOfTheChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := []struct {
			name  string
			deny  func(*door, *exchange.Half)
			want  error
			asked []string
		}{
			{"gate", func(d *door, _ *exchange.Half) { d.gate = func(time.Time) error { return errShut } }, exchange.ErrGate, []string{"gate"}},
			{"recall", func(_ *door, l *exchange.Half) { l.Permit.Recall() }, exchange.ErrRecalled, []string{"gate"}},
			{"fresh", func(_ *door, l *exchange.Half) { l.NotAfter = time.Now().Add(-1) }, exchange.ErrStale, []string{"gate"}},
			{"limit", func(d *door, _ *exchange.Half) {
				d.grant = func(time.Time) (bool, time.Duration, string) { return false, time.Second, "user" }
			}, nil, []string{"gate", "limit"}},
			{"breaker", func(d *door, _ *exchange.Half) { d.allow = func() error { return errDCC } }, exchange.ErrCircuit, []string{"gate", "limit", "breaker"}},
		}
		for i, check := range checks {
			d, l := newDoor(t), durable()
			for _, later := range checks[i:] { // all of them deny
				later.deny(d, &l)
			}
			res := d.do(l)
			limit, limited := errors.AsType[*exchange.LimitError](res.Err)
			if !errors.Is(res.Err, gateway.ErrNotAdmitted) || check.want != nil && !errors.Is(res.Err, check.want) || limited != (check.name == "limit") {
				t.Errorf("%s: %v", check.name, res.Err)
			}
			if limited && (limit.Limit != "user" || limit.Wait != time.Second) {
				t.Errorf("%+v", limit)
			}
			if !slices.Equal(d.asked, check.asked) || len(d.wire) > 0 || len(d.reports) != d.leaves {
				t.Errorf("%s: asked %v, %d on the wire, %d reports", check.name, d.asked, len(d.wire), len(d.reports))
			}
			if !exchange.Denied(res.Err) || res.Written() || res.Took != 0 {
				t.Errorf("%s: denied %t, written %t, took %v", check.name, exchange.Denied(res.Err), res.Written(), res.Took)
			}
		}
		d := newDoor(t)
		if res := d.do(durable()); res.Err != nil || !res.Written() || !slices.Equal(d.asked, []string{"gate", "limit", "breaker", "network"}) {
			t.Errorf("%v, asked %v", res.Err, d.asked)
		}
		d = newDoor(t) // exactly at the last instant
		l := durable()
		l.NotAfter = time.Now()
		if res := d.do(l); res.Err != nil {
			t.Error(res.Err)
		}
		d.o.Gate, d.o.Limits, d.o.Breakers = nil, nil, nil
		l.Permit = nil
		if res := d.do(l); res.Err != nil || len(d.wire) != 2 {
			t.Errorf("without gate, limits and breakers: %v", res.Err)
		}
	})
}

// A half that would be denied is not signed either: no counter of it is used up in the journal.
func TestNothingIsSignedThatIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, deny := range map[error]func(*door, *exchange.Half){
			exchange.ErrGate:     func(d *door, _ *exchange.Half) { d.gate = func(time.Time) error { return errShut } },
			exchange.ErrRecalled: func(_ *door, l *exchange.Half) { l.Permit.Recall() },
			exchange.ErrStale:    func(_ *door, l *exchange.Half) { l.NotAfter = time.Now().Add(-1) },
		} {
			for _, l := range []exchange.Half{half(), command()} {
				l.Permit = new(exchange.Permit)
				d := newDoor(t)
				deny(d, &l)
				if res := d.do(l); !errors.Is(res.Err, want) || res.Signed != nil || d.signed != 0 || len(d.records) != 0 {
					t.Errorf("%v, %d signatures", res.Err, d.signed)
				}
			}
		}
	})
}

// The disk stalls for 30 s. A half that is not allowed any more after that is refused at the
// socket; its bytes are durable, and go later as they are.
func TestSlowCommit(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(*door, *exchange.Half)
		denied    func(error) bool
	}{
		"a gate closes":         {func(d *door, _ *exchange.Half) { d.gate = func(time.Time) error { return errShut } }, is(exchange.ErrGate)},
		"it is recalled":        {func(_ *door, l *exchange.Half) { l.Permit.Recall() }, is(exchange.ErrRecalled)},
		"its read grows old":    {func(*door, *exchange.Half) {}, is(exchange.ErrStale)},
		"the circuit opens":     {func(d *door, _ *exchange.Half) { d.allow = func() error { return errDCC } }, is(exchange.ErrCircuit)},
		"there is no room left": {func(d *door, _ *exchange.Half) { d.grant = full }, func(err error) bool { _, ok := errors.AsType[*exchange.LimitError](err); return ok }},
	} {
		for kind, make := range map[string]func() exchange.Half{"request": half, "command": command} {
			t.Run(name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d, l := newDoor(t), make()
					if name == "its read grows old" {
						l.NotAfter = time.Now().Add(20 * time.Second)
					}
					d.commit = func() error {
						time.Sleep(10 * time.Second)
						test.meanwhile(d, &l)
						time.Sleep(20 * time.Second)
						return nil
					}
					res := d.do(l)
					if !test.denied(res.Err) || !exchange.Denied(res.Err) || res.Written() || len(d.wire) > 0 {
						t.Fatalf("%v, %v on the wire", res.Err, d.wire)
					}
					if res.Signed == nil || len(d.committed) != 1 || string(res.Signed.Body) != "signature 1" {
						t.Fatalf("signed %+v", res.Signed)
					}
					d.gate, d.allow, d.grant = nil, nil, nil
					l.Body, l.Permit, l.NotAfter = res.Signed.Body, new(exchange.Permit), time.Time{}
					if res := d.do(l); res.Err != nil || res.Signed != nil || !slices.Equal(d.wire, []string{"signature 1"}) || d.signed != 1 || len(d.committed) != 1 {
						t.Errorf("%v, %v on the wire, %d signatures, %d records", res.Err, d.wire, d.signed, len(d.committed))
					}
				})
			})
		}
	}
}

func is(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }

func full(time.Time) (bool, time.Duration, string) { return false, time.Second, "region" }

// Each of many that wait for one slow commit is asked for itself at the socket: no more
// than the limit leave in a second.
func TestLimitHoldsAfterASlowCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		due := time.Now()
		d.grant = func(now time.Time) (bool, time.Duration, string) { // one a second
			if wait := due.Sub(now); wait > 0 {
				return false, wait, "user"
			}
			due = now.Add(time.Second)
			return true, 0, ""
		}
		d.commit = func() error { time.Sleep(30 * time.Second); return nil }
		first := d.do(half())
		d.commit = nil
		passed := 0
		for range 30 {
			if d.do(half()).Err == nil {
				passed++
			}
		}
		if first.Err != nil || passed != 0 {
			t.Errorf("%v, and %d others within the second", first.Err, passed)
		}
	})
}

// A limit that will let a half go soon is waited for, no longer than patience has it, and
// everything before it is asked again.
func TestPatience(t *testing.T) {
	waits := func(spans ...time.Duration) func(time.Time) (bool, time.Duration, string) {
		return func(time.Time) (bool, time.Duration, string) {
			if len(spans) == 0 {
				return true, 0, ""
			}
			wait := spans[0]
			spans = spans[1:]
			return false, wait, "user"
		}
	}
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		patience time.Duration
		speed    float64
		spans    []time.Duration
		passes   bool
		after    time.Duration
	}{
		"soon":                  {0, 0, []time.Duration{100 * ms}, true, 100 * ms},
		"as late as may be":     {0, 0, []time.Duration{250 * ms}, true, 250 * ms},
		"a moment later":        {0, 0, []time.Duration{250*ms + 1}, false, 0},
		"three times soon":      {0, 0, []time.Duration{100 * ms, 100 * ms, 50 * ms}, true, 250 * ms},
		"and once more":         {0, 0, []time.Duration{100 * ms, 100 * ms, 51 * ms}, false, 200 * ms},
		"patience of a second":  {time.Second, 0, []time.Duration{time.Second}, true, time.Second},
		"by a clock that races": {0, 60, []time.Duration{15 * time.Second}, true, 250 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t)
				d.o.Patience, d.o.Clock = test.patience, clock.Clock{Anchor: time.Now(), Speed: test.speed}
				d.grant = waits(test.spans...)
				begin := time.Now()
				res := d.do(durable())
				if passes := res.Err == nil; passes != test.passes || time.Since(begin) != test.after {
					t.Errorf("%v after %v", res.Err, time.Since(begin))
				}
				limit, ok := errors.AsType[*exchange.LimitError](res.Err)
				if last := test.spans[len(test.spans)-1]; ok == test.passes || ok && (limit.Wait != last || limit.Limit != "user") {
					t.Errorf("%+v", limit)
				}
				if gates := strings.Count(strings.Join(d.asked, " "), "gate"); gates != strings.Count(strings.Join(d.asked, " "), "limit") {
					t.Errorf("asked %v", d.asked)
				}
			})
		})
	}
	t.Run("a gate closes meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t)
			d.grant = waits(100 * ms)
			begin := time.Now()
			d.gate = func(now time.Time) error {
				if now.Sub(begin) > 50*ms {
					return errShut
				}
				return nil
			}
			if res := d.do(durable()); !errors.Is(res.Err, exchange.ErrGate) || len(d.wire) > 0 {
				t.Error(res.Err)
			}
		})
	})
	t.Run("it is recalled meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, l := newDoor(t), durable()
			d.grant = waits(100 * ms)
			time.AfterFunc(50*ms, l.Permit.Recall)
			if res := d.do(l); !errors.Is(res.Err, exchange.ErrRecalled) || len(d.wire) > 0 {
				t.Error(res.Err)
			}
		})
	})
	t.Run("the POSTs end meanwhile", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t)
			d.grant = waits(100 * ms)
			posts, cancel := context.WithTimeout(t.Context(), 50*ms)
			defer cancel()
			begin := time.Now()
			res := exchange.New(d.o).Do(t.Context(), posts, durable())
			if !exchange.Denied(res.Err) || !errors.Is(res.Err, context.DeadlineExceeded) || time.Since(begin) != 50*ms || len(d.wire) > 0 {
				t.Errorf("%v after %v", res.Err, time.Since(begin))
			}
		})
	})
}
