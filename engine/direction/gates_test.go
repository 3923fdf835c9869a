package direction_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/direction"
	"safemode/servicerequests/smki"
)

// source is evidence that says what a test wants, which may change under a watch.
type source struct {
	mu    sync.Mutex
	read  error
	check error
}

func (s *source) Read(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read
}

func (s *source) Check(time.Time) error { return s.check }

// says has reading give an error from now on, or none.
func (s *source) says(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = err
}

func TestGates(t *testing.T) {
	d := parse(t, text)
	now := d.NotBefore.Add(time.Hour)
	broken := errors.New("no such file")
	wantGate := func(t *testing.T, g *direction.Gates, gate direction.Gate, words string) {
		t.Helper()
		err := g.Check(now)
		closed, ok := errors.AsType[*direction.GateError](err)
		if gate == "" && err == nil {
			return
		}
		if !ok || closed.Gate != gate || !strings.Contains(err.Error(), words) {
			t.Errorf("%v; want gate %s, %q", err, gate, words)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		certificates, mpids := &source{}, &source{read: broken}
		g := direction.NewGates(direction.GateOptions{Direction: &d, Certificates: certificates, MPIDs: mpids, MaxAge: time.Hour, Poll: time.Second})
		wantGate(t, g, direction.Certificates, "not looked at yet")
		if err := g.Look(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		wantGate(t, g, direction.MPIDs, "no such file") // what was never read says nothing good
		mpids.says(nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go g.Watch(ctx, nil)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		wantGate(t, g, "", "")

		mpids.says(broken) // for a while that does no harm
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		wantGate(t, g, "", "")
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		wantGate(t, g, direction.MPIDs, "older than 1h0m0s: no such file")
		mpids.says(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		wantGate(t, g, "", "")

		g.Trip(direction.MPIDs, errors.New("a run of E4"))
		g.Trip(direction.MPIDs, errors.New("another"))
		wantGate(t, g, direction.MPIDs, "a run of E4")
		if err := g.CheckGate(direction.Certificates, now); err != nil {
			t.Errorf("the gate beside it: %v", err)
		}
	})
	g := direction.NewGates(direction.GateOptions{Direction: &d})
	wantGate(t, g, "", "")
	now = d.NotAfter.Add(1)
	wantGate(t, g, direction.InForce, "DIR-1 ended")
}

// hanging is evidence that from now and then on does not come back: not even when it is
// called off, as a file on a share that has gone.
type hanging struct {
	source
	hold  atomic.Pointer[chan struct{}]
	reads atomic.Int64
}

func (h *hanging) Read(context.Context) error {
	h.reads.Add(1)
	if hold := h.hold.Load(); hold != nil {
		<-*hold
	}
	return nil
}

// Evidence that hangs delays no other, is asked once, and closes its own gate in time.
func TestOneThatHangsDelaysNoOther(t *testing.T) {
	d := parse(t, text)
	now := d.NotBefore.Add(time.Hour)
	moved := errors.New("moved")
	synctest.Test(t, func(t *testing.T) {
		certificates, mpids := &hanging{}, &source{}
		g := direction.NewGates(direction.GateOptions{
			Direction: &d, Certificates: certificates, MPIDs: mpids, MaxAge: 10 * time.Minute, Poll: 500 * time.Millisecond, Limit: 20 * time.Second,
		})
		if err := errors.Join(g.Look(t.Context()), g.Check(now)); err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		certificates.hold.Store(&hold)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); g.Watch(ctx, nil) }()
		time.Sleep(700 * time.Millisecond) // a look is under way
		asked := certificates.reads.Load()
		mpids.says(moved)
		time.Sleep(time.Second)
		if err := g.CheckGate(direction.MPIDs, now); err != nil { // its evidence is a second old: no harm
			t.Error(err)
		}
		time.Sleep(9 * time.Minute)
		if err := g.CheckGate(direction.Certificates, now); err != nil {
			t.Errorf("after 9 minutes: %v", err)
		}
		time.Sleep(2 * time.Minute)
		for gate, words := range map[direction.Gate]string{direction.Certificates: "older than 10m0s: no answer within 20s", direction.MPIDs: "older than 10m0s: moved"} {
			if err := g.CheckGate(gate, now); err == nil || !strings.Contains(err.Error(), words) {
				t.Errorf("after 11 minutes: %v", err)
			}
		}
		if n := certificates.reads.Load(); n != asked {
			t.Errorf("what hangs was asked %d times more", n-asked)
		}
		certificates.hold.Store(nil)
		close(hold)
		time.Sleep(time.Second)
		if err := g.CheckGate(direction.Certificates, now); err != nil {
			t.Errorf("it answers again: %v", err)
		}
		again := make(chan struct{})
		certificates.hold.Store(&again)
		time.Sleep(time.Second)
		cancel()
		synctest.Wait()
		select {
		case <-ended:
		default:
			t.Error("what hangs holds the end up")
		}
		close(again)
	})
}

// A revocation list's URL takes the connection and does not answer. Meanwhile the
// operator records that an MPID has moved, and another list names a certificate.
func TestGatesCloseThoughAListHangs(t *testing.T) {
	o, dir := newOffice(t), t.TempDir()
	d := parse(t, text)
	now := d.NotBefore.Add(time.Hour)
	supplier := o.folder.Supplier.XMLSigning.Certificate
	number := int64(0)
	crl := func(revoked ...*smki.Certificate) []byte {
		number++
		b, err := o.authority.Revoke(number, time.Now(), time.Now().Add(time.Hour), revoked...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	root := &smki.Authority{Certificate: o.folder.Root.Certificate, Key: o.folder.Root.Key}
	remote, err := root.Revoke(1, time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	held, hangs := make(chan struct{}), atomic.Bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hangs.Load() {
			select {
			case <-held:
			case <-r.Context().Done():
			}
		}
		w.Write(remote)
	}))
	defer server.Close()
	defer close(held)
	list, record := filepath.Join(dir, "crl.pem"), filepath.Join(dir, "mpids.yaml")
	write := func(path string, b []byte) {
		if err := os.WriteFile(path+".new", b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(list, crl())
	write(record, []byte("mpids: [{mpid: TEST, source: s}]"))
	g := direction.NewGates(direction.GateOptions{
		Direction: &d, MPIDs: direction.NewMPIDFile(record, &d), MaxAge: time.Hour, Poll: 100 * time.Millisecond,
		Certificates: direction.NewRevocations(direction.RevocationOptions{
			Lists: []string{server.URL, list}, Certificates: []*smki.Certificate{supplier}, Authorities: o.folder.Authorities(),
		}),
	})
	if err := errors.Join(g.Look(t.Context()), g.Check(now)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	hangs.Store(true)
	watching.Go(func() { g.Watch(ctx, nil) })
	time.Sleep(300 * time.Millisecond) // a look is under way
	for _, c := range []struct {
		gate  direction.Gate
		write func()
		want  error
	}{
		{direction.MPIDs, func() {
			write(record, []byte("mpids: [{mpid: TEST, transferred_at: 2020-01-01T00:00:00Z, source: s}]"))
		}, direction.ErrTransferred},
		{direction.Certificates, func() { write(list, crl(supplier)) }, smki.ErrRevoked},
	} {
		c.write()
		begun := time.Now()
		var err error
		for err == nil && time.Since(begun) < time.Second {
			time.Sleep(5 * time.Millisecond)
			err = g.CheckGate(c.gate, now)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("gate %s a second later: %v, want %v", c.gate, err, c.want)
		}
	}
}

func TestMPIDFile(t *testing.T) {
	d := parse(t, text)
	path := filepath.Join(t.TempDir(), "mpids.yaml")
	f := direction.NewMPIDFile(path, &d)
	now := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, text, read, check string }{
		{"absent", "", "no such file", ""},
		{"where it was", "mpids: [{mpid: TEST, source: s}]", "", ""},
		{"to move", "mpids: [{mpid: TEST, transferred_at: 2026-12-01T12:00:01Z, to: SOLR, source: s}]", "", ""},
		{"moved", "mpids: [{mpid: TEST, transferred_at: 2026-12-01T12:00:00Z, to: SOLR, source: Jo}]", "", "MPID has moved: TEST to SOLR at 2026-12-01T12:00:00Z (Jo)"},
		{"unreadable: what was known stands", "mpids: [", "not YAML", "MPID has moved"},
		{"silent about it", "mpids: [{mpid: OTHER, source: s}]", "says nothing of MPID TEST", "MPID has moved"},
		{"another moved", "mpids: [{mpid: TEST, source: s}, {mpid: OTHER, transferred_at: 2026-01-01T00:00:00Z, source: s}]", "", ""},
		{"no source", "mpids: [{mpid: TEST}]", "mpids[0].source: required", ""},
		{"a supplier without a time", "mpids: [{mpid: TEST, to: X, source: s}]", "mpids[0].transferred_at: required where to is given", ""},
		{"twice", "mpids: [{mpid: TEST, source: s}, {mpid: TEST, source: s}]", "stands there already", ""},
	} {
		if c.text != "" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for what, got := range map[string]struct {
			err  error
			want string
		}{"read": {f.Read(t.Context()), c.read}, "check": {f.Check(now), c.check}} {
			if (got.err == nil) != (got.want == "") || got.err != nil && !strings.Contains(got.err.Error(), got.want) {
				t.Errorf("%s: %s: %v; want %q", c.name, what, got.err, got.want)
			}
		}
	}
	example := direction.NewMPIDFile("../../config/mpids.example.yaml", &d)
	if err := errors.Join(example.Read(t.Context()), example.Check(now)); err != nil {
		t.Errorf("the example: %v", err)
	}
}

func TestRevocations(t *testing.T) {
	o, dir := newOffice(t), t.TempDir()
	supplier := o.folder.Supplier
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	real := now
	number := int64(0)
	crl := func(revoked ...*smki.Certificate) []byte {
		number++
		b, err := o.authority.Revoke(number, now, now.Add(24*time.Hour), revoked...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var served atomic.Pointer[[]byte]
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if b := served.Load(); b != nil {
			w.Write(*b)
			return
		}
		http.Error(w, "no", http.StatusNotFound)
	}))
	defer server.Close()
	file := filepath.Join(dir, "crl.pem")
	options := direction.RevocationOptions{
		Certificates: []*smki.Certificate{supplier.XMLSigning.Certificate, supplier.DigitalSigning.Certificate, supplier.KeyAgreement.Certificate},
		Authorities:  o.folder.Authorities(), Poll: time.Minute, Now: func() time.Time { return real },
	}
	for name, put := range map[string]func([]byte){
		file:             func(b []byte) { os.WriteFile(file, b, 0o600) },
		server.URL + "/": func(b []byte) { served.Store(&b) },
	} {
		options.Lists = []string{name}
		real = now
		r := direction.NewRevocations(options)
		if err := r.Read(t.Context()); err == nil {
			t.Errorf("%s: a list that is not there", name)
		}
		real = real.Add(time.Minute)
		put(crl())
		if err := errors.Join(r.Read(t.Context()), r.Check(now)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		real = real.Add(time.Minute)
		put([]byte("rubbish"))
		if err := r.Read(t.Context()); !errors.Is(err, smki.ErrRevocationList) {
			t.Errorf("%s: rubbish: %v", name, err)
		}
		if err := r.Check(now); err != nil {
			t.Errorf("%s: what was known stands: %v", name, err)
		}
		real = real.Add(time.Minute)
		put(crl(supplier.KeyAgreement.Certificate))
		if err := r.Read(t.Context()); err != nil {
			t.Error(err)
		}
		if err := r.Check(now); !errors.Is(err, smki.ErrRevoked) {
			t.Errorf("%s: revoked: %v", name, err)
		}
		if !r.Revoked(supplier.KeyAgreement.Certificate) || r.Revoked(supplier.XMLSigning.Certificate) || r.Revoked(o.folder.Root.Certificate) {
			t.Errorf("%s: another certificate is taken for the one that is revoked", name)
		}
		real = real.Add(time.Minute)
		put(crl())
		if err := r.Read(t.Context()); err != nil {
			t.Error(err)
		}
		real = now.Add(24*time.Hour + 1)
		if err := r.Check(now); err == nil || !strings.Contains(err.Error(), "ran out 2026-11-26T12:00:00Z") {
			t.Errorf("%s: an old list: %v", name, err)
		}
	}
	before := asked.Load()
	real = now
	options.Lists = []string{server.URL + "/"}
	r := direction.NewRevocations(options)
	for range 5 {
		if err := r.Read(t.Context()); err != nil {
			t.Error(err)
		}
		real = real.Add(19 * time.Second)
	}
	if n := asked.Load() - before; n != 2 {
		t.Errorf("a URL was asked %d times in 76 seconds, at one a minute", n)
	}

	options.Lists = nil
	if err := direction.NewRevocations(options).Check(now.AddDate(20, 0, 0)); err != nil {
		t.Errorf("time is not looked at: %v", err)
	}
	options.CheckExpiry = true
	if err := direction.NewRevocations(options).Check(now.AddDate(20, 0, 0)); !errors.Is(err, smki.ErrNotValidNow) {
		t.Errorf("run out: %v", err)
	}
	// A list of an authority that issued none of ours covers nothing.
	root := &smki.Authority{Certificate: o.folder.Root.Certificate, Key: o.folder.Root.Key}
	list, err := root.Revoke(1, now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	options.Lists, options.CheckExpiry = []string{file}, false
	if err := os.WriteFile(file, list, 0o600); err != nil {
		t.Fatal(err)
	}
	r = direction.NewRevocations(options)
	if err := r.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(now); err == nil || !strings.Contains(err.Error(), "no revocation list of") {
		t.Errorf("%v", err)
	}
}
