package incident_test

import (
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/engine/incident"
	"safemode/engine/record"
	"safemode/servicerequests"
)

var at = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

func all(records ...record.Record) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for i, r := range records {
			r.Seq, r.At = uint64(i+1), at.Add(time.Duration(i)*time.Second)
			if !yield(r, nil) {
				return
			}
		}
	}
}

func body(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func id(counter uint64) servicerequests.RequestID {
	return servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: counter}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A signature that the signer made and the journal does not have is named and counted: it
// may be somebody else's.
func TestForeignSignature(t *testing.T) {
	device := servicerequests.EUI(0x00DB1234567890A0)
	signed := func(n uint64, content string) record.Record {
		return record.Record{Kind: record.Request, Device: device, Service: servicerequests.ReadSupplyStatus, ID: id(n), Body: []byte(content)}
	}
	digest := func(r record.Record) ([]byte, error) { return append([]byte("digest of "), r.Body...), nil }
	k, err := incident.ReadKeys(all(signed(1, "one"), signed(2, "two")), digest)
	if err != nil {
		t.Fatal(err)
	}
	err = k.ReadSigner(all(
		signed(1, "digest of one"), signed(2, "digest of two"), signed(2, "digest of another"), signed(3, "digest of three"),
		record.Record{Kind: record.Refused, Device: device, ID: id(4), Code: "unpermitted", Body: body(t, record.RefusedBody{Reason: "meter 00-DB-12-34-56-78-90-A0"})},
	))
	if err != nil || k.Foreign != 2 {
		t.Fatalf("%d are foreign: %v", k.Foreign, err)
	}
	dir := filepath.Join(t.TempDir(), "keys")
	if err := k.Write(dir, record.Identity{Environment: record.Live}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "README.txt"); !strings.Contains(got, "SIGNED 2 THAT THE JOURNAL DOES NOT HAVE") || !strings.Contains(got, "LIVE: real homes") {
		t.Error(got)
	}
	if got := read(t, dir, "signer.csv"); strings.Count(got, ",yes\n") != 2 || strings.Count(got, ",no\n") != 2 {
		t.Error(got)
	}
	if got := read(t, dir, "refusals.csv"); !strings.Contains(got, "unpermitted,meter [hidden]") {
		t.Error(got)
	}
	if got := read(t, dir, "counters.csv"); !strings.Contains(got, ",2,1,2\n") {
		t.Error(got)
	}
}

// A request that is still open is counted. A halt says since when, without a device's id;
// an order says neither who gave it nor what they wrote.
func TestEventsAndOpenRequests(t *testing.T) {
	p, err := incident.Read(all(
		record.Record{Kind: record.Request, Service: servicerequests.ReadSupplyStatus, ID: id(1), Body: []byte("x")},
		record.Record{Kind: record.Operator, Code: record.OrderPause, Body: body(t, record.OrderBody{Action: record.OrderPause, By: "olga", Wave: 2, Reason: "Mrs Smith called"})},
		record.Record{Kind: record.Halted, Body: body(t, record.HaltedBody{Cause: record.HaltGate, Reason: "gate direction: 00-DB-12-34-56-78-90-A0"})},
	), incident.What{})
	if err != nil {
		t.Fatal(err)
	}
	if w := p.What; !w.Since.Equal(at.Add(2*time.Second)) || w.Requests["open"] != 1 || w.Drill {
		t.Errorf("%+v", w)
	}
	dir := filepath.Join(t.TempDir(), "pack")
	if err := p.Write(dir, nil); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, "events.csv"); !strings.Contains(got, "pause,\"wave 2, by a person") || !strings.Contains(got, "gate: gate direction: [hidden]") || strings.Contains(got, "olga") || strings.Contains(got, "Smith") {
		t.Error(got)
	}
	if got := read(t, dir, "requests.csv"); !strings.Contains(got, id(1).String()+",") || !strings.Contains(got, ",open,") {
		t.Error(got)
	}
}
