package sweep

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// someMeter draws a ledger in which anything may be set.
func someMeter(t *rapid.T) *meter {
	counters := rapid.Uint64Range(0, servicerequests.MaxCounter)
	number := rapid.Int64()
	at := func(what string) time.Time {
		if rapid.Bool().Draw(t, what+" known") {
			return never
		}
		return time.Unix(0, rapid.Int64Range(0, 1<<61).Draw(t, what)).UTC()
	}
	flag := func(what string) bool { return rapid.Bool().Draw(t, what) }
	text := rapid.StringMatching("[a-z]{0,300}")
	class := rapid.Map(rapid.IntRange(1, int(Withdrawn)), func(n int) Class { return Class(n) })
	service := rapid.SampledFrom(servicerequests.Services[:])

	m := newMeter(servicerequests.EUI(rapid.Uint64Min(1).Draw(t, "device")), record.TargetBody{
		Type:     rapid.SampledFrom([]servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME}).Draw(t, "type"),
		Hub:      servicerequests.EUI(rapid.Uint64().Draw(t, "hub")),
		Region:   rapid.SampledFrom(servicerequests.Regions[:]).Draw(t, "region"),
		Claimed:  rapid.SampledFrom([]servicerequests.PaymentMode{0, servicerequests.Credit, servicerequests.Prepayment}).Draw(t, "claimed"),
		Priority: rapid.IntRange(0, 9).Draw(t, "priority"), Originator: ourEUI,
	})
	m.wave = rapid.IntRange(1, 1<<16-1).Draw(t, "wave")
	m.waits, m.ahead, m.settled = flag("waits"), flag("ahead"), flag("settled")
	m.excluded, m.person, m.held = text.Draw(t, "excluded"), text.Draw(t, "person"), text.Draw(t, "held")
	if m.started = at("started"); m.started.IsZero() {
		return m
	}
	m.heard, m.due, m.reread = at("heard"), at("due"), at("reread")
	m.done, m.plight = flag("done"), plight(rapid.IntRange(0, int(plightCount)-1).Draw(t, "plight"))
	m.verdict.Verdict, m.verdict.Reason = rapid.SampledFrom(verdictCodes[:]).Draw(t, "verdict"), text.Draw(t, "reason")
	m.gpf = servicerequests.EUI(rapid.Uint64Range(0, 3).Draw(t, "gpf"))
	m.creditAccepted, m.pending, m.moved, m.sampled = flag("accepted"), flag("pending"), flag("moved"), flag("sampled")
	m.alarm = alarm{flag("below"), flag("suspended"), counters.Draw(t, "after")}
	for _, c := range [...]*uint64{&m.issued, &m.firstSwitch, &m.firstCommand, &m.lastCommand, &m.staleMode, &m.staleSupply} {
		*c = counters.Draw(t, "counter")
	}
	for _, r := range [...]*reading[servicerequests.SupplyState]{&m.supply, &m.foundSupply} {
		if r.counter = counters.Draw(t, "read"); r.known() {
			r.value, r.at = servicerequests.SupplyState(rapid.IntRange(0, 3).Draw(t, "supply")), at("read")
		}
	}
	if m.balance.counter = counters.Draw(t, "read"); m.balance.known() {
		m.balance.value, m.balance.at = servicerequests.Millipence(number.Draw(t, "balance")), at("read")
	}
	for i := range rapid.IntRange(0, len(m.tallies)-1).Draw(t, "tallies") {
		m.tallies[i+1] = tally{
			tries: int16(rapid.IntRange(0, 99).Draw(t, "tries")), answers: int16(i), failures: int16(rapid.IntRange(0, 9).Draw(t, "failures")),
			last: class.Draw(t, "class"), undelivered: flag("undelivered"), barred: flag("barred"), code: text.Draw(t, "code"), next: at("next"),
		}
	}
	for range rapid.IntRange(0, 20).Draw(t, "ended") {
		m.ended = append(m.ended, ended{counters.Filter(func(c uint64) bool { return c > 0 }).Draw(t, "counter"), service.Draw(t, "service"), class.Draw(t, "class"), flag("proxied"), flag("sampled")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "open") {
		q := &request{
			meter: m, service: service.Draw(t, "service"), attempt: rapid.IntRange(1, 99).Draw(t, "attempt"), place: nowhere, reached: true,
			id:           servicerequests.RequestID{Originator: ourEUI, Target: m.device, Counter: counters.Filter(func(c uint64) bool { return c > 0 }).Draw(t, "counter")},
			acknowledged: flag("acknowledged"), unproven: flag("unproven"), retry: flag("retry"), quarantine: text.Draw(t, "quarantine"),
			askedAt: at("asked"), postedAt: at("posted"), deadline: at("deadline"),
		}
		if !q.acknowledged {
			q.body = []byte("<x/>" + text.Draw(t, "body"))
		}
		if flag("command") {
			q.leg = commandLeg
		}
		m.open = append(m.open, q)
	}
	return m
}

func TestPackedLedgerIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRoll()
		m := someMeter(t)
		if err := r.number(ourEUI); err != nil {
			t.Fatal(err)
		}
		packed := r.pack(m)
		got, err := r.unpack(packed)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(essence(m), essence(got), whole); diff != "" {
			t.Fatalf("-packed +unpacked:\n%s", diff)
		}
		if again := r.pack(got); !bytes.Equal(packed, again) {
			t.Fatalf("packed again otherwise:\n%x\n%x", packed, again)
		}
		if h := readHead(packed); h != m.head() {
			t.Fatalf("head %+v, want %+v", h, m.head())
		}
		for n := range packed {
			if _, err := r.unpack(packed[:n]); !errors.Is(err, errPacked) {
				t.Fatalf("%d of %d bytes: got %v", n, len(packed), err)
			}
		}
	})
}

// plain is a ledger for comparison, without what only an awake one has and what the plan
// says that no step needs.
type plain struct {
	meter meter
	open  []request
}

func essence(m *meter) plain {
	p := plain{meter: *m}
	p.meter.open, p.meter.target.History, p.meter.position, p.meter.seat, p.meter.stirred = nil, nil, 0, 0, false
	for _, q := range m.open {
		r := *q
		r.meter = nil
		p.open = append(p.open, r)
	}
	return p
}

var whole = cmp.Exporter(func(reflect.Type) bool { return true })

// A hostile or rotten file: whatever the bytes, an error and no panic, and what is
// taken is written again as it was.
func FuzzUnpack(f *testing.F) {
	r := newRoll()
	if err := r.number(ourEUI); err != nil {
		f.Fatal(err)
	}
	rapid.Check(f, func(t *rapid.T) { f.Add(r.pack(someMeter(t))) })
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := r.unpack(b)
		if err != nil {
			if !errors.Is(err, errPacked) {
				t.Fatal(err)
			}
			return
		}
		again, err := r.unpack(r.pack(m))
		if err != nil {
			t.Fatal(err)
		}
		if h := again.head(); h != m.head() {
			t.Fatalf("head %+v, was %+v", h, m.head())
		}
	})
}

// Sleeping costs the sweep nothing that it knew, whoever wakes.
func TestRoll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRoll()
		kept := map[int32]plain{}
		n := rapid.IntRange(1, 3*blockSize+1).Draw(t, "meters")
		for seat := range int32(n) {
			m := newMeter(servicerequests.EUI(seat)+1, record.TargetBody{Type: servicerequests.ESME, Hub: servicerequests.EUI(seat/2) + 100, Originator: ourEUI})
			if err := r.add(m); err != nil {
				t.Fatal(err)
			}
			kept[seat] = essence(m)
		}
		if err := r.seal(); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			seat := int32(rapid.IntRange(0, n-1).Draw(t, "seat"))
			m := r.awake[seat]
			if m == nil {
				m = r.wake(seat)
			}
			if diff := cmp.Diff(kept[seat], essence(m), whole); diff != "" {
				t.Fatalf("meter %d (-kept +woken):\n%s", seat, diff)
			}
			m.issued = rapid.Uint64Range(0, 1<<40).Draw(t, "issued")
			m.held = rapid.StringMatching("[a-z]{0,40}").Draw(t, "held")
			kept[seat] = essence(m)
			if rapid.Bool().Draw(t, "sleeps") {
				r.sleep(m)
			}
		}
		for seat := range int32(n) {
			if got, ok := r.seat(servicerequests.EUI(seat) + 1); !ok || got != seat {
				t.Fatalf("%d stands at %d", seat, got)
			}
			if h := r.head(seat); h.device != servicerequests.EUI(seat)+1 {
				t.Fatalf("head of %d is %+v", seat, h)
			}
		}
	})
}

// A field that is new is packed, or told here why it need not be: then the numbers are
// raised.
func TestPackKnowsEveryField(t *testing.T) {
	for _, known := range []struct {
		of     any
		fields int
	}{{meter{}, 41}, {tally{}, 8}, {ended{}, 5}, {alarm{}, 3}, {reading[int]{}, 3}, {request{}, 26}} {
		if n := reflect.TypeOf(known.of).NumField(); n != known.fields {
			t.Errorf("%T has %d fields, pack.go was written for %d", known.of, n, known.fields)
		}
	}
}
