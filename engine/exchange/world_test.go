package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
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
			return nil, fmt.Errorf("%w: %w", gateway.ErrNotAdmitted, err)
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

// half is a read that is to be signed.
func half() exchange.Half {
	return exchange.Half{
		Device:   device,
		Place:    exchange.Place{Originator: ours, Endpoint: record.SendCommand, Service: servicerequests.ReadSupplyStatus},
		Expected: gbcs.Expected{Service: servicerequests.ReadSupplyStatus, Device: servicerequests.ESME, ID: id},
		Permit:   new(exchange.Permit),
	}
}

// durable is one whose bytes are durable.
func durable() exchange.Half {
	l := half()
	l.Body = []byte("durable bytes")
	return l
}

// command is the second half of a 1.6.
func command() exchange.Half {
	l := half()
	l.Place.Service, l.Place.Signed, l.Expected.Service = servicerequests.SwitchToCredit, true, servicerequests.SwitchToCredit
	l.Command, l.Token = true, new(signer.Token)
	return l
}

// transform is its first half.
func transform() exchange.Half {
	l := command()
	l.Command, l.Token, l.Place.Signed, l.Place.Endpoint = false, nil, false, record.Transform
	return l
}

func (d *door) do(l exchange.Half) exchange.Result {
	return exchange.New(d.o).Do(d.t.Context(), d.t.Context(), l)
}

var (
	errShut = errors.New("a CRL has run out")
	errDCC  = errors.New("open")
)
