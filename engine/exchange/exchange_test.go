package exchange_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
)

func preCommand() (duis.Response, error) {
	return duis.Response{Code: servicerequests.Success, Content: duis.PreCommand{}}, nil
}

// Bytes are durable before they are on the wire, and the result is recorded after.
func TestRecords(t *testing.T) {
	refused := &signer.RefusedError{ID: id, Err: errShut}
	for name, test := range map[string]struct {
		half  func() exchange.Half
		set   func(*door)
		kinds []record.Kind
		code  string // of the last
		want  error
		wire  int
		token bool
	}{
		"a read":                   {half: half, kinds: []record.Kind{record.Request, record.Reply}, code: "I99", wire: 1},
		"a command":                {half: command, kinds: []record.Kind{record.SignedCommand, record.Reply}, code: "I99", wire: 1},
		"bytes that are durable":   {half: durable, kinds: []record.Kind{record.Reply}, code: "I99", wire: 1},
		"a Pre-Command":            {half: transform, set: func(d *door) { d.reply = preCommand }, kinds: []record.Kind{record.Request, record.PreCommand}, code: "I0", wire: 1, token: true},
		"a Pre-Command of another": {half: transform, set: func(d *door) { d.reply = preCommand; d.prepare = func() error { return refused } }, kinds: []record.Kind{record.Request, record.PreCommand, record.Refused}, code: record.RefusedUncorrelated, want: exchange.ErrUncorrelated, wire: 1},
		"a reply without proof":    {half: half, set: func(d *door) { d.reply = func() (duis.Response, error) { return duis.Response{}, errShut } }, kinds: []record.Kind{record.Request, record.Refused}, code: record.RefusedUnverified, want: exchange.ErrUnproven, wire: 1},
		"a reply that is not fit":  {half: half, set: func(d *door) { d.reply = preCommand }, kinds: []record.Kind{record.Request, record.Refused}, code: record.RefusedUnverified, want: exchange.ErrUnfit, wire: 1},
		"an error code":            {half: half, set: func(d *door) { d.reply = func() (duis.Response, error) { return duis.Response{Code: "E5"}, nil } }, kinds: []record.Kind{record.Request, record.Reply}, code: "E5", wire: 1},
		"what may not be signed":   {half: half, set: func(d *door) { d.sign = func() error { return refused } }, kinds: []record.Kind{record.Refused}, code: record.RefusedUnpermitted, want: exchange.ErrRefused},
		"a key that fails":         {half: command, set: func(d *door) { d.sign = func() error { return errShut } }, want: exchange.ErrKey},
		"a journal that fails":     {half: half, set: func(d *door) { d.commit = func() error { return errShut } }, want: exchange.ErrJournal},
		"a POST in doubt":          {half: half, set: func(d *door) { d.network = func(gateway.Post) ([]byte, error) { return nil, gateway.ErrInDoubt } }, kinds: []record.Kind{record.Request}, want: gateway.ErrInDoubt, wire: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t)
				if test.set != nil {
					test.set(d)
				}
				res := d.do(test.half())
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
		d, l := newDoor(t), half()
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
				if held != (after > 0) || held && !until.Equal(d.o.Clock.Now().Add(d.o.Clock.Span(after))) || len(d.holds) > 1 {
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
		"held back":     {fmt.Errorf("%w: %w", gateway.ErrNotAdmitted, exchange.ErrGate), false},
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
