package engine_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/audit"
	"safemode/engine/exchange"
	"safemode/engine/journal"
	"safemode/engine/ledger"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// testdata/older is a rehearsal of 16 meters by the version before messages were stored
// first, interrupted half way, with quarantines, faults and late answers in it: its
// journal, and what that version's own report says of it. Its last words were "4 of 16
// meters done (4 on supply, 0 armed, 0 not safe, 0 unknown, 0 excluded), 12 requests open".
const older = "testdata/older/"

// olderJournal unpacks the journal and makes it one of today.
func olderJournal(t *testing.T) string {
	t.Helper()
	packed, err := os.Open(older + "journal.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "journal.db")
	if err := os.WriteFile(path+".older", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Upgrade(t.Context(), path+".older", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// A journal of the version before is proven but for its authority, and reported on to the byte as that version
// did.
func TestOlderJournalIsReadAsItWas(t *testing.T) {
	path := olderJournal(t)
	a, err := audit.Run(t.Context(), audit.Options{Journal: path})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range a.Claims {
		// Its approvals bound no journal, and it carries no roster: nobody can prove them now.
		want := audit.Proven
		if c.Name == "plan_approved" || c.Name == "starts_approved" {
			want = audit.Unproven
		}
		if c.Status != want {
			t.Errorf("%s: %+v", want, c)
		}
	}
	all := records(t, path)
	r, err := report.Read(each(all))
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(io.Writer) error{"summary.json": r.Summary.WriteJSON, "meters.csv": r.WriteMeters} {
		var got bytes.Buffer
		if err := write(&got); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(older + name)
		if err != nil {
			t.Fatal(err)
		}
		now := got.String()
		if _, rest, found := strings.Cut(now, `"sweep_id":`); found { // what stands before is new
			now = `{"sweep_id":` + rest
		}
		now = strings.Replace(now, `"other_messages":{},`, "", 1)       // new, as is what stands from the calls on
		if before, rest, found := strings.Cut(now, `"calls":`); found { // what stands from there on is new
			_, after, _ := strings.Cut(rest, `"requests":`)
			now = before + `"requests":` + after
		}
		if diff := cmp.Diff(string(want), now); diff != "" {
			t.Errorf("%s (-before +now):\n%s", name, diff)
		}
	}
}

// A journal of the version before is gone on with: verdicts, open requests and what is
// held back stand as they did, and wherever it was cut off, every answer that no outcome
// rests on is heard again.
func TestOlderJournalIsGoneOnWith(t *testing.T) {
	path := olderJournal(t)
	all := records(t, path)
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	rows, _, err := j.State(t.Context())
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows of state, %v", len(rows), err)
	}
	m := newMachine()
	if _, err := m.Restore(rows); !errors.Is(err, sweep.ErrState) {
		t.Errorf("the state of the version before was taken up: %v", err)
	}
	if _, err := m.Replay(each(all), new(proof.Verifier).Content); err != nil {
		t.Fatal(err)
	}
	now := all[len(all)-1].At
	m.Begin(now, time.Now())
	st := m.Status(now)
	open := st.Queued
	for _, n := range st.InFlight {
		open += n
	}
	if st.Meters != 16 || st.Done != 4 || st.Verdicts[record.VerdictOnSupply] != 4 || open != 12 || len(st.Quarantine) != 6 {
		t.Errorf("%d meters, %d done, %v, %d requests open, in quarantine %v", st.Meters, st.Done, st.Verdicts, open, st.Quarantine)
	}

	signed := map[servicerequests.RequestID][][]byte{}
	for _, r := range all {
		if r.Kind == record.Request || r.Kind == record.SignedCommand {
			signed[r.ID] = append(signed[r.ID], r.Body)
		}
	}
	later := now.Add(time.Minute)
	for _, a := range m.Step(later, sweep.Tick{Real: time.Now()}) {
		s, ok := a.(sweep.Send)
		if !ok {
			continue
		}
		known := signed[s.Expected.ID]
		if !slices.ContainsFunc(known, func(body []byte) bool { return bytes.Equal(body, s.Body) }) {
			t.Errorf("%v is sent, and its bytes are not those of the journal", s.Expected.ID)
		}
	}

	heard := 0
	for n := range all {
		unjudged, err := newMachine().Replay(each(all[:n+1]), new(proof.Verifier).Content)
		if err != nil {
			t.Fatalf("cut off after record %d (%v): %v", all[n].Seq, all[n].Kind, err)
		}
		for _, seq := range unrested(all[:n+1]) {
			heard++
			if !slices.Contains(unjudged, seq) {
				t.Errorf("cut off after record %d: the answer in record %d is lost", all[n].Seq, seq)
			}
		}
	}
	if heard < 50 {
		t.Errorf("%d answers to be heard again in all: the journal shows nothing", heard)
	}
}

// unrested are the answers that no outcome rests on.
func unrested(all []record.Record) (seqs []uint64) {
	for i, r := range all {
		if r.Kind == record.Response && !slices.ContainsFunc(all[i:], func(later record.Record) bool {
			if later.Kind == record.Unmatched {
				return later.ID == r.ID
			}
			if later.Kind != record.Outcome || later.ID != r.ID {
				return false
			}
			body, err := record.Decode[record.OutcomeBody](later)
			return err != nil || !body.Class.Unanswered() || body.Code == r.Code
		}) {
			seqs = append(seqs, r.Seq)
		}
	}
	return seqs
}

func each(all []record.Record) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// newMachine is one for the older journal.
func newMachine() *sweep.Machine {
	day := ledger.PerFuel[time.Duration]{Electricity: 24 * time.Hour, Gas: 24 * time.Hour}
	return sweep.New(sweep.Options{
		Policy: ledger.Policy{
			Strategy: record.CreditMode, SwitchTries: 3, ArmTries: 3, ResponseWait: day, ReadWait: time.Hour, ArmFresh: day,
			Permits: func(servicerequests.Service, servicerequests.DeviceType) bool { return true },
		},
		Pacer: unpaced{}, Originators: []servicerequests.EUI{smki.TestSupplier}, DCC: smki.TestDCC,
		Workers: 4, InFlight: math.MaxInt32, PerHub: 8, Resend: time.Minute, Resends: 3,
		Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
}

// unpaced lets everything pass.
type unpaced struct{}

func (unpaced) Take(time.Time, exchange.Place) (ok bool, wait time.Duration, limit string) {
	return true, 0, ""
}
func (unpaced) Hold(exchange.Place, string, time.Time) {}
func (unpaced) Spent(time.Time, exchange.Place)        {}
