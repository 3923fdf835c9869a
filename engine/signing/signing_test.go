package signing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"safemode/engine/authority"
	"safemode/engine/authority/authoritytest"
	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// firstMeter is the first of the plan's meters; the others follow it.
const firstMeter servicerequests.EUI = 0x00DB_1234_5678_9000

const broker servicerequests.EUI = 0x90B3_D51F_3000_0002

// scene is a signer with what an engine would bring.
type scene struct {
	t       testing.TB
	office  *authoritytest.Office
	o       Options
	first   *authority.Case
	book    *custody.Book
	service *Service
	client  *Client
	server  *httptest.Server
	counter uint64

	mu  sync.Mutex
	now time.Time
}

func newScene(t testing.TB, meters int, change func(*Options)) *scene {
	t.Helper()
	s := &scene{t: t, office: authoritytest.New(t), now: authoritytest.Night, counter: uint64(authoritytest.Night.UnixMilli())}
	p := s.office.Plan(t)
	for i := range meters {
		p.Targets = append(p.Targets, plan.Target{Device: firstMeter + servicerequests.EUI(i), Type: servicerequests.ESME, Originator: smki.TestSupplier})
	}
	p.Targets[meters-1].Suppressed = true
	var err error
	if s.book, err = custody.MakeBook(durable.Folder(t.TempDir())); err != nil {
		t.Fatal(err)
	}
	p.Custody = &plan.Custody{ID: s.book.ID()}
	s.first = s.office.FirstOf(t, p)
	s.first.Custody = &authority.Custody{ID: s.book.ID(), Entries: s.book.Entries()}
	f := s.office.Folder
	gate, err := signer.New(signer.Options{Identities: map[servicerequests.EUI]signer.Identity{smki.TestSupplier: {
		XML: xmldsig.Signer{
			Key: f.Supplier.XMLSigning.Key, Issuer: f.Supplier.XMLSigning.Certificate.Issuer, Serial: f.Supplier.XMLSigning.Certificate.SerialText(),
		},
		PreCommand: f.Supplier.DigitalSigning.Key,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s.o = Options{
		Folder: t.TempDir(), Plan: p, Roster: s.office.Roster, Trust: s.first.Trust, Broker: broker, Gate: gate,
		Agreements: map[servicerequests.EUI]gbcs.Agreement{smki.TestSupplier: gbcs.AgreementOf(f.Supplier.KeyAgreement.Key)},
		Now:        s.clock, Log: zap.NewNop(),
	}
	if change != nil {
		change(&s.o)
	}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *scene) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *scene) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *scene) start() {
	s.t.Helper()
	var err error
	if s.service, err = New(context.Background(), s.o); err != nil {
		s.t.Fatal(err)
	}
	s.server = httptest.NewServer(s.service.handler())
	s.client = NewClient(ClientOptions{URL: s.server.URL})
}

func (s *scene) stop() {
	if s.server == nil {
		return
	}
	s.client.Close()
	s.server.Close()
	s.server = nil
	if err := s.service.Close(); err != nil {
		s.t.Error(err)
	}
}

// evidence is what an honest engine brings for the first start.
func (s *scene) evidence() Evidence {
	s.t.Helper()
	text, err := s.book.Text()
	if err != nil {
		s.t.Fatal(err)
	}
	return Evidence{Book: text, Approvals: s.first.Approvals, Journal: Claims{ID: authoritytest.JournalID}}
}

func (s *scene) open() *scene {
	s.t.Helper()
	if _, err := s.client.Open(s.t.Context(), s.evidence()); err != nil {
		s.t.Fatal(err)
	}
	return s
}

// id is a Request ID under the next counter.
func (s *scene) id(meter servicerequests.EUI) servicerequests.RequestID {
	s.counter++
	return servicerequests.RequestID{Originator: smki.TestSupplier, Target: meter, Counter: s.counter}
}

func (s *scene) request(id servicerequests.RequestID, service servicerequests.Service) error {
	document, err := s.client.SignRequest(s.t.Context(), id.Target, duis.Request{ID: id, Service: service})
	if err == nil {
		_, err = xmldsig.Verify(document, keyOf{s.office.Folder.Supplier.XMLSigning.Certificate})
	}
	return err
}

// preCommand is what the DCC would make of a request.
func (s *scene) preCommand(id servicerequests.RequestID, service servicerequests.Service) []byte {
	s.t.Helper()
	b, err := gbcs.AppendPreCommand(nil, gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: id}, s.clock())
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// command asks for both halves; the second alone if asked is false.
func (s *scene) command(id servicerequests.RequestID, service servicerequests.Service, asked bool) error {
	s.t.Helper()
	if asked {
		if err := s.request(id, service); err != nil {
			return err
		}
	}
	token, err := s.client.Prepare(gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: id}, s.preCommand(id, service))
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = s.client.Sign(s.t.Context(), id.Target, token)
	return err
}

// keyOf is the one certificate that verifies.
type keyOf struct{ *smki.Certificate }

func (k keyOf) Key(xmldsig.KeyRef) (*ecdsa.PublicKey, error) { return k.PublicKey, nil }

// post asks as a client does that this package has not written.
func (s *scene) post(path, body string) (status int, text string) {
	s.t.Helper()
	res, err := http.Post(s.server.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, b.String()
}

// refusals are those that the log has.
func (s *scene) refusals() (all []record.Record) {
	s.t.Helper()
	if err := s.service.log.Commit(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	for r, err := range s.service.log.Records(s.t.Context(), 1) {
		if err != nil {
			s.t.Fatal(err)
		}
		if r.Kind == record.Refused {
			all = append(all, r)
		}
	}
	return all
}

// wantRefused checks that a question was refused for a reason, and that the log says so.
func (s *scene) wantRefused(before int, err error, words string) {
	s.t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		s.t.Errorf("got %v, want a refusal with %q", err, words)
	}
	after := s.refusals()
	if len(after) != before+1 || !strings.Contains(string(after[len(after)-1].Body), words) {
		s.t.Errorf("%d refusals in the log, want %d, the last with %q", len(after), before+1, words)
	}
}

func base64of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// knownOf is what the engine's journal would have of a request.
func knownOf(t *testing.T, id servicerequests.RequestID, service servicerequests.Service) Known {
	t.Helper()
	document, err := duis.AppendRequest(nil, duis.Request{ID: id, Service: service})
	must(t, err)
	return Known{Meter: id.Target, ID: id, Service: SRV(service), Digest: digestOf(document)[:len(digest{})]}
}
