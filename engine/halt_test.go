package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine"
	"safemode/engine/authority"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

// Somebody's slow delivery at the inbox keeps a halt out of the journal no longer than
// anything else does.
func TestHaltIsWrittenThoughADeliveryIsSlow(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotAUser), t.TempDir()
	held := make(chan struct{})
	inner := d.Server.Config.Handler
	d.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api") {
			<-held
		}
		inner.ServeHTTP(w, r)
	})
	o := options(t, d, newPlan(t, engine.Simulator, 3), dir)
	o.DCC.Timeout = 5 * time.Second
	e := open(t, o)
	u, err := url.Parse(e.InboxURL())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.Run(context.WithoutCancel(t.Context())) }()
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/xml\r\nContent-Length: 1000\r\n\r\n<", u.Path, u.Host)
	close(held)
	stop := func() authority.Stop {
		j, err := journal.OpenReadOnly(o.Journal)
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		h, err := engine.History(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		return h.Stop
	}
	begun := time.Now()
	for !stop().Halted {
		if time.Since(begun) > 5*time.Second {
			t.Fatal("while the delivery is under way, the journal does not know of the halt")
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.Close() // the one that delivers gives up
	var halt *sweep.HaltError
	if err := <-ended; !errors.As(err, &halt) {
		t.Fatalf("ended with %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	all := records(t, o.Journal)
	if last := all[len(all)-1]; last.Kind != record.Closed || last.Code != record.ClosedHalted {
		t.Errorf("the last record is %v %s", last.Kind, last.Code)
	}
	if s := stop(); !s.Halted || s.Reason != halt.Why() || all[s.Seq-1].Kind != record.Halted {
		t.Errorf("the next start knows of %+v", s)
	}
}

// A halt counts from its own record on, whatever was written after it or was not.
func TestLastStop(t *testing.T) {
	opened := record.Record{Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "s"})}
	closed := func(code string) record.Record {
		return record.Record{Kind: record.Closed, Code: code, Body: record.Encode(record.ClosedBody{Reason: "closed"})}
	}
	halted := record.Record{Kind: record.Halted, Body: record.Encode(record.HaltedBody{Reason: "halted"})}
	tripped := record.Record{Kind: record.Tripwire, Code: "unregistered", Body: record.Encode(record.TripwireBody{Reason: "tripped"})}
	stores := record.Record{Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "s", StoreFirst: true})}
	state := record.Record{Kind: record.State, Body: record.Encode(record.StateBody{})}
	other := record.Record{Kind: record.Unmatched}
	accepted := record.Record{Kind: record.Operator, Code: record.OrderAccept, Body: record.Encode(record.OrderBody{Reference: "older", Reason: "accepted"})}
	stopped := record.Record{Kind: record.Operator, Code: record.OrderStop, Body: record.Encode(record.OrderBody{})}
	for name, c := range map[string]struct {
		records []record.Record
		seq     uint64
		halted  bool
		reason  string
	}{
		"not begun":                              {[]record.Record{other}, 0, false, ""},
		"under way or cut off":                   {[]record.Record{opened, other}, 1, false, ""},
		"interrupted":                            {[]record.Record{opened, other, closed(record.ClosedInterrupted)}, 3, false, "closed"},
		"killed in the drain":                    {[]record.Record{opened, halted, other}, 2, true, "halted"},
		"killed before a tripwire's halt":        {[]record.Record{opened, tripped}, 2, true, "tripped"},
		"a tripwire, and killed in the drain":    {[]record.Record{opened, tripped, halted, other}, 3, true, "halted"},
		"halted and closed":                      {[]record.Record{opened, halted, closed(record.ClosedHalted)}, 2, true, "halted"},
		"halted, and interrupted in the drain":   {[]record.Record{opened, halted, closed(record.ClosedInterrupted)}, 2, true, "halted"},
		"halted, in an older journal":            {[]record.Record{opened, closed(record.ClosedHalted)}, 2, true, "closed"},
		"a tripwire, in an older journal":        {[]record.Record{opened, tripped, closed(record.ClosedHalted)}, 3, true, "closed"},
		"halted after a state was kept":          {[]record.Record{stores, state, halted, other}, 3, true, "halted"},
		"a tripwire before an older run's state": {[]record.Record{opened, tripped, state}, 2, true, "tripped"},
		"halted, and begun again": {
			[]record.Record{opened, tripped, halted, closed(record.ClosedHalted), opened, other}, 5, false, "",
		},
		"halted, accepted, and begun again": {[]record.Record{opened, halted, accepted, opened}, 4, false, ""},
		"interrupted, and accepted":         {[]record.Record{opened, closed(record.ClosedInterrupted), accepted}, 3, false, "accepted"},
		"accepted after a state was kept":   {[]record.Record{stores, state, accepted}, 3, false, "accepted"},
		"halted, and accepted":              {[]record.Record{opened, halted, closed(record.ClosedHalted), accepted}, 4, true, "accepted"},
		"accepted before it closed":         {[]record.Record{opened, accepted, closed(record.ClosedInterrupted)}, 3, false, "closed"},
		"an order after the end":            {[]record.Record{opened, closed(record.ClosedInterrupted), stopped}, 2, false, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"), journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			for i := range c.records {
				c.records[i].At = time.Unix(1, 0)
			}
			if err := j.Commit(t.Context(), c.records...); err != nil {
				t.Fatal(err)
			}
			h, err := engine.History(t.Context(), j)
			if s := h.Stop; err != nil || s.Seq != c.seq || s.Halted != c.halted || s.Reason != c.reason || (len(h.Starts) == 0) != (c.seq == 0) {
				t.Errorf("%+v, %v", s, err)
			}
			// What a start says of the one before is what that one said of itself.
			for n, start := range h.Starts {
				if n == 0 && start.Before != (authority.Stop{}) || n > 0 && start.Before.Seq < h.Starts[n-1].Seq {
					t.Errorf("start %d follows %+v", n, start.Before)
				}
				if n > 0 && start.Before.Halted != slices.ContainsFunc(c.records, func(r record.Record) bool { return r.Kind == record.Halted }) {
					t.Errorf("start %d follows %+v", n, start.Before)
				}
			}
		})
	}
}
