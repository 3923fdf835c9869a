package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// someMeter draws a ledger in which anything may be set.
func someMeter(t *rapid.T) *Meter {
	counters := rapid.Uint64Range(0, servicerequests.MaxCounter)
	given := rapid.Uint64Range(1, servicerequests.MaxCounter)
	at := func(what string) time.Time {
		if rapid.Bool().Draw(t, what+" not known") {
			return time.Time{}
		}
		return time.Unix(0, rapid.Int64Range(0, 1<<61).Draw(t, what)).UTC()
	}
	flag := func(what string) bool { return rapid.Bool().Draw(t, what) }
	text := rapid.StringMatching("[a-z]{0,300}")
	class := rapid.Map(rapid.IntRange(1, record.Classes-1), func(n int) record.Class { return record.Class(n) })
	service := rapid.SampledFrom(servicerequests.Services[:])

	m := New(servicerequests.EUI(rapid.Uint64Min(1).Draw(t, "device")), record.TargetBody{
		Type:     rapid.SampledFrom([]servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME}).Draw(t, "type"),
		Hub:      servicerequests.EUI(rapid.Uint64().Draw(t, "hub")),
		Region:   rapid.SampledFrom(servicerequests.Regions[:]).Draw(t, "region"),
		Claimed:  rapid.SampledFrom([]servicerequests.PaymentMode{0, servicerequests.Credit, servicerequests.Prepayment}).Draw(t, "claimed"),
		Priority: rapid.IntRange(0, 9).Draw(t, "priority"), Originator: ourEUI,
	})
	m.Bars = Bars{text.Draw(t, "excluded"), text.Draw(t, "person"), text.Draw(t, "held"), flag("moved")}
	if m.Started = at("started"); m.Started.IsZero() {
		return m
	}
	m.Heard, m.Reread = at("heard"), at("reread")
	m.Verdict.Verdict, m.Verdict.Reason = rapid.SampledFrom([]string{"", record.VerdictOnSupply, record.VerdictUnknown}).Draw(t, "verdict"), text.Draw(t, "reason")
	if m.Estimate.At = at("estimate"); !m.Estimate.At.IsZero() {
		m.Estimate.Balance = servicerequests.Millipence(rapid.Int64().Draw(t, "estimate"))
	}
	m.CreditAccepted, m.Pending, m.Sampled = flag("accepted"), flag("pending"), flag("sampled")
	m.Alarm = Alarm{flag("below"), flag("suspended"), counters.Draw(t, "after"), at("alarm"), at("switched")}
	for i := range m.Taken {
		m.Taken[i] = rapid.Uint64().Draw(t, "taken")
	}
	c := &m.Counters
	for _, c := range [...]*uint64{&c.FirstSwitch, &c.FirstCommand, &c.LastCommand, &c.StaleMode, &c.StaleSupply} {
		*c = counters.Draw(t, "counter")
	}
	for _, r := range [...]*Readings{&m.Found, &m.Now} {
		if r.Mode.Counter = counters.Draw(t, "read"); r.Mode.Known() {
			r.Mode.Value, r.Mode.At = servicerequests.PaymentMode(rapid.IntRange(0, 2).Draw(t, "mode")), at("read")
		}
		if r.Supply.Counter = counters.Draw(t, "read"); r.Supply.Known() {
			r.Supply.Value, r.Supply.At = servicerequests.SupplyState(rapid.IntRange(0, 3).Draw(t, "supply")), at("read")
		}
		if r.Balance.Counter = counters.Draw(t, "read"); r.Balance.Known() {
			r.Balance.Value, r.Balance.At = servicerequests.Millipence(rapid.Int64().Draw(t, "balance")), at("read")
		}
	}
	for i := range rapid.IntRange(0, len(m.Tallies)-1).Draw(t, "tallies") {
		m.Tallies[i+1] = Tally{
			Tries: int16(rapid.IntRange(0, 99).Draw(t, "tries")), Answers: int16(i), Failures: int16(rapid.IntRange(0, 9).Draw(t, "failures")),
			Last: class.Draw(t, "class"), Undelivered: flag("undelivered"), Barred: flag("barred"), Code: text.Draw(t, "code"), Next: at("next"),
		}
	}
	for range rapid.IntRange(1, 20).Draw(t, "past") {
		m.Past = append(m.Past, Past{given.Draw(t, "counter"), service.Draw(t, "service"), class.Draw(t, "class"), flag("proxied"), flag("sampled")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "open") {
		r := &Request{
			Service: service.Draw(t, "service"), Attempt: rapid.IntRange(1, 99).Draw(t, "attempt"), Reached: true,
			ID:       servicerequests.RequestID{Originator: ourEUI, Target: servicerequests.EUI(rapid.Uint64().Draw(t, "target")), Counter: given.Draw(t, "counter")},
			Unproven: flag("unproven"),
			AskedAt:  at("asked"), PostedAt: at("posted"), Deadline: at("deadline"),
			Phase: rapid.SampledFrom([]Phase{Ready, Sent, Quarantined}).Draw(t, "phase"),
		}
		switch r.Phase {
		case Ready:
			r.Body = []byte("<x/>" + text.Draw(t, "body"))
		case Quarantined:
			r.Event = text.Draw(t, "event")
		}
		if r.Service.Critical() && flag("command") {
			r.Half = SecondHalf
		}
		r.Attempt, r.Retry = max(1, int(m.Tally(r.Service).Tries)), m.Tally(r.Service).Failures > 0
		m.Open = append(m.Open, r)
	}
	slices.SortFunc(m.Open, func(a, b *Request) int { return cmp.Compare(a.ID.Counter, b.ID.Counter) }) // as they are packed
	return m
}

// bare is a meter of which nothing is known but its plan.
func bare(m *Meter) *Meter { return &Meter{Device: m.Device, Plan: m.Plan} }

// Any ledger is unpacked as it was packed. A part of its bytes is not taken for the whole,
// nor are more bytes.
func TestPackedLedgerIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := someMeter(t)
		packed := m.Pack()
		got := bare(m)
		if err := got.Unpack(packed); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(m, got); diff != "" {
			t.Fatalf("-packed +unpacked:\n%s", diff)
		}
		if again := got.Pack(); !bytes.Equal(again, packed) {
			t.Fatalf("packed again otherwise:\n%x\n%x", packed, again)
		}
		for n := 1; n < len(packed); n++ {
			if err := bare(m).Unpack(packed[:n]); !errors.Is(err, ErrPacked) {
				t.Fatalf("%d of %d bytes: got %v", n, len(packed), err)
			}
		}
		if len(packed) > 0 {
			if err := bare(m).Unpack(append(packed, 0)); !errors.Is(err, ErrPacked) {
				t.Fatalf("a byte more: got %v", err)
			}
		}
	})
}

// stride is one meter on its way through its phases, with the records that it leaves.
type stride struct {
	*actor
	draw  *rapid.T
	event int
}

// TestPackedIsWhatTheRecordsSay takes a meter through requests, outcomes, alerts and
// holds in any order. At every step its packed form must tell what a replay of the records
// tells: what is not durable has not been.
func TestPackedIsWhatTheRecordsSay(t *testing.T) {
	seen := map[Phase]int{}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME}).Draw(t, "type")
		s := &stride{actor: newActor(t, kind), draw: t}
		s.p.GasBalanceFromProxy = true
		if rapid.Bool().Draw(t, "stored") {
			s.m = New(s.m.Device, record.TargetBody{Type: kind, Originator: ourEUI, History: []string{HistoryPendingMode, HistoryDisabled}})
		}
		history := s.m.Pending
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			s.step()
			for _, r := range s.m.Open {
				seen[r.Phase]++
			}
			s.compare(history)
		}
	})
	for p := range Phase(PhaseCount) {
		if p != Ended && seen[p] == 0 {
			t.Errorf("no request was ever %v", p)
		}
	}
}

// unsure says whether a counter has been taken of which no record is durable.
func (s *stride) unsure() bool {
	return slices.ContainsFunc(s.m.Open, func(r *Request) bool { return r.Phase == Signing && r.Half == FirstHalf })
}

func (s *stride) step() {
	s.now = s.now.Add(time.Duration(rapid.IntRange(0, 40).Draw(s.draw, "seconds")) * time.Second)
	switch what := rapid.IntRange(0, 9).Draw(s.draw, "what"); {
	case what == 0 || len(s.m.Open) == 0:
		d := s.p.Decide(s.m, s.now, Commanding)
		for _, service := range d.Ask {
			s.m.Ask(&s.p, service, dccEUI, false, s.now)
		}
		if len(d.Ask) == 0 && d.Wake.After(s.now) {
			s.now = d.Wake
		}
	case what == 1 && !s.unsure():
		s.raise()
	default:
		s.go1(s.m.Open[rapid.IntRange(0, len(s.m.Open)-1).Draw(s.draw, "which")])
	}
}

// raise has the device raise an alert, which is proven.
func (s *stride) raise() {
	s.raised++
	a := Alert{
		Code:    rapid.SampledFrom([]uint16{AlertBelow, AlertSuspended, AlertLocked, AlertFlowB4, AlertFutureDated}).Draw(s.draw, "alert"),
		Counter: s.raised, At: s.now, FutureDated: CodeECS03,
	}
	s.records = append(s.records, record.Record{Kind: record.Proven, At: s.now, Device: s.m.Device, Body: record.Encode(record.ProvenBody{
		At: a.At, Code: fmt.Sprintf("%04X", a.Code), Counter: a.Counter, FutureDated: a.FutureDated,
	})})
	s.m.ApplyAlert(a)
}

// go1 takes a request a phase further.
func (s *stride) go1(r *Request) {
	choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(s.draw, "way") }
	switch r.Phase {
	case Behind:
		s.move(r, Room)
	case Queued:
		s.counter++
		r.ID.Counter = s.counter
		s.move(r, Sign)
	case Prepared:
		s.move(r, Sign)
	case Signing:
		kind := record.Request
		if r.Half == SecondHalf {
			kind = record.SignedCommand
		}
		s.apply(record.Record{Kind: kind, Service: r.Service, ID: r.ID, Body: fmt.Appendf(nil, "<x%d/>", s.counter)})
		s.posted(r, choose(4))
	case Ready:
		switch choose(6) {
		case 0:
			s.hold(r)
		default:
			s.move(r, Post)
		}
	case Posting:
		s.posted(r, choose(4))
	case Resting:
		s.move(r, Due)
	case Sent:
		if choose(6) == 0 {
			s.hold(r)
			return
		}
		s.finish(r)
	case Quarantined:
		s.finish(r)
	}
}

// posted is what becomes of a half that is POSTed.
func (s *stride) posted(r *Request, way int) {
	switch {
	case way == 0:
		s.move(r, Denied)
	case way == 1:
		r.Reached = true
		s.move(r, Doubtful)
	case r.Endpoint() == record.Transform:
		s.move(r, Correlated)
		r.Asked, r.Body, r.Half, r.Reached = r.Body, nil, SecondHalf, false
	case r.Endpoint() == record.NonDevice:
		s.finish(r)
	default:
		r.AskedAt = s.now
		s.move(r, Acknowledged)
		s.p.Wait(s.m, r, true, s.now)
		s.records = append(s.records, record.Record{Kind: record.Reply, At: s.now, Device: s.m.Device, Service: r.Service, ID: r.ID, Code: "I99"})
	}
}

func (s *stride) hold(r *Request) {
	s.event++
	event := fmt.Sprint("event ", s.event)
	s.records = append(s.records, record.Record{Kind: record.Proven, At: s.now, Device: s.m.Device, ID: r.ID, Body: record.Encode(record.ProvenBody{
		Quarantined: &record.Quarantined{Request: r.ID, EventRef: event},
	})})
	if err := r.Quarantine(event); err != nil {
		s.t.Fatal(err)
	}
}

// finish ends a request in any way. The end of a command outdates what was asked until
// then: by the ledger also a read that a worker has and of which no record is durable, by
// the records not that one. Either is right, and here it is left out.
func (s *stride) finish(r *Request) {
	if r.Service.Critical() && s.unsure() {
		return
	}
	body := record.OutcomeBody{
		Class: rapid.SampledFrom([]record.Class{
			record.ClassSuccess, record.ClassSuccess, record.ClassNegative, record.ClassNoResponse, record.ClassRejected, record.ClassInDoubt, record.ClassUnverified,
		}).Draw(s.draw, "class"),
		AnsweredAt: s.now, Attempt: r.Attempt,
	}
	switch body.Class {
	case record.ClassRejected:
		body.Code = rapid.SampledFrom([]string{"E4", "E5", "E19", record.CodeHTTP}).Draw(s.draw, "code")
	case record.ClassNoResponse:
		body.Code = rapid.SampledFrom([]string{"E20", "E21", ""}).Draw(s.draw, "code")
	case record.ClassSuccess:
		switch r.Service {
		case supply:
			body.Observed = &record.Observation{Supply: rapid.SampledFrom([]servicerequests.SupplyState{off, armed, on}).Draw(s.draw, "supply")}
		case mode:
			body.Observed = &record.Observation{Mode: rapid.SampledFrom([]servicerequests.PaymentMode{credit, prepay}).Draw(s.draw, "mode")}
		case balance:
			body.Observed = &record.Observation{Balance: pounds(float64(rapid.IntRange(-5, 5).Draw(s.draw, "balance")))}
		case servicerequests.ReadInventory:
			body.Proxy = proxyEUI
		}
	}
	s.move(r, End)
	s.apply(record.Record{Kind: record.Outcome, Service: r.Service, ID: r.ID, Body: record.Encode(body)})
}

// compare compares the packed form with a replay of the records.
func (s *stride) compare(history bool) {
	target := record.TargetBody{Type: s.m.Plan.Type, Claimed: s.m.Plan.Claimed, Originator: ourEUI}
	if history {
		target.History = []string{HistoryPendingMode, HistoryDisabled}
	}
	replayed := New(s.m.Device, target)
	for _, rec := range s.records {
		if rec.Kind != record.Proven {
			if _, err := replayed.Apply(&s.p, &rec); err != nil {
				s.t.Fatal(err)
			}
			continue
		}
		body, err := record.Decode[record.ProvenBody](rec)
		if err != nil {
			s.t.Fatal(err)
		}
		if q := body.Quarantined; q != nil {
			if err := replayed.PendingWith(q.Request).Quarantine(q.EventRef); err != nil {
				s.t.Fatal(err)
			}
			continue
		}
		var code uint16
		if _, err := fmt.Sscanf(body.Code, "%04X", &code); err != nil {
			s.t.Fatal(err)
		}
		replayed.ApplyAlert(Alert{Code: code, Counter: body.Counter, At: body.At, FutureDated: body.FutureDated, Issued: body.Issued})
	}
	got := bare(s.m)
	got.Proxy, got.ProxyClaimed = s.m.Proxy, s.m.ProxyClaimed
	if err := got.Unpack(s.m.Pack()); err != nil {
		s.t.Fatal(err)
	}
	if got.Started.IsZero() != replayed.Started.IsZero() || got.Started.After(replayed.Started) {
		s.t.Fatalf("started %v, by the records %v", got.Started, replayed.Started)
	}
	if got.Heard.Equal(got.Started) { // a replay has it begin when its first request was signed
		got.Heard = replayed.Started
	}
	got.Started = replayed.Started
	for _, m := range [...]*Meter{replayed, got} { // the order of open requests does not matter: each has its place in a queue
		slices.SortFunc(m.Open, func(a, b *Request) int { return cmp.Compare(a.ID.Counter, b.ID.Counter) })
		slices.SortFunc(m.Past, func(a, b Past) int { return cmp.Compare(a.Counter, b.Counter) })
		for _, r := range m.Open {
			r.Retry = false // whoever takes it up knows by the tally
		}
	}
	if diff := different(replayed, got); diff != "" {
		s.t.Fatalf("the packed form tells another story of %s (-records +packed):\n%s", diff, gocmp.Diff(replayed, got))
	}
}

// A rotten or hostile state: whatever the bytes, ErrPacked and no panic, no more memory
// than the bytes are worth, and what is taken is written again as it was.
func FuzzUnpack(f *testing.F) {
	rapid.Check(f, func(t *rapid.T) { f.Add(someMeter(t).Pack()) })
	plain := New(0x00DB1234567890A0, record.TargetBody{Type: servicerequests.ESME, Originator: ourEUI})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := bare(plain)
		err := m.Unpack(b)
		held := len(m.Past) + len(m.Open)
		for _, r := range m.Open {
			held += len(r.Body) + len(r.Event)
		}
		for _, text := range [...]string{m.Bars.Excluded, m.Bars.HeldForPerson, m.Bars.Person, m.Verdict.Verdict, m.Verdict.Reason} {
			held += len(text)
		}
		if held > len(b) {
			t.Fatalf("%d bytes hold %d things", len(b), held)
		}
		if err != nil {
			if !errors.Is(err, ErrPacked) {
				t.Fatal(err)
			}
			return
		}
		packed := m.Pack()
		again := bare(plain)
		if err := again.Unpack(packed); err != nil {
			t.Fatalf("%v\n%x\n%x", err, b, packed)
		}
		// Heard is written for a meter with nothing in its past or open only while a record
		// of what was open may follow (see Pack). Read back, nothing is open, and it is dropped.
		if len(m.Past)+len(m.Open) == 0 {
			m.Heard = again.Heard
		}
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("taken, and then otherwise (-taken +again):\n%s", gocmp.Diff(m, again))
		}
		if !bytes.Equal(packed, again.Pack()) {
			t.Fatal("packed in two ways")
		}
	})
}

// Counts that lie take no memory.
func TestUnpackTrustsNoCount(t *testing.T) {
	m := New(1, record.TargetBody{Originator: ourEUI})
	m.Pending = true
	whole := m.Pack()
	c := Writer(whole[:len(whole)-2]) // without the numbers of past and open requests
	lie := uint64(1 << 62)
	c.Uint(&lie)
	for _, tail := range [][]byte{nil, make([]byte, 1000)} {
		got := bare(m)
		if err := got.Unpack(append(bytes.Clone(c.Bytes()), tail...)); !errors.Is(err, ErrPacked) || len(got.Past) > 0 {
			t.Errorf("%d past requests in %d bytes, %v", len(got.Past), len(tail), err)
		}
	}
	none := uint64(0)
	c = Writer(bytes.Clone(whole[:len(whole)-2]))
	c.Uint(&none)
	n := uint64(1 << 20)
	c.Uint(&n)
	got := bare(m)
	if err := got.Unpack(append(c.Bytes(), make([]byte, n)...)); !errors.Is(err, ErrPacked) || len(got.Open) > 1 {
		t.Errorf("%d open requests of zeros, %v", len(got.Open), err)
	}
}

// Bytes that Pack never writes are refused: there is one packed form of a ledger.
func TestUnpackRefusesWhatPackDoesNotWrite(t *testing.T) {
	id := servicerequests.RequestID{Originator: ourEUI, Target: 1, Counter: 7}
	for name, change := range map[string]func(*Meter){
		"nothing, in bytes":            func(m *Meter) { m.Started = time.Time{} },
		"tallies of a meter not begun": func(m *Meter) { m.Started = time.Time{}; m.Tally(supply).Tries = 1 },
		"a command half of a read":     func(m *Meter) { m.Open = []*Request{{Service: supply, ID: id, Phase: Sent, Half: SecondHalf}} },
		"a request without a counter":  func(m *Meter) { m.Open = []*Request{{Service: supply, Phase: Sent}} },
		"ready, without bytes":         func(m *Meter) { m.Open = []*Request{{Service: supply, ID: id, Phase: Ready}} },
		"behind its hub":               func(m *Meter) { m.Open = []*Request{{Service: supply, ID: id, Phase: Behind}} },
		"queued":                       func(m *Meter) { m.Open = []*Request{{Service: supply, ID: id, Phase: Queued}} },
		"ended":                        func(m *Meter) { m.Open = []*Request{{Service: supply, ID: id, Phase: Ended}} },
		"of no service":                func(m *Meter) { m.Open = []*Request{{ID: id, Phase: Sent}} },
		"a past of no service":         func(m *Meter) { m.Past = []Past{{Counter: 7}} },
		"a class that is none":         func(m *Meter) { m.Past = []Past{{Counter: 7, Service: supply, Class: record.Classes}} },
	} {
		m := New(1, record.TargetBody{Originator: ourEUI})
		m.Started = time.Unix(1, 0).UTC()
		change(m)
		c := Writer(nil)
		m.code(c)
		if err := bare(m).Unpack(c.Bytes()); !errors.Is(err, ErrPacked) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A field that is new is packed, or told here why it need not be: then the numbers are
// raised.
func TestPackKnowsEveryField(t *testing.T) {
	for _, known := range []struct {
		of     any
		fields int
	}{
		{Meter{}, 22}, {Plan{}, 6}, {Readings{}, 3}, {Counters{}, 7}, {Bars{}, 4}, {Tally{}, 8}, {Past{}, 5}, {Alarm{}, 5}, {Reading[int]{}, 3}, {Request{}, 18},
	} {
		if n := reflect.TypeOf(known.of).NumField(); n != known.fields {
			t.Errorf("%T has %d fields, pack.go was written for %d", known.of, n, known.fields)
		}
	}
}
