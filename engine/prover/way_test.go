package prover_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/directory"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/proof"
	"safemode/engine/prover"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
	"safemode/servicerequests/xmldsig"
)

const meter = servicerequests.EUI(0x00DB1234567890A0)

// keys are a meter's private keys of one generation.
type keys struct {
	signing, agreement *ecdsa.PrivateKey
	listed             [2]*smki.Certificate
}

// way is the whole way of a message, with real sockets, files and keys: inbox, journal,
// prover, verifier, directory, and an SMKI service.
type way struct {
	t       *testing.T
	folder  *smki.Folder
	devices *directory.Directory
	path    string
	url     string
	journal *journal.Journal
	*prover.Prover

	verifier atomic.Pointer[proof.Verifier]
	known    atomic.Bool // who knocks is authenticated

	mu        sync.Mutex
	listed    []*smki.Certificate // that the SMKI service knows, all in use
	delivered []proof.Delivery
	refused   []error
}

func folder(t *testing.T, seed string) *smki.Folder {
	t.Helper()
	return smkitest.Folder(t, smki.TestFolder{Seed: []byte(seed)})
}

func newWay(t *testing.T) *way {
	t.Helper()
	w := &way{t: t, folder: folder(t, "way"), path: filepath.Join(t.TempDir(), "journal.db")}
	w.known.Store(true)
	service := httptest.NewServer(w)
	t.Cleanup(service.Close)
	var err error
	w.devices, err = directory.New(directory.Options{
		URL: service.URL, Authorities: w.folder.Authorities(), Again: 30 * time.Millisecond,
		Learnt: func(device servicerequests.EUI) { w.Learnt(device) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.devices.Close)
	w.trust(w.folder)
	return w
}

// trust has the verifier know the DCC of these folders.
func (w *way) trust(folders ...*smki.Folder) {
	w.t.Helper()
	o := proof.Options{
		Devices:    w.devices,
		Agreements: map[servicerequests.EUI]gbcs.Agreement{smki.TestSupplier: gbcs.AgreementOf(w.folder.Supplier.KeyAgreement.Key)},
	}
	for _, f := range folders {
		o.Transform = append(o.Transform, f.DCC.Transform.Certificate)
		o.XMLSigning = append(o.XMLSigning, f.DCC.XMLSigning.Certificate)
	}
	v, err := proof.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.verifier.Store(v)
}

// Claim makes way the verifier, so that another can take its place.
func (w *way) Claim(raw []byte) (proof.Claim, error) { return w.verifier.Load().Claim(raw) }
func (w *way) File(raw []byte) (proof.Claim, error)  { return w.verifier.Load().File(raw) }

func (w *way) Delivery(ctx context.Context, raw []byte) (proof.Delivery, error) {
	return w.verifier.Load().Delivery(ctx, raw)
}

// open opens the journal and makes a prover that nobody runs yet.
func (w *way) open() {
	w.t.Helper()
	var err error
	if w.journal, err = journal.Open(w.path, journal.Options{}); err != nil {
		w.t.Fatal(err)
	}
	w.Prover, err = prover.New(prover.Options{
		Verifier: w, Store: w.journal.CommitAt, Last: w.journal.Last, Body: w.body,
		Deliver: func(_ uint64, _ time.Time, d proof.Delivery) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.delivered = append(w.delivered, d)
		},
		Disbelieve: func(_ uint64, _ servicerequests.RequestID, reason error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.refused = append(w.refused, reason)
		},
		Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
		Again: prover.Backoff{First: 10 * time.Millisecond, Most: 40 * time.Millisecond},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *way) body(ctx context.Context, seq uint64) ([]byte, error) {
	for r, err := range w.journal.Records(ctx, seq) {
		if err != nil || r.Seq == seq {
			return slices.Clone(r.Body), err
		}
	}
	return nil, errors.New("no such record")
}

// start opens everything and runs it until end is called.
func (w *way) start() (end func()) {
	w.t.Helper()
	w.open()
	ctx, cancel := context.WithCancel(w.t.Context())
	in, err := inbox.New(inbox.Options{
		Verifier: w, Receive: w.Receive,
		Authenticated: func(r *http.Request) bool { return w.known.Load() && inbox.OverLoopback(r) },
		Now:           time.Now, Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := inbox.Listen(ctx, inbox.Address{Listen: "127.0.0.1:0"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.url = l.URL(inbox.Path)
	server := in.Server(l, inbox.Path)
	var running sync.WaitGroup
	running.Go(func() { server.Serve(l) })
	running.Go(func() { w.Run(ctx) })
	return sync.OnceFunc(func() {
		server.Close()
		cancel()
		running.Wait()
		if err := w.journal.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

// ServeHTTP makes way the SMKI service.
func (w *way) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	asked, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.listed) == 0 {
		out.WriteHeader(http.StatusPaymentRequired)
		return
	}
	if strings.HasSuffix(r.URL.Path, "search") {
		fmt.Fprint(out, "<CertificateSearchResponse>")
		for _, c := range w.listed {
			usage := map[smki.Usage]string{smki.DigitalSignature: "DS", smki.KeyAgreement: "KA"}[c.Usage]
			fmt.Fprintf(out, "<Result><CertificateSerial>%s</CertificateSerial><CertificateStatus>I</CertificateStatus><CertificateUsage>%s</CertificateUsage></Result>", c.SerialText(), usage)
		}
		fmt.Fprint(out, "</CertificateSearchResponse>")
		return
	}
	for _, c := range w.listed {
		if strings.Contains(string(asked), ">"+c.SerialText()+"<") {
			fmt.Fprintf(out, "<R><CertificateBody>%s</CertificateBody></R>", base64.StdEncoding.EncodeToString(c.Raw))
		}
	}
}

// generation makes keys and certificates of the meter.
func (w *way) generation(from time.Time) keys {
	w.t.Helper()
	var k keys
	issuer := &smki.Authority{Certificate: w.folder.DeviceIssuing.Certificate, Key: w.folder.DeviceIssuing.Key}
	for i, usage := range []smki.Usage{smki.DigitalSignature, smki.KeyAgreement} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		if k.listed[i], err = issuer.Issue(smki.Template{Device: true, EUI: meter, Usage: usage, NotBefore: from}, &key.PublicKey); err != nil {
			w.t.Fatal(err)
		}
		if usage == smki.DigitalSignature {
			k.signing = key
		} else {
			k.agreement = key
		}
	}
	return k
}

// list has the SMKI service know these generations and no others.
func (w *way) list(generations ...keys) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed = nil
	for _, k := range generations {
		w.listed = append(w.listed, k.listed[:]...)
	}
}

// answers are what the meter says under a counter: one with a signature, one with a MAC.
func (w *way) answers(by keys, dcc *smki.Folder, counter uint64) [2][]byte {
	w.t.Helper()
	var answers [2][]byte
	for i, of := range []struct {
		code uint16
		srv  string
	}{{0x0020, "2.5"}, {0x0052, "7.4"}} {
		id := servicerequests.RequestID{Originator: smki.TestSupplier, Target: meter, Counter: counter + uint64(i)}
		h := gbcs.Header{CRA: gbcs.CRACommand, Counter: id.Counter, Originator: id.Originator, Target: id.Target, Code: of.code}.
			Response(gbcs.NewDateTime(time.Now(), gbcs.ClockUnspecified))
		payload, err := gbcs.AppendResponsePayload(nil, h, gbcs.Response{Supply: servicerequests.Enabled})
		w.must(err)
		var message []byte
		if i == 0 {
			message, err = gbcs.AppendSigned(nil, h, payload, by.signing)
		} else {
			var agreement *ecdh.PrivateKey
			agreement, err = by.agreement.ECDH()
			w.must(err)
			var z [32]byte
			z, err = gbcs.SharedSecret(agreement, w.folder.Supplier.KeyAgreement.Key.PublicKey())
			key := gbcs.DeriveKeyFromSecret(z, gbcs.ModeResponse, h.Originator, h.Counter, h.Target)
			message = gbcs.AppendMAC(nil, gbcs.AppendNull(nil, h, payload), h.Originator, key)
		}
		w.must(err)
		doc, err := duis.AppendResponse(nil, duis.Response{
			RequestID: id, ResponseID: id.Reversed(), Code: servicerequests.Success, At: time.Now(),
			ServiceReference: of.srv, SRV: of.srv, Content: duis.DeviceResponse{Payload: message},
		})
		w.must(err)
		signer := xmldsig.Signer{Key: dcc.DCC.XMLSigning.Key, Issuer: dcc.DCC.XMLSigning.Certificate.Issuer, Serial: dcc.DCC.XMLSigning.Certificate.SerialText()}
		answers[i], err = signer.Sign(doc)
		w.must(err)
	}
	return answers
}

func (w *way) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// post sends messages, each of which must get this status.
func (w *way) post(want int, messages ...[]byte) {
	w.t.Helper()
	for _, raw := range messages {
		resp, err := http.Post(w.url, "application/xml", strings.NewReader(string(raw)))
		w.must(err)
		resp.Body.Close()
		if resp.StatusCode != want {
			w.t.Errorf("got %d, want %d", resp.StatusCode, want)
		}
	}
}

// eventually waits until so many were delivered and refused, and none more a moment later.
func (w *way) eventually(what string, delivered, refused int) {
	w.t.Helper()
	var got, no int
	look := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		got, no = len(w.delivered), len(w.refused)
		return got >= delivered && no >= refused
	}
	for deadline := time.Now().Add(20 * time.Second); !look() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	time.Sleep(20 * time.Millisecond)
	if look(); got != delivered || no != refused {
		w.t.Errorf("%s: %d delivered and %d refused, want %d and %d: %v", what, got, no, delivered, refused, w.refused)
	}
}

// The SMKI service says 402 of a device, and knows it later.
func TestWayWithoutKeys(t *testing.T) {
	w := newWay(t)
	defer w.start()()
	first := w.generation(time.Now().AddDate(-1, 0, 0))
	answers := w.answers(first, w.folder, 100)
	w.post(http.StatusNoContent, answers[:]...)
	w.eventually("402", 0, 0)
	w.list(first)
	w.eventually("with keys", 2, 0)
}

// A device's certificates are replaced. Answers under old and new ones are proven as long as
// these are in use, whatever the cache has, and answers under another device's are not.
func TestWayOverARotation(t *testing.T) {
	w := newWay(t)
	defer w.start()()
	first, second := w.generation(time.Now().AddDate(-1, 0, 0)), w.generation(time.Now())
	stranger := w.generation(time.Now())
	send := func(by keys, counter uint64) {
		answers := w.answers(by, w.folder, counter)
		w.post(http.StatusNoContent, answers[:]...)
	}
	w.list(first)
	send(first, 100)
	w.eventually("the first", 2, 0)
	w.list(first, second)
	send(second, 200) // only the first is remembered
	w.eventually("the second", 4, 0)
	send(first, 300) // the second is listed, and the device does not use it yet
	w.eventually("the first again", 6, 0)
	w.list(second)
	send(second, 400)
	w.eventually("the first is gone", 8, 0)
	send(stranger, 500)
	w.eventually("a stranger", 8, 2)
}

// The DCC signs under a certificate that nobody has configured yet.
func TestWayOverANewCertificateOfTheDCC(t *testing.T) {
	w := newWay(t)
	defer w.start()()
	first := w.generation(time.Now())
	w.list(first)
	next := folder(t, "the next")
	answers := w.answers(first, next, 100)
	w.post(http.StatusNoContent, answers[:]...)
	w.eventually("not known", 0, 0)
	w.known.Store(false)
	w.post(http.StatusBadRequest, answers[:]...) // a stranger may have made it
	w.trust(w.folder, next)
	w.eventually("known", 2, 0)
	w.post(http.StatusNoContent, answers[:]...) // signed by the DCC, over whichever connection
	w.eventually("delivered again", 4, 0)
}

// A message that is neither answer nor alert is kept if it is XML and the peer is known.
func TestWayOfJunk(t *testing.T) {
	w := newWay(t)
	end := w.start()
	defer end()
	w.post(http.StatusBadRequest, []byte("hello"), []byte("<a>"))
	w.post(http.StatusNoContent, []byte("<a/>"))
	w.eventually("junk", 0, 1)
	w.known.Store(false)
	w.post(http.StatusBadRequest, []byte("<a/>"), []byte("hello"))
	w.eventually("a stranger's junk", 0, 1)
	if seqs, from := w.Unjudged(); !slices.Equal(seqs, []uint64{1}) || from != 1 {
		t.Errorf("stored %v, up to %d", seqs, from)
	}
	for r, err := range w.journal.Records(t.Context(), 1) {
		if err != nil || r.Kind != record.Received || string(r.Body) != "<a/>" {
			t.Errorf("recorded %v, %v", r, err)
		}
	}
}

// The process dies after the 204 and before the proof. The next run takes up what is
// stored and not settled.
func TestWayOverACrash(t *testing.T) {
	w := newWay(t)
	first := w.generation(time.Now())
	end := w.start()
	answers := w.answers(first, w.folder, 100)
	w.post(http.StatusNoContent, answers[:]...) // and the SMKI service says 402
	w.eventually("no keys", 0, 0)
	left, _ := w.Unjudged()
	end()
	w.list(first)
	defer w.start()()
	if len(left) != 2 {
		t.Fatalf("left %v", left)
	}
	for _, seq := range left {
		raw, err := w.body(t.Context(), seq)
		w.must(err)
		w.Again(seq, time.Now(), raw)
	}
	w.eventually("the next run", 2, 0)
	for i, d := range w.delivered {
		if d.ID.Counter != 100+uint64(i) || d.Result == nil || d.Device != meter {
			t.Errorf("delivered %+v", d)
		}
	}
}
