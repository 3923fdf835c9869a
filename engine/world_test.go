package engine_test

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"safemode/engine"
	"safemode/engine/console"
	"safemode/engine/direction"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/journal/store/pgtest"
	"safemode/engine/ledger"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
)

// The worker pool library has a pool of its own, which runs before any test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.M{M: m}, goleak.IgnoreCurrent()) }

// dcc is a front that answers every request with one code.
type dcc struct {
	*httptest.Server
	code  servicerequests.ResponseCode
	posts atomic.Int64
}

func newDCC(t testing.TB, code servicerequests.ResponseCode) *dcc {
	d := &dcc{code: code}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *dcc) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/services/certificatesearch") {
		io.WriteString(w, "<CertificateSearchResponse><Result><CertificateSerial>1</CertificateSerial></Result></CertificateSearchResponse>")
		return
	}
	if r.Method != http.MethodPost {
		return // a start looks whether it is there
	}
	d.posts.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	request, err := duis.Inspect(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := duis.AppendResponse(nil, duis.Response{
		RequestID: request.ID, Code: d.code, At: time.Now(), ServiceReference: request.Variant.ServiceReference, SRV: request.Variant.SRV,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Write(reply)
}

// folder is a test PKI, the same for all tests.
func folder(t testing.TB) *smki.Folder {
	t.Helper()
	return folderOf(t, smki.TestFolder{Seed: []byte("engine")})
}

func folderOf(t testing.TB, of smki.TestFolder) *smki.Folder {
	t.Helper()
	return smkitest.Folder(t, of)
}

// newPlan plans so many electricity meters.
func newPlan(t testing.TB, environment string, meters int) *plan.Plan {
	t.Helper()
	p, err := plan.Build(func(yield func(portfolio.Row, error) bool) {
		for i := range servicerequests.EUI(meters) {
			if !yield(portfolio.Row{
				Line: int(i) + 2, Device: 0x00DB1200000E0000 + i, Type: servicerequests.ESME, Hub: 0x00DB1200000F0000 + i,
				MPxN: "1200000000002", Region: servicerequests.North, Claimed: servicerequests.Prepayment, Source: "test",
			}, nil) {
				return
			}
		}
		yield(portfolio.Row{}, &portfolio.RowError{Line: meters + 2, Column: "device_id", Reason: "malformed"})
	}, plan.Options{
		Environment: environment, Strategy: record.CreditMode, Originators: []servicerequests.EUI{smki.TestSupplier}, CreatedAt: time.Now(),
		Limits: plan.Limits{User: 100, Regions: map[servicerequests.Region]float64{servicerequests.North: 100}},
		Direction: direction.Direction{
			Reference: "DIR-1", Date: time.Now(), IssuingBody: "the Authority", SRP: "the provider",
			DocumentSHA256: strings.Repeat("ab", 32), Supplier: direction.Supplier{EUI: smki.TestSupplier, MPIDs: []string{"TEST"}},
			PermittedSRVs: []string{"1.6", "2.5", "7.3", "7.4", "6.2.9", "4.18"}, Fuels: []direction.Fuel{direction.Electricity},
			MaximumMeters: 1000, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(io.Discard); err != nil { // gives it its hash
		t.Fatal(err)
	}
	return p
}

// options are those of an engine with everything it needs.
func options(t testing.TB, d *dcc, p *plan.Plan, dir string) engine.Options {
	t.Helper()
	f := folder(t)
	if err := os.MkdirAll(filepath.Join(dir, "custody"), 0o700); err != nil {
		t.Fatal(err)
	}
	unlimited := pacer.Limit{PerSecond: math.Inf(1)}
	limits := pacer.Limits{
		User: unlimited, Region: map[servicerequests.Region]pacer.Limit{servicerequests.North: unlimited},
		Service: map[string]pacer.Limit{"transform": unlimited, "send_command": unlimited, "non_device": unlimited},
	}
	wait := 100 * time.Millisecond
	return engine.Options{
		Plan: p, Rehearsal: p.Environment == engine.Simulator, Journal: filepath.Join(dir, "journal.db"), CustodyDir: filepath.Join(dir, "custody"),
		Identities: []engine.Identity{{
			EUI: smki.TestSupplier, XMLSigning: f.Supplier.XMLSigning,
			DigitalSigning: f.Supplier.DigitalSigning, KeyAgreement: f.Supplier.KeyAgreement,
		}},
		DCC: engine.DCC{
			URL: d.URL, SMKIURL: d.URL, EUI: smki.TestDCC, Timeout: time.Second,
			Transform:   []*smki.Certificate{f.DCC.Transform.Certificate},
			XMLSigning:  []*smki.Certificate{f.DCC.XMLSigning.Certificate},
			Authorities: f.Authorities(),
		},
		Inbox: inbox.Address{Listen: "127.0.0.1:0"}, InboxPath: "/smartdcc/duis", Operations: console.Address{Listen: "127.0.0.1:0"},
		Policy: ledger.Policy{
			ReadWait: wait, ArmFresh: ledger.PerFuel[time.Duration]{Electricity: wait, Gas: wait},
			ResponseWait: ledger.PerFuel[time.Duration]{Electricity: wait, Gas: wait}, SwitchTries: 1, ArmTries: 1,
		},
		Limits: limits, InFlight: 100, PerHub: 8, Workers: 4, Resend: wait, Resends: 1,
		Log: zap.NewNop(), Registry: prometheus.NewRegistry(),
	}
}

// open opens an engine and closes it at the end of the test.
func open(t testing.TB, o engine.Options) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// records reads a journal.
func records(t testing.TB, path string) (all []record.Record) {
	t.Helper()
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for r, err := range j.Records(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

func count(all []record.Record) map[record.Kind]int {
	n := map[record.Kind]int{}
	for _, r := range all {
		n[r.Kind]++
	}
	return n
}
