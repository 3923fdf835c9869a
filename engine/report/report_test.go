package report_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

var update = flag.Bool("update", false, "write testdata again")

const (
	supplier servicerequests.EUI = 0x90B3D51F30010000
	dcc      servicerequests.EUI = 0x90B3D51F30000002
	hubA     servicerequests.EUI = 0x00DB123456780A00
	hubB     servicerequests.EUI = 0x00DB123456780B00
	hubC     servicerequests.EUI = 0x00DB123456780C00
	elecA    servicerequests.EUI = 0x00DB123456780A01
	gasA     servicerequests.EUI = 0x00DB123456780A02
	proxyA   servicerequests.EUI = 0x00DB123456780A03
	elecB    servicerequests.EUI = 0x00DB123456780B01
	gasB     servicerequests.EUI = 0x00DB123456780B02
	elecC    servicerequests.EUI = 0x00DB123456780C01
)

var start = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

// script is a journal made by hand: each record a second after the one before.
type script struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	records []record.Record
}

func newScript(t *testing.T) *script {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &script{t: t, key: key}
}

func (s *script) add(r record.Record) {
	r.Seq = uint64(len(s.records)) + 1
	r.At = start.Add(time.Duration(len(s.records)) * time.Second)
	s.records = append(s.records, r)
}

func (s *script) all() iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for _, r := range s.records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (s *script) report() *report.Report {
	s.t.Helper()
	r, err := report.Read(s.all())
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *script) open() {
	s.add(record.Record{Kind: record.Opened, Body: record.Encode(record.Opening{SweepID: "sw-7", PlanSHA256: "0123456789abcdef", Environment: "simulator"})})
}

func (s *script) target(device, hub servicerequests.EUI, kind servicerequests.DeviceType) {
	s.add(record.Record{Kind: record.Target, Device: device, Body: record.Encode(record.TargetBody{
		Type: kind, Hub: hub, MPxN: "1200000000000", Region: servicerequests.North, Claimed: servicerequests.Prepayment, Originator: supplier,
	})})
}

// request is one exchange of a meter.
type request struct {
	device  servicerequests.EUI
	target  servicerequests.EUI // zero: the device
	kind    servicerequests.DeviceType
	service servicerequests.Service
	counter uint64
}

func (q request) record(kind record.Kind) record.Record {
	id := servicerequests.RequestID{Originator: supplier, Target: q.device, Counter: q.counter}
	if q.target != 0 {
		id.Target = q.target
	}
	return record.Record{Kind: kind, Device: q.device, Service: q.service, ID: id}
}

func (s *script) request(q request) {
	s.t.Helper()
	r := q.record(record.Request)
	out := duis.Request{ID: r.ID, Service: q.service}
	if q.service == servicerequests.ReadInventory {
		out.InventoryDevice = q.device
	}
	r.Body = s.encode(out)
	s.add(r)
}

// command is the second half: the Pre-Command came, and is signed.
func (s *script) command(q request) {
	s.t.Helper()
	s.preCommand(q)
	r := q.record(record.SignedCommand)
	preCommand, err := gbcs.AppendPreCommand(nil, gbcs.Expected{Service: q.service, Device: q.kind, ID: r.ID}, start)
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := gbcs.Sign(preCommand, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Body = s.encode(duis.Request{ID: r.ID, Service: q.service, SignedPreCommand: signed})
	s.add(r)
}

func (s *script) encode(r duis.Request) []byte {
	s.t.Helper()
	b, err := duis.AppendRequest(nil, r)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *script) preCommand(q request) { s.add(q.record(record.PreCommand)) }

func (s *script) reply(q request, code string) {
	r := q.record(record.Reply)
	r.Code = code
	s.add(r)
}

func (s *script) response(q request) {
	r := q.record(record.Response)
	r.Device, r.Code = r.ID.Target, "I0" // the inbox knows the device only
	s.add(r)
}

func (s *script) outcome(q request, class record.Class, code string) {
	r := q.record(record.Outcome)
	r.Code, r.Body = class.String(), record.Encode(record.OutcomeBody{Class: class, Code: code})
	s.add(r)
}

// read is a whole exchange of a read.
func (s *script) read(q request) {
	s.t.Helper()
	s.request(q)
	s.reply(q, "I99")
	s.response(q)
	s.outcome(q, record.ClassSuccess, "")
}

func (s *script) refused(device servicerequests.EUI, code string) {
	s.add(record.Record{Kind: record.Refused, Device: device, Code: code, Body: record.Encode(record.RefusedBody{Reason: "r"})})
}

func (s *script) verdict(device servicerequests.EUI, v record.VerdictBody) {
	s.add(record.Record{Kind: record.Verdict, Device: device, Code: v.Verdict, Body: record.Encode(v)})
}

func (s *script) close(code string, throttled int) {
	s.add(record.Record{Kind: record.Closed, Code: code, Body: record.Encode(record.ClosedBody{Throttled: throttled})})
}

// night is a sweep over three homes with one of everything.
func night(t *testing.T) *script {
	s := newScript(t)
	s.open()
	s.add(record.Record{Kind: record.Planned, Body: []byte(`{"direction":{"reference":"DIR-7","srp":"An SRP","supplier":{"eui":"90-B3-D5-1F-30-01-00-00","mpids":["ABCD"]},"not_after":"2026-12-21T00:00:00Z","revocation_delay":{"reference":"PMA-1","date":"2026-11-22T00:00:00Z","end":"2026-12-31T00:00:00Z"}},"waves":[{"count":2},{"count":3}]}`)})
	s.target(elecA, hubA, servicerequests.ESME)
	s.target(elecB, hubB, servicerequests.ESME)
	s.target(elecC, hubC, servicerequests.ESME)
	s.target(gasA, hubA, servicerequests.GSME)
	s.target(gasB, hubB, servicerequests.GSME)
	s.add(record.Record{Kind: record.Rejected, Body: record.Encode(record.RejectedBody{Line: 9, Device: "no,EUI", Reason: "not an EUI"})})
	for line, mode := range []servicerequests.PaymentMode{servicerequests.Prepayment, servicerequests.Credit} { // one home of the first generation
		s.add(record.Record{Kind: record.Rejected, Body: record.Encode(record.RejectedBody{
			Line: 10 + line, Device: "00-DB-12-51-00-00-00-0" + string(rune('1'+line)), Reason: "SMETS1 meter", SMETS1: true,
			MPxN: "1200000000002", Hub: 0x00DB125100000009, Claimed: mode,
		})})
	}

	// Home A: electricity in prepayment, switched; gas read by its proxy, and armed.
	balance, debt := 7*servicerequests.Pound, -servicerequests.Pound/2
	s.read(request{elecA, 0, servicerequests.ESME, servicerequests.ReadSupplyStatus, 101})
	s.read(request{elecA, 0, servicerequests.ESME, servicerequests.ReadPaymentMode, 102})
	change := request{elecA, 0, servicerequests.ESME, servicerequests.SwitchToCredit, 103}
	s.request(change)
	s.command(change)
	s.reply(change, "I99")
	s.response(change)
	s.outcome(change, record.ClassSuccess, "")
	s.verdict(elecA, record.VerdictBody{Verdict: record.VerdictUnknown}) // not the last
	s.verdict(elecA, record.VerdictBody{
		Verdict: record.VerdictOnSupply, AsOf: start.Add(time.Minute),
		Found: record.Observation{Mode: servicerequests.Prepayment, Supply: servicerequests.Enabled, Balance: &balance},
		End:   record.Observation{Mode: servicerequests.Credit, Supply: servicerequests.Enabled, Balance: &debt},
	})
	inventory := request{gasA, dcc, servicerequests.GSME, servicerequests.ReadInventory, 104}
	s.request(inventory)
	s.reply(inventory, "I0")
	s.outcome(inventory, record.ClassSuccess, "")
	s.read(request{gasA, proxyA, servicerequests.GPF, servicerequests.ReadMeterBalance, 105})
	arm := request{gasA, 0, servicerequests.GSME, servicerequests.ArmSupply, 106}
	s.request(arm)
	s.command(arm)
	s.reply(arm, "I99")
	s.outcome(arm, record.ClassNoResponse, "E21")
	s.response(arm)
	s.outcome(arm, record.ClassSuccess, "") // late, and counts
	s.verdict(gasA, record.VerdictBody{
		Verdict: record.VerdictArmed, AsOf: start.Add(2 * time.Minute), Reason: "safe once the consumer presses the button",
		End: record.Observation{Mode: servicerequests.Credit, Supply: servicerequests.Armed},
	})

	// Home B: a lying Pre-Command, an exchange withdrawn, and answers that never come.
	lie := request{elecB, 0, servicerequests.ESME, servicerequests.SwitchToCredit, 107}
	s.request(lie)
	s.preCommand(lie)
	s.refused(elecB, record.RefusedUncorrelated)
	s.add(record.Record{Kind: record.Alert, Code: "AD1"})
	s.outcome(lie, record.ClassUnverified, "")
	gone := request{elecB, 0, servicerequests.ESME, servicerequests.ActivateEmergencyCredit, 108}
	s.request(gone)
	s.preCommand(gone)
	s.outcome(gone, record.ClassWithdrawn, "")
	s.request(request{elecB, 0, servicerequests.ESME, servicerequests.ReadSupplyStatus, 109}) // no answer at all
	silent := request{gasB, 0, servicerequests.GSME, servicerequests.ReadSupplyStatus, 110}
	s.request(silent)
	s.reply(silent, "I99")
	unsigned := request{gasB, 0, servicerequests.GSME, servicerequests.SwitchToCredit, 111}
	s.request(unsigned)
	s.preCommand(unsigned) // the run was interrupted here
	s.verdict(elecB, record.VerdictBody{Verdict: record.VerdictNotSafe, Reason: "arm refused"})
	s.refused(elecB, record.RefusedUnverified)
	s.refused(0, record.RefusedUnpermitted)
	s.close(record.ClosedInterrupted, 2)

	// The next run: home C is another supplier's.
	s.open()
	stranger := request{elecC, 0, servicerequests.ESME, servicerequests.ReadSupplyStatus, 112}
	s.request(stranger)
	s.reply(stranger, "E4")
	s.outcome(stranger, record.ClassRejected, "E4")
	no := request{elecC, 0, servicerequests.ESME, servicerequests.ReadPaymentMode, 113}
	s.request(no)
	s.reply(no, "I99")
	s.outcome(no, record.ClassNegative, "250")
	s.verdict(elecC, record.VerdictBody{Verdict: record.VerdictExcluded, Reason: record.ReasonTransferred + ", \"E4\""})
	s.close(record.ClosedFinished, 1)
	return s
}

func TestGolden(t *testing.T) {
	r := night(t).report()
	r.Summary.Truth = &report.Truth{
		Checked: 5, Mismatches: 2, ByKind: map[string]int{"reason": 2, "found": 1}, MissedWithExcuse: 1, CouldAnswer: 4, ShareSafe: 0.75,
	}
	directory := filepath.Join(t.TempDir(), "out")
	if err := r.Write(directory, report.Options{}); err != nil {
		t.Fatal(err)
	}
	var written []string
	err := filepath.WalkDir(directory, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(directory, path)
		written = append(written, name)
		if info, infoErr := e.Info(); infoErr != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), infoErr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"call_list.csv", "call_list.xlsx", "calls.csv", "handover/SHA256SUMS", "handover/armed.csv", "handover/calls.csv", "handover/counters.json", "handover/devices.csv", "handover/handover.html",
		"handover/not_covered.csv", "handover/smets1.csv", "handover/unreachable.csv", "meters.csv", "not_covered.csv", "orders.csv",
		"smets1.csv", "summary.html", "summary.json", "summary.txt", "transfers.csv", "weekly.csv", "weekly.html", "weekly.json",
	}
	if diff := cmp.Diff(want, written); diff != "" {
		t.Errorf("files:\n%s", diff)
	}
	for _, name := range written {
		if strings.HasSuffix(name, ".html") || strings.HasSuffix(name, "SHA256SUMS") || strings.HasSuffix(name, ".xlsx") {
			continue
		}
		got, err := os.ReadFile(filepath.Join(directory, name))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", filepath.Base(name))
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// The sums that a reader relies on hold for every prefix of a journal: a sweep
// may be interrupted anywhere.
func TestSumsHoldForEveryPrefix(t *testing.T) {
	s := night(t)
	all := s.records
	for n := range len(all) + 1 {
		s.records = all[:n]
		sum := s.report().Summary
		v, h := sum.Verdicts, sum.Homes
		if total := v.OnSupply + v.Armed + v.NotSafe + v.Unknown + v.Excluded; total != sum.Meters {
			t.Errorf("%d records: verdicts of %d meters, %d planned", n, total, sum.Meters)
		}
		if homes := h.AllOnSupply + h.Armed + h.Other; homes > sum.Meters || n == len(all) && homes != 3 {
			t.Errorf("%d records: %d homes", n, homes)
		}
		for srv, c := range sum.Requests {
			if classes := c.Success + c.Negative + c.NoResponse + c.Rejected + c.InDoubt + c.Unverified; classes != c.Sent {
				t.Errorf("%d records: SRV %s: %d of %d sent have a class", n, srv, classes, c.Sent)
			}
		}
	}
}

func TestEvidenceAgainstTheRecord(t *testing.T) {
	read := request{elecA, 0, servicerequests.ESME, servicerequests.ReadSupplyStatus, 7}
	arm := request{elecA, 0, servicerequests.ESME, servicerequests.ArmSupply, 8}
	for name, c := range map[string]struct {
		write             func(s *script)
		forbidden, reused int
	}{
		"honest": {func(s *script) { s.read(read); s.request(arm); s.command(arm) }, 0, 0},
		"a body that is no request": {func(s *script) {
			r := read.record(record.Request)
			r.Body = []byte("<Enable/>")
			s.add(r)
		}, 1, 0},
		"another service": {func(s *script) {
			s.request(read)
			s.records[0].Service = servicerequests.ReadPaymentMode
		}, 1, 0},
		"forbidden service": {func(s *script) {
			s.request(read)
			s.records[0].Body = bytes.ReplaceAll(s.records[0].Body, []byte(">7.4<"), []byte(">7.2<"))
			s.records[0].Body = bytes.ReplaceAll(s.records[0].Body, []byte("ReadSupplyStatus"), []byte("DisableSupply"))
		}, 1, 0},
		"another Signed Pre-Command inside": {func(s *script) {
			s.request(arm)
			other := arm
			other.service = servicerequests.ActivateEmergencyCredit
			s.command(other)
			s.records[2].Service = arm.service
		}, 1, 0},
		"a counter in two requests": {func(s *script) {
			s.read(read)
			again := read
			again.service = servicerequests.ReadPaymentMode
			s.request(again)
		}, 0, 1},
		"a counter for two devices": {func(s *script) {
			s.read(read)
			again := read
			again.device = elecB
			s.request(again)
		}, 0, 1},
		"two commands under one counter": {func(s *script) { s.request(arm); s.command(arm); s.command(arm) }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			c.write(s)
			sum := s.report().Summary
			if sum.ForbiddenCommands != c.forbidden || sum.Counters.Reused != c.reused {
				t.Errorf("forbidden %d, reused %d; want %d, %d", sum.ForbiddenCommands, sum.Counters.Reused, c.forbidden, c.reused)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	broken := errors.New("broken")
	_, err := report.Read(func(yield func(record.Record, error) bool) { yield(record.Record{}, broken) })
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	s := newScript(t)
	s.target(elecA, hubA, servicerequests.ESME)
	s.target(elecA, hubA, servicerequests.ESME)
	if _, err := report.Read(s.all()); err == nil {
		t.Error("a meter that is planned twice was counted")
	}
	for _, kind := range [...]record.Kind{record.Opened, record.Target, record.Rejected, record.Outcome, record.Verdict, record.Closed} {
		s := newScript(t)
		s.add(record.Record{Kind: kind, Body: []byte("{")})
		if _, err := report.Read(s.all()); err == nil {
			t.Errorf("%v: half a body was taken", kind)
		}
	}
}

// Without anything in it the summary still has every key that scripts read.
func TestEmptySummary(t *testing.T) {
	var b bytes.Buffer
	if err := newScript(t).report().Summary.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	zero := 0.0
	none := map[string]any{"meters": zero, "contacted": zero, "last_seconds": zero}
	want := map[string]any{
		"environment": "", "state": "open", "direction": "", "sweep_id": "", "plan_sha256": "", "meters": zero,
		"verdicts":    map[string]any{"on_supply": zero, "armed": zero, "not_safe": zero, "unknown": zero, "excluded": zero},
		"not_covered": zero, "homes": map[string]any{"all_on_supply": zero, "armed": zero, "other": zero}, "calls": map[string]any{"armed": zero, "dark": zero},
		"first_contact": map[string]any{"electricity": none, "gas": none}, "blast_radius": map[string]any{"homes": zero, "meters": zero, "cap_meters": zero},
		"requests":           map[string]any{},
		"refused":            map[string]any{"unpermitted": zero, "uncorrelated": zero, "unverified": zero},
		"forbidden_commands": zero,
		"counters":           map[string]any{"used": zero, "first": zero, "last": zero, "reused": zero},
		"throttled":          zero, "quarantined": zero, "duration_seconds": zero, "service_requests_per_second": zero, "other_messages": map[string]any{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
