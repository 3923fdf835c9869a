package engine_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"safemode/engine"
	"safemode/engine/checkpoint"
	"safemode/engine/console"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/ledger"
	"safemode/engine/pacer"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

// What runs before any test is the worker pool library's own pool.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

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
	files, err := of.Files()
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{}
	for name, data := range files {
		fsys[name] = &fstest.MapFile{Data: data}
	}
	f, err := smki.LoadFolder(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return f
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

func TestRunToTheEndAndAgain(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 5)
	e := open(t, options(t, d, p, dir))
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := e.Status(); st.State != "finished" || st.Verdicts[record.VerdictExcluded] != 5 {
		t.Errorf("status %+v", st)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	sent := d.posts.Load()
	again := open(t, options(t, d, p, dir))
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if d.posts.Load() != sent {
		t.Errorf("a sweep that had finished sent %d requests", d.posts.Load()-sent)
	}
	all := records(t, filepath.Join(dir, "journal.db"))
	n := count(all)
	if n[record.Target] != 5 || n[record.Rejected] != 1 || n[record.Opened] != 2 || n[record.Closed] != 2 {
		t.Errorf("records %v", n)
	}
	if last := all[len(all)-1]; last.Kind != record.Closed || last.Code != record.ClosedFinished {
		t.Errorf("the last record is %v %s", last.Kind, last.Code)
	}
}

func TestInterruptAndGoOn(t *testing.T) {
	d, dir := newDCC(t, servicerequests.Acknowledged), t.TempDir()
	p := newPlan(t, engine.Simulator, 5)
	o := options(t, d, p, dir)
	o.Policy.ResponseWait.Electricity = time.Hour
	e := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for d.posts.Load() < 5 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if err := e.Run(ctx); !errors.Is(err, sweep.ErrStopped) {
		t.Fatalf("ended with %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if all := records(t, o.Journal); all[len(all)-1].Code != record.ClosedInterrupted {
		t.Errorf("closed as %s", all[len(all)-1].Code)
	}
	e = open(t, options(t, d, p, dir)) // with a wait of a moment: nobody answers
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := e.Status(); st.Verdicts[record.VerdictUnknown] != 5 {
		t.Errorf("status %+v", st)
	}
}

func TestInterruptBeforeTheBeginning(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	e := open(t, options(t, d, newPlan(t, engine.Simulator, 1), dir))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Run(ctx); !errors.Is(err, sweep.ErrStopped) {
		t.Errorf("ended with %v", err)
	}
	if d.posts.Load() != 0 {
		t.Error("something was sent")
	}
}

func TestHaltIsWritten(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotAUser), t.TempDir()
	o := options(t, d, newPlan(t, engine.Simulator, 3), dir)
	e := open(t, o)
	var halt *sweep.HaltError
	if err := e.Run(t.Context()); !errors.As(err, &halt) {
		t.Fatalf("ended with %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if all := records(t, o.Journal); all[len(all)-1].Code != record.ClosedHalted {
		t.Errorf("closed as %s", all[len(all)-1].Code)
	}
}

// A beginning that was cut off anywhere is finished, with each meter once.
func TestHalfWrittenPlanIsFinished(t *testing.T) {
	d, whole := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 3)
	o := options(t, d, p, whole)
	if err := open(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	beginning := records(t, o.Journal)
	for n := range beginning {
		t.Run(fmt.Sprintf("after %d records", n), func(t *testing.T) {
			o := options(t, d, p, t.TempDir())
			j, err := journal.Open(o.Journal, journal.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(j.Commit(t.Context(), beginning[:n]...), j.Close()); err != nil {
				t.Fatal(err)
			}
			e := open(t, o)
			if err := e.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			all := records(t, o.Journal)
			for i, r := range beginning {
				if all[i].Kind != r.Kind || all[i].Device != r.Device {
					t.Errorf("record %d is %v %v, want %v %v", i, all[i].Kind, all[i].Device, r.Kind, r.Device)
				}
			}
			if got := count(all); got[record.Verdict] != 3 || got[record.Opened] != 1 {
				t.Errorf("records %v", got)
			}
		})
	}
}

// outsider is a certificate of no test PKI, for the same purpose as one of it.
func outsider(t testing.TB, like *smki.Certificate, role smki.Role) *smki.Certificate {
	t.Helper()
	return issued(t, "Real Root", like, role)
}

// issued is a certificate by a root of this name.
func issued(t testing.TB, issuer string, like *smki.Certificate, role smki.Role) *smki.Certificate {
	t.Helper()
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now().UTC().Truncate(time.Second)
	root, err := smki.NewRoot(smki.Template{Role: smki.IssuingAuthority, CommonName: issuer, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0)}, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := root.Issue(smki.Template{
		Role: role, EUI: like.EUI, CommonName: "Z", Usage: like.Usage, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
	}, &keys[1].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOpenRefuses(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	simulator, live := newPlan(t, engine.Simulator, 1), newPlan(t, "live", 1)
	for name, c := range map[string]struct {
		plan   *plan.Plan
		change func(*engine.Options)
		says   string
	}{
		"test keys in live": {plan: live, change: func(o *engine.Options) {
			o.DCC.TLS, o.Inbox.TLS = &tls.Config{}, &tls.Config{}
		}, says: "of a test PKI"},
		"live without mutual TLS": {plan: live, change: func(*engine.Options) {}, says: "mutual TLS"},
		"a key of no test PKI in a simulator": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.Authorities = nil
			o.Identities[0].DigitalSigning.Certificate = outsider(t, o.Identities[0].DigitalSigning.Certificate, 0x02)
		}},
		"a DCC of no test PKI in a simulator": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.Authorities = nil
			o.DCC.Transform[0] = outsider(t, o.DCC.Transform[0], 0x89)
		}},
		"a certificate that chains to nothing": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.Transform[0] = outsider(t, o.DCC.Transform[0], 0x89)
		}},
		"certificates changed about": {plan: simulator, change: func(o *engine.Options) {
			o.Identities[0].XMLSigning, o.Identities[0].DigitalSigning = o.Identities[0].DigitalSigning, o.Identities[0].XMLSigning
		}},
		"published keys, and a DCC elsewhere": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.URL, o.DCC.Authorities = "https://192.0.2.1:443", nil
			o.Identities[0].DigitalSigning.Certificate = issued(t, "Z1", o.Identities[0].DigitalSigning.Certificate, 0x02)
		}, says: "anybody can have the private key"},
		"published keys, and an SMKI service elsewhere": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.SMKIURL, o.DCC.Authorities = "http://dcc.example:8083", nil
			o.Identities[0].KeyAgreement.Certificate = issued(t, "OB", o.Identities[0].KeyAgreement.Certificate, 0x02)
		}, says: "anybody can have the private key"},
		"another's certificates": {plan: simulator, change: func(o *engine.Options) { o.Identities[0].EUI++ }},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, d, c.plan, t.TempDir())
			c.change(&o)
			e, err := engine.Open(t.Context(), o)
			if !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("opened: %v", err)
			}
			if e != nil {
				t.Error("an engine beside the error")
				e.Close()
			}
			if _, err := os.Stat(o.Journal); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a journal was begun: %v", err)
			}
		})
	}
}

// A journal and the counters of an originator belong to one sweep.
func TestOpenRefusesAnotherSweep(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 1)
	e := open(t, options(t, d, p, dir))
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		running bool // the first engine is still open
		change  func(*engine.Options)
		want    error
	}{
		{"the same journal, while it is used", true, func(*engine.Options) {}, journal.ErrInUse},
		{"another journal, the same counters, while they are used", true, func(o *engine.Options) { o.Journal += "2" }, custody.ErrInUse},
		{"another journal, the same counters", false, func(o *engine.Options) { o.Journal += "3" }, custody.ErrOtherOwner},
		{"another plan", false, func(o *engine.Options) { o.Plan = newPlan(t, engine.Simulator, 2) }, engine.ErrRefused},
		{"another clock", false, func(o *engine.Options) { o.Clock = clock.Clock{Speed: 60} }, engine.ErrRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.running {
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			}
			o := options(t, d, p, dir)
			c.change(&o)
			if _, err := engine.Open(t.Context(), o); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestAddressInUseGivesEverythingBack(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := newPlan(t, engine.Simulator, 1)
	for key, change := range map[string]func(*engine.Options){
		"inbox.listen":      func(o *engine.Options) { o.Inbox.Listen = taken.Addr().String() },
		"operations.listen": func(o *engine.Options) { o.Operations.Listen = taken.Addr().String() },
	} {
		o := options(t, d, p, dir)
		change(&o)
		if _, err := engine.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := open(t, options(t, d, p, dir)).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUnreachableDCCIsSaidBeforeAnythingIsSigned(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, change := range []func(*engine.Options){
		func(o *engine.Options) { o.DCC.URL = gone.URL },
		func(o *engine.Options) { o.DCC.SMKIURL = gone.URL },
	} {
		o := options(t, d, newPlan(t, engine.Simulator, 1), t.TempDir())
		change(&o)
		if _, err := engine.Open(t.Context(), o); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(o.Journal); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a journal was begun in vain: %v", err)
		}
	}
}

func TestWhatIsBegunInVainLeavesNothing(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	dir := t.TempDir()
	first := open(t, options(t, d, newPlan(t, engine.Simulator, 1), dir))
	defer first.Close()
	o := options(t, d, newPlan(t, engine.Simulator, 1), dir) // the same custody, another journal
	o.Journal += ".second"
	if _, err := engine.Open(t.Context(), o); !errors.Is(err, custody.ErrInUse) {
		t.Fatalf("%v", err)
	}
	left, err := filepath.Glob(o.Journal + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestClosedGateTakesNothing(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	o := options(t, d, newPlan(t, engine.Simulator, 1), t.TempDir())
	o.Clock.Anchor = o.Plan.Direction.NotAfter.Add(time.Hour)
	o.Clock.Speed = 1e-9 // stands still at the anchor
	if _, err := engine.Open(t.Context(), o); !errors.Is(err, engine.ErrRefused) || !errors.Is(err, direction.ErrNotInForce) {
		t.Fatalf("%v", err)
	}
	if files, err := os.ReadDir(o.CustodyDir); err != nil || len(files) > 0 {
		t.Errorf("custody was taken: %v, %v", files, err)
	}
}

// Only a rehearsal may leave the order of hours at risk.
func TestPlanOrderIsForRehearsals(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	o := options(t, d, newPlan(t, engine.Simulator, 5), dir)
	o.Rehearsal, o.Policy.PlanOrder = false, true
	if _, err := engine.Open(t.Context(), o); !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), "only a rehearsal") {
		t.Errorf("opened: %v", err)
	}
	if d.posts.Load() != 0 {
		t.Error("something was sent")
	}
}

// A run of E4 closes the MPIDs' gate: status and metric say so, and why.
func TestRunOfE4ClosesTheGate(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	o := options(t, d, newPlan(t, engine.Simulator, 5), dir)
	o.Tripwires.Unregistered = sweep.Tripwire{Window: 10, Minimum: 2, Ratio: 0.2}
	e := open(t, o)
	if gate := e.Status().Gates["mpids"]; gate != "open" {
		t.Errorf("before: %s", gate)
	}
	var halt *sweep.HaltError
	if err := e.Run(t.Context()); !errors.As(err, &halt) || !strings.Contains(err.Error(), "have moved") {
		t.Fatalf("ended with %v", err)
	}
	if gates := e.Status().Gates; !strings.Contains(gates["mpids"], "E4") || gates["direction"] != "open" || gates["certificates"] != "open" {
		t.Errorf("gates %v", gates)
	}
	families, err := o.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]float64{}
	for _, family := range families {
		if family.GetName() == "safemode_gate_open" {
			for _, m := range family.GetMetric() {
				open[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	if open["mpids"] != 0 || open["direction"] != 1 || open["certificates"] != 1 {
		t.Errorf("safemode_gate_open: %v", open)
	}
}

// contents is all files under a folder with what they hold.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// secondIdentity is one of the supplier's with keys of its own, and who vouches for them.
func secondIdentity(t testing.TB) (engine.Identity, []*smki.Certificate) {
	t.Helper()
	f := folderOf(t, smki.TestFolder{Seed: []byte("second"), Supplier: smki.TestSupplier + 0x10000})
	return engine.TestIdentity(f), f.Authorities()
}

// sayings is all that is foreseen to be wrong.
func sayings(f engine.Foreseen) (all []string) {
	errs := []error{f.Keys, f.Authority, f.Journal, f.Checkpoints, f.Approvals}
	for _, c := range f.Counters {
		errs = append(errs, c.Err)
	}
	for _, err := range errs {
		if err != nil {
			all = append(all, placeless(err))
		}
	}
	return all
}

// placeless is what an error says, with every journal's ID the same: a journal that does
// not exist has none.
func placeless(err error) string {
	return regexp.MustCompile(`a new journal|\b[0-9a-f]{32}\b`).ReplaceAllString(err.Error(), "JOURNAL")
}

// A journal that exists is foreseen as the start finds it.
func TestForeseeAJournal(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 1)
	e := open(t, options(t, d, p, dir))
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := options(t, d, p, dir)
	if said := sayings(engine.Foresee(t.Context(), o)); len(said) != 2 || !strings.Contains(said[0], "in use") || !strings.Contains(said[1], "in use") {
		t.Errorf("while it runs: %q", said)
	}
	older := filepath.Join(dir, "older.db")
	if _, err := journal.Backup(t.Context(), o.Journal, older); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, options(t, d, p, dir))
	if err := errors.Join(again.Run(t.Context()), again.Close()); err != nil {
		t.Fatal(err)
	}
	if said := sayings(engine.Foresee(t.Context(), o)); len(said) > 0 {
		t.Errorf("it can go on: %q", said)
	}
	for name, change := range map[string]func(*engine.Options){
		"an older copy": func(o *engine.Options) { o.Journal = older },
		"another plan":  func(o *engine.Options) { o.Plan = newPlan(t, engine.Simulator, 2) },
		"another clock": func(o *engine.Options) { o.Clock.Speed = 60 },
		"no journal":    func(o *engine.Options) { o.Journal += ".other" },
		"handed back": func(o *engine.Options) {
			if _, err := custody.Release(o.CustodyDir, smki.TestSupplier, time.Now()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		o := options(t, d, p, dir)
		if name == "handed back" {
			o.CustodyDir = filepath.Join(t.TempDir(), "custody")
			if err := os.CopyFS(o.CustodyDir, os.DirFS(filepath.Join(dir, "custody"))); err != nil {
				t.Fatal(err)
			}
		}
		change(&o)
		said := sayings(engine.Foresee(t.Context(), o))
		if _, err := engine.Open(t.Context(), o); err == nil || !slices.Contains(said, placeless(err)) {
			t.Errorf("%s: foreseen %q; the start says %v", name, said, err)
		}
	}
}

// The machine's clock was set back between two starts: the sweep's goes on from the last
// record, and the gates' dates are held to the machine's.
func TestClockNeverGoesBack(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	o := options(t, d, newPlan(t, engine.Simulator, 1), t.TempDir())
	e := open(t, o)
	if err := errors.Join(e.Run(t.Context()), e.Close()); err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(2 * time.Hour).Round(0).UTC() // after the direction's end
	j, err := journal.Open(o.Journal, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	begun := j.Tip().Seq
	end := record.Record{At: ahead, Kind: record.Closed, Code: record.ClosedInterrupted, Body: record.Encode(record.ClosedBody{})}
	if err := errors.Join(j.Commit(t.Context(), end), j.Close()); err != nil {
		t.Fatal(err)
	}
	again := open(t, options(t, d, o.Plan, filepath.Dir(o.Journal)))
	if err := errors.Join(again.Run(t.Context()), again.Close()); err != nil {
		t.Fatal(err)
	}
	all := records(t, o.Journal)
	if uint64(len(all)) < begun+3 {
		t.Fatalf("%d records, %d of them before", len(all), begun)
	}
	for _, r := range all[begun:] {
		if r.At.Before(ahead) || r.At.After(ahead.Add(time.Minute)) {
			t.Errorf("record %d, %v, is of %v, and the clock had shown %v", r.Seq, r.Kind, r.At, ahead)
		}
	}
}

// A start that is refused, wherever that happens, leaves everything as it was, also what
// others have left there; and the mended start goes on.
func TestRefusedStartLeavesNoTrace(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	p := newPlan(t, engine.Simulator, 3)
	other, authorities := secondIdentity(t)
	fill := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, *engine.Options)
		mend  func(*testing.T, *engine.Options)
		want  error // nil: any
		late  bool  // nothing but the start itself can see it
	}{
		"an identity stands there twice": {
			spoil: func(_ *testing.T, o *engine.Options) { o.Identities = append(o.Identities, o.Identities[0]) },
			want:  custody.ErrInUse, late: true,
		},
		"the second's counters are another journal's": {
			spoil: func(t *testing.T, o *engine.Options) {
				fill(t, filepath.Join(o.CustodyDir, other.EUI.String()+".json"), `{"originator":"`+other.EUI.String()+`","owner":"other","high_water":7}`)
			},
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(filepath.Join(o.CustodyDir, other.EUI.String()+".json")); err != nil {
					t.Fatal(err)
				}
			},
			want: custody.ErrOtherOwner,
		},
		"the second's counters cannot be locked": {
			spoil: func(t *testing.T, o *engine.Options) {
				if err := os.Mkdir(filepath.Join(o.CustodyDir, other.EUI.String()+".json.lock"), 0o700); err != nil {
					t.Fatal(err)
				}
			},
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(filepath.Join(o.CustodyDir, other.EUI.String()+".json.lock")); err != nil {
					t.Fatal(err)
				}
			},
		},
		"after all was claimed": {
			spoil: func(_ *testing.T, o *engine.Options) { o.InboxLimits.MaxBody = -1 }, late: true,
		},
		"another journal's checkpoints": {
			spoil: func(t *testing.T, o *engine.Options) {
				note, err := checkpoint.Checkpoint{Journal: "00112233445566778899aabbccddeeff", Seq: 1}.Sign(o.Checkpoints.Signer)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, o.Checkpoints.Path, string(note))
			},
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(o.Checkpoints.Path); err != nil {
					t.Fatal(err)
				}
			},
			want: engine.ErrRefused,
		},
		"another journal's log": {
			spoil: func(t *testing.T, o *engine.Options) { fill(t, o.Journal+"-wal", "records") },
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(o.Journal + "-wal"); err != nil {
					t.Fatal(err)
				}
			},
			want: journal.ErrForeign,
		},
		"a closed gate, and a lock and an index that others left": {
			spoil: func(t *testing.T, o *engine.Options) {
				fill(t, o.Journal+".lock", "")
				fill(t, o.Journal+".index", "of another journal")
				fill(t, o.Journal+".index-wal", "of another journal")
				o.Clock = clock.Clock{Anchor: o.Plan.Direction.NotAfter.Add(time.Hour), Speed: 1e-9}
			},
			want: engine.ErrRefused, late: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fresh := func() engine.Options {
				o, _ := pinned(t, options(t, d, p, dir))
				o.Identities = append(o.Identities, other)
				o.DCC.Authorities = append(o.DCC.Authorities, authorities...)
				return o
			}
			o := fresh()
			c.spoil(t, &o)
			before := contents(t, dir)
			foreseen := engine.Foresee(t.Context(), o)
			_, err := engine.Open(t.Context(), o)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("opened: %v, want %v", err, c.want)
			}
			if said := sayings(foreseen); !c.late && !slices.Contains(said, placeless(err)) || c.late && len(said) > 0 {
				t.Errorf("foreseen: %q; the start says %q", said, placeless(err))
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("what is there after a refusal (-before +after):\n%s", diff)
			}
			if c.mend != nil {
				c.mend(t, &o)
			}
			if err := open(t, fresh()).Run(t.Context()); err != nil {
				t.Errorf("the mended start: %v", err)
			}
		})
	}
}
