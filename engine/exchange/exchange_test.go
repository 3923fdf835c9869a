package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

const (
	device = servicerequests.EUI(0x00DB1234567890A0)
	ours   = servicerequests.EUI(0x90B3D51F30010000)
)

var id = servicerequests.RequestID{Originator: ours, Target: device, Counter: 7}

// door is everything around an exchange. Each part does as it is told, and nothing where
// it is told nothing.
type door struct {
	t     *testing.T
	o     exchange.Options
	asked []string // of gate, limit, breaker and network, in order

	gate     func(time.Time) error
	grant    func(time.Time) (bool, time.Duration, string)
	allow    func() error
	commit   func() error
	appended func(record.Record)
	sign     func() error
	prepare  func() error
	network  func(gateway.Post) ([]byte, error) // once the bytes are on the wire
	dial     func() error                       // before a connection is there
	conns    int                                // connections that it takes; 0: 1
	reply    func() (duis.Response, error)

	committed []record.Record
	records   []record.Record // all, in order
	signed    int
	wire      []string
	requests  []duis.Request
	holds     map[record.Endpoint]time.Time
	leaves    int
	reports   []error
}

func newDoor(t *testing.T) *door {
	d := &door{t: t, holds: map[record.Endpoint]time.Time{}}
	d.o = exchange.Options{
		Journal: d, Signer: d, Gateway: d, Verifier: d, Limits: limits{d}, Breakers: breakers{d},
		Log: zap.NewNop(), Gate: func(now time.Time) error {
			d.asked = append(d.asked, "gate")
			if d.gate != nil {
				return d.gate(now)
			}
			return nil
		},
	}
	return d
}

func (d *door) Commit(_ context.Context, records ...record.Record) error {
	if d.commit != nil {
		if err := d.commit(); err != nil {
			return err
		}
	}
	d.committed = append(d.committed, records...)
	d.records = append(d.records, records...)
	return nil
}

func (d *door) Append(records ...record.Record) {
	if d.appended != nil {
		d.appended(records[0])
	}
	d.records = append(d.records, records...)
}

func (d *door) bytes() ([]byte, error) {
	if d.sign != nil {
		if err := d.sign(); err != nil {
			return nil, err
		}
	}
	d.signed++
	return fmt.Appendf(nil, "signature %d", d.signed), nil
}

func (d *door) SignRequest(_ context.Context, _ servicerequests.EUI, r duis.Request) ([]byte, error) {
	d.requests = append(d.requests, r)
	return d.bytes()
}

func (d *door) Sign(_ context.Context, _ servicerequests.EUI, _ *signer.Token) ([]byte, error) {
	return d.bytes()
}

func (d *door) Prepare(gbcs.Expected, []byte) (*signer.Token, error) {
	if d.prepare != nil {
		if err := d.prepare(); err != nil {
			return nil, err
		}
	}
	return new(signer.Token), nil
}

// Post is the gateway: it asks Admit when a connection is there, and again on the next.
func (d *door) Post(ctx context.Context, p gateway.Post) ([]byte, error) {
	if d.dial != nil {
		if err := d.dial(); err != nil {
			return nil, err
		}
	}
	for range max(1, d.conns) {
		if err := p.Admit(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", gateway.ErrHeldBack, err)
		}
	}
	d.asked = append(d.asked, "network")
	if !slices.ContainsFunc(d.committed, func(r record.Record) bool { return string(r.Body) == string(p.Body) }) && !strings.HasPrefix(string(p.Body), "durable") {
		d.t.Errorf("%s is on the wire, and in no durable record", p.Body)
	}
	d.wire = append(d.wire, string(p.Body))
	if d.network != nil {
		return d.network(p)
	}
	return []byte("<reply/>"), nil
}

func (d *door) Reply([]byte, servicerequests.RequestID) (duis.Response, error) {
	if d.reply != nil {
		return d.reply()
	}
	return duis.Response{Code: servicerequests.Acknowledged}, nil
}

type limits struct{ *door }

func (l limits) Grant(now time.Time, _ exchange.Place) (bool, time.Duration, string) {
	l.asked = append(l.asked, "limit")
	if l.grant != nil {
		return l.grant(now)
	}
	return true, 0, ""
}
func (l limits) Hold(e record.Endpoint, until time.Time) { l.holds[e] = until }

type breakers struct{ *door }

func (b breakers) Allow(record.Endpoint, servicerequests.Region) (func(error), error) {
	b.asked = append(b.asked, "breaker")
	if b.allow != nil {
		if err := b.allow(); err != nil {
			return nil, err
		}
	}
	b.leaves++
	return func(err error) { b.reports = append(b.reports, err) }, nil
}

// leg is a read that is to be signed.
func leg() exchange.Leg {
	return exchange.Leg{
		Device:   device,
		Place:    exchange.Place{Originator: ours, Endpoint: record.SendCommand, Service: servicerequests.ReadSupplyStatus},
		Expected: gbcs.Expected{Service: servicerequests.ReadSupplyStatus, Device: servicerequests.ESME, ID: id},
		Permit:   new(exchange.Permit),
	}
}

// durable is one whose bytes are durable.
func durable() exchange.Leg {
	l := leg()
	l.Body = []byte("durable bytes")
	return l
}

// command is the second leg of a 1.6.
func command() exchange.Leg {
	l := leg()
	l.Place.Service, l.Place.Signed, l.Expected.Service = servicerequests.SwitchToCredit, true, servicerequests.SwitchToCredit
	l.Command, l.Token = true, new(signer.Token)
	return l
}

// transform is its first leg.
func transform() exchange.Leg {
	l := command()
	l.Command, l.Token, l.Place.Signed, l.Place.Endpoint = false, nil, false, record.Transform
	return l
}

func (d *door) do(l exchange.Leg) exchange.Result {
	return exchange.New(d.o).Do(d.t.Context(), d.t.Context(), l)
}

var (
	errShut = errors.New("a CRL has run out")
	errDCC  = errors.New("open")
)

// The checks at the socket come in this order; each denies, what comes after it is not
// asked, and nothing is written.
func TestOrderOfTheChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		checks := []struct {
			name  string
			deny  func(*door, *exchange.Leg)
			want  error
			asked []string
		}{
			{"gate", func(d *door, _ *exchange.Leg) { d.gate = func(time.Time) error { return errShut } }, exchange.ErrGate, []string{"gate"}},
			{"recall", func(_ *door, l *exchange.Leg) { l.Permit.Recall() }, exchange.ErrRecalled, []string{"gate"}},
			{"fresh", func(_ *door, l *exchange.Leg) { l.NotAfter = time.Now().Add(-1) }, exchange.ErrStale, []string{"gate"}},
			{"limit", func(d *door, _ *exchange.Leg) {
				d.grant = func(time.Time) (bool, time.Duration, string) { return false, time.Second, "user" }
			}, nil, []string{"gate", "limit"}},
			{"breaker", func(d *door, _ *exchange.Leg) { d.allow = func() error { return errDCC } }, exchange.ErrCircuit, []string{"gate", "limit", "breaker"}},
		}
		for i, check := range checks {
			d, l := newDoor(t), durable()
			for _, later := range checks[i:] { // all of them deny
				later.deny(d, &l)
			}
			res := d.do(l)
			limit, limited := errors.AsType[*exchange.LimitError](res.Err)
			if !errors.Is(res.Err, gateway.ErrHeldBack) || check.want != nil && !errors.Is(res.Err, check.want) || limited != (check.name == "limit") {
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

// What would be denied is not signed either: no counter of it is used up in the journal.
func TestNothingIsSignedThatIsDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, deny := range map[error]func(*door, *exchange.Leg){
			exchange.ErrGate:     func(d *door, _ *exchange.Leg) { d.gate = func(time.Time) error { return errShut } },
			exchange.ErrRecalled: func(_ *door, l *exchange.Leg) { l.Permit.Recall() },
			exchange.ErrStale:    func(_ *door, l *exchange.Leg) { l.NotAfter = time.Now().Add(-1) },
		} {
			for _, l := range []exchange.Leg{leg(), command()} {
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

// The disk stalls for 30 s. What holds no more when it is done is held back at the socket,
// whenever that became so; the bytes are durable, and go later as they are.
func TestSlowCommit(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(*door, *exchange.Leg)
		denied    func(error) bool
	}{
		"a gate closes":         {func(d *door, _ *exchange.Leg) { d.gate = func(time.Time) error { return errShut } }, is(exchange.ErrGate)},
		"it is recalled":        {func(_ *door, l *exchange.Leg) { l.Permit.Recall() }, is(exchange.ErrRecalled)},
		"its read grows old":    {func(*door, *exchange.Leg) {}, is(exchange.ErrStale)},
		"the circuit opens":     {func(d *door, _ *exchange.Leg) { d.allow = func() error { return errDCC } }, is(exchange.ErrCircuit)},
		"there is no room left": {func(d *door, _ *exchange.Leg) { d.grant = full }, func(err error) bool { _, ok := errors.AsType[*exchange.LimitError](err); return ok }},
	} {
		for kind, make := range map[string]func() exchange.Leg{"request": leg, "command": command} {
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
		first := d.do(leg())
		d.commit = nil
		passed := 0
		for range 30 {
			if d.do(leg()).Err == nil {
				passed++
			}
		}
		if first.Err != nil || passed != 0 {
			t.Errorf("%v, and %d others within the second", first.Err, passed)
		}
	})
}

// A limit that will let a leg go soon is waited for, no longer than patience has it, and
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

// Whatever comes of a leg that the breaker has let pass, the breaker is told once.
func TestBreakerIsToldOnce(t *testing.T) {
	throttled := &gateway.ThrottledError{Status: 503}
	fails := func(err error) func(*door, *exchange.Leg) {
		return func(d *door, _ *exchange.Leg) { d.network = func(gateway.Post) ([]byte, error) { return nil, err } }
	}
	for name, test := range map[string]struct {
		set  func(*door, *exchange.Leg)
		told error // nil: that it went well
		none bool  // the breaker let nothing pass
		want error // of the result
	}{
		"it goes well":              {set: func(*door, *exchange.Leg) {}},
		"with a Pre-Command":        {set: func(d *door, l *exchange.Leg) { *l = transform(); d.reply = preCommand }},
		"not written":               {set: fails(gateway.ErrNotWritten), told: gateway.ErrNotWritten, want: gateway.ErrNotWritten},
		"throttled":                 {set: fails(throttled), told: throttled, want: throttled},
		"rejected":                  {set: fails(gateway.ErrRejected), told: gateway.ErrRejected, want: gateway.ErrRejected},
		"in doubt":                  {set: fails(gateway.ErrInDoubt), told: gateway.ErrInDoubt, want: gateway.ErrInDoubt},
		"held back after all":       {set: fails(gateway.ErrHeldBack), told: context.Canceled, want: gateway.ErrHeldBack},
		"no connection":             {set: func(d *door, _ *exchange.Leg) { d.dial = func() error { return gateway.ErrNotWritten } }, told: gateway.ErrNotWritten, want: gateway.ErrNotWritten},
		"at the wall":               {set: func(d *door, _ *exchange.Leg) { d.dial = func() error { return gateway.ErrNotPermitted } }, none: true, want: gateway.ErrNotPermitted},
		"two connections":           {set: func(d *door, _ *exchange.Leg) { d.conns = 2 }},
		"two connections, in doubt": {set: func(d *door, l *exchange.Leg) { d.conns = 2; fails(gateway.ErrInDoubt)(d, l) }, told: gateway.ErrInDoubt, want: gateway.ErrInDoubt},
		"refused on the second":     {set: func(d *door, _ *exchange.Leg) { d.conns = 2; d.grant = once() }, told: context.Canceled, want: gateway.ErrHeldBack},
		"reply not proven": {set: func(d *door, _ *exchange.Leg) {
			d.reply = func() (duis.Response, error) { return duis.Response{}, errShut }
		}, want: exchange.ErrUnproven},
		"the gateway panics":        {set: func(d *door, _ *exchange.Leg) { d.network = func(gateway.Post) ([]byte, error) { panic("x") } }, told: context.Canceled, want: exchange.ErrPanic},
		"the verifier panics":       {set: func(d *door, _ *exchange.Leg) { d.reply = func() (duis.Response, error) { panic("x") } }, want: exchange.ErrPanic},
		"the journal panics after":  {set: func(d *door, _ *exchange.Leg) { d.appended = func(record.Record) { panic("x") } }, want: exchange.ErrPanic},
		"the breaker panics":        {set: func(d *door, _ *exchange.Leg) { d.allow = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"the gate panics":           {set: func(d *door, _ *exchange.Leg) { d.gate = func(time.Time) error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"panic before a connection": {set: func(d *door, _ *exchange.Leg) { d.dial = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"panic on the second":       {set: func(d *door, _ *exchange.Leg) { d.conns = 2; d.grant = panicsOnce() }, told: context.Canceled, want: exchange.ErrPanic},
		"the signer panics":         {set: func(d *door, l *exchange.Leg) { l.Body = nil; d.sign = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"the journal panics":        {set: func(d *door, l *exchange.Leg) { l.Body = nil; d.commit = func() error { panic("x") } }, none: true, want: exchange.ErrPanic},
		"no connection, and no pass": {set: func(d *door, _ *exchange.Leg) {
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

func preCommand() (duis.Response, error) {
	return duis.Response{Code: servicerequests.Success, Content: duis.PreCommand{}}, nil
}

// What is on the wire is durable before, and what came of it is recorded after.
func TestRecords(t *testing.T) {
	refused := &signer.RefusedError{ID: id, Err: errShut}
	for name, test := range map[string]struct {
		leg   func() exchange.Leg
		set   func(*door)
		kinds []record.Kind
		code  string // of the last
		want  error
		wire  int
		token bool
	}{
		"a read":                   {leg: leg, kinds: []record.Kind{record.Request, record.Reply}, code: "I99", wire: 1},
		"a command":                {leg: command, kinds: []record.Kind{record.SignedCommand, record.Reply}, code: "I99", wire: 1},
		"bytes that are durable":   {leg: durable, kinds: []record.Kind{record.Reply}, code: "I99", wire: 1},
		"a Pre-Command":            {leg: transform, set: func(d *door) { d.reply = preCommand }, kinds: []record.Kind{record.Request, record.PreCommand}, code: "I0", wire: 1, token: true},
		"a Pre-Command of another": {leg: transform, set: func(d *door) { d.reply = preCommand; d.prepare = func() error { return refused } }, kinds: []record.Kind{record.Request, record.PreCommand, record.Refused}, code: record.RefusedUncorrelated, want: exchange.ErrUncorrelated, wire: 1},
		"a reply without proof":    {leg: leg, set: func(d *door) { d.reply = func() (duis.Response, error) { return duis.Response{}, errShut } }, kinds: []record.Kind{record.Request, record.Refused}, code: record.RefusedUnverified, want: exchange.ErrUnproven, wire: 1},
		"a reply that is not fit":  {leg: leg, set: func(d *door) { d.reply = preCommand }, kinds: []record.Kind{record.Request, record.Refused}, code: record.RefusedUnverified, want: exchange.ErrUnfit, wire: 1},
		"an error code":            {leg: leg, set: func(d *door) { d.reply = func() (duis.Response, error) { return duis.Response{Code: "E5"}, nil } }, kinds: []record.Kind{record.Request, record.Reply}, code: "E5", wire: 1},
		"what may not be signed":   {leg: leg, set: func(d *door) { d.sign = func() error { return refused } }, kinds: []record.Kind{record.Refused}, code: record.RefusedUnpermitted, want: exchange.ErrRefused},
		"a key that fails":         {leg: command, set: func(d *door) { d.sign = func() error { return errShut } }, want: exchange.ErrKey},
		"a journal that fails":     {leg: leg, set: func(d *door) { d.commit = func() error { return errShut } }, want: exchange.ErrJournal},
		"a POST in doubt":          {leg: leg, set: func(d *door) { d.network = func(gateway.Post) ([]byte, error) { return nil, gateway.ErrInDoubt } }, kinds: []record.Kind{record.Request}, want: gateway.ErrInDoubt, wire: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t)
				if test.set != nil {
					test.set(d)
				}
				res := d.do(test.leg())
				if !errors.Is(res.Err, test.want) || len(d.wire) != test.wire || (res.Token != nil) != test.token {
					t.Errorf("%v, %d on the wire, token %t", res.Err, len(d.wire), res.Token != nil)
				}
				var kinds []record.Kind
				for _, r := range d.records {
					kinds = append(kinds, r.Kind)
					if r.ID != id || r.Device != device || !r.At.Equal(time.Now()) || r.Service == 0 {
						t.Errorf("%+v", r)
					}
				}
				if !slices.Equal(kinds, test.kinds) {
					t.Errorf("recorded %v, want %v", kinds, test.kinds)
				}
				if n := len(d.records); n > 0 && d.records[n-1].Code != test.code {
					t.Errorf("code %q, want %q", d.records[n-1].Code, test.code)
				}
				if durable := res.Signed != nil; durable != (len(d.committed) == 1) || durable && string(res.Signed.Body) != string(d.committed[0].Body) {
					t.Errorf("signed %v, durable %v", res.Signed, d.committed)
				}
			})
		})
	}
}

// A Pre-Command comes from Transform only, an inventory from Non-Device only; neither
// comes with an error.
func TestUnfitReplies(t *testing.T) {
	for _, content := range []duis.Content{nil, duis.PreCommand{}, duis.Inventory{}, duis.DeviceResponse{}} {
		for _, e := range record.Endpoints {
			for _, code := range []servicerequests.ResponseCode{servicerequests.Success, servicerequests.Acknowledged, "E5"} {
				synctest.Test(t, func(t *testing.T) {
					d, l := newDoor(t), durable()
					l.Place.Endpoint = e
					d.reply = func() (duis.Response, error) { return duis.Response{Code: code, Content: content}, nil }
					res := d.do(l)
					fit := content == nil && code != servicerequests.Success
					switch content.(type) {
					case duis.PreCommand:
						fit = e == record.Transform && code == servicerequests.Success
					case duis.Inventory:
						fit = e == record.NonDevice && code == servicerequests.Success
					case duis.DeviceResponse:
						fit = code != servicerequests.Success
					}
					if fit != (res.Err == nil) || !fit && !errors.Is(res.Err, exchange.ErrUnfit) {
						t.Errorf("%T with %s from %v: %v", content, code, e, res.Err)
					}
					if _, is := content.(duis.PreCommand); (res.Token != nil) != (is && fit) {
						t.Errorf("%T with %s from %v: a token", content, code, e)
					}
				})
			}
		}
	}
}

func TestInventoryNamesItsDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := newDoor(t), leg()
		l.Expected.Service, l.Place.Endpoint = servicerequests.ReadInventory, record.NonDevice
		d.reply = func() (duis.Response, error) {
			return duis.Response{Code: servicerequests.Success, Content: duis.Inventory{}}, nil
		}
		if res := d.do(l); res.Err != nil || len(d.requests) != 1 || d.requests[0].InventoryDevice != device {
			t.Errorf("%v, %+v", res.Err, d.requests)
		}
	})
}

// A Retry-After holds the endpoint at once, for what is on its way already. It is real
// time, whatever the sweep's clock does.
func TestThrottledHoldsTheEndpoint(t *testing.T) {
	for _, speed := range []float64{0, 60} {
		for _, after := range []time.Duration{0, 7 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				d, l := newDoor(t), durable()
				d.o.Clock = clock.Clock{Anchor: time.Now(), Speed: speed}
				l.Place.Endpoint = record.Transform
				d.network = func(gateway.Post) ([]byte, error) {
					return nil, &gateway.ThrottledError{Status: 429, RetryAfter: after}
				}
				if res := d.do(l); res.Err == nil || res.Written() {
					t.Errorf("%v, written %t", res.Err, res.Written())
				}
				until, held := d.holds[record.Transform]
				if held != (after > 0) || held && !until.Equal(d.o.Clock.At(time.Now().Add(after))) || len(d.holds) > 1 {
					t.Errorf("speed %v, retry after %v: held until %v", speed, after, until)
				}
			})
		}
	}
}

// Whether the DCC may have the bytes.
func TestWritten(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		written bool
	}{
		"a reply":       {nil, true},
		"not permitted": {gateway.ErrNotPermitted, false},
		"held back":     {fmt.Errorf("%w: %w", gateway.ErrHeldBack, exchange.ErrGate), false},
		"not written":   {gateway.ErrNotWritten, false},
		"throttled":     {&gateway.ThrottledError{Status: 503}, false},
		"rejected":      {gateway.ErrRejected, true},
		"in doubt":      {gateway.ErrInDoubt, true},
		"not proven":    {exchange.ErrUnproven, true},
		"uncorrelated":  {exchange.ErrUncorrelated, true},
		"a panic":       {exchange.ErrPanic, true},
	} {
		if got := (&exchange.Result{Err: test.err, Took: 1}).Written(); got != test.written {
			t.Errorf("%s: written %t", name, got)
		}
		if (&exchange.Result{Err: test.err}).Written() {
			t.Errorf("%s, and no byte could leave: written", name)
		}
	}
	// And of an exchange that panics: what was on the wire may be there.
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t)
		d.network = func(gateway.Post) ([]byte, error) { panic("x") }
		if res := d.do(durable()); !res.Written() {
			t.Error("panicked after the write, and not written")
		}
		d = newDoor(t)
		d.dial = func() error { panic("x") }
		if res := d.do(durable()); res.Written() {
			t.Error("panicked before the write, and written")
		}
		d = newDoor(t)
		d.conns, d.grant = 2, once()
		if res := d.do(durable()); res.Written() || res.Took != 0 {
			t.Errorf("refused on the second connection: took %v, written %t", res.Took, res.Written())
		}
		d = newDoor(t)
		d.network = func(gateway.Post) ([]byte, error) { time.Sleep(3 * time.Second); return []byte("<reply/>"), nil }
		if res := d.do(durable()); res.Took != 3*time.Second {
			t.Errorf("took %v", res.Took)
		}
	})
}
