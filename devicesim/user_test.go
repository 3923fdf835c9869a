package devicesim_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
	"safemode/servicerequests/xmldsig"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// user is a User with an inbox, who knows what a PKI folder tells a supplier
// and speaks HTTP only.
type user struct {
	t      *testing.T
	folder *smki.Folder
	sim    *devicesim.Simulator
	fleet  *fleet.Fleet
	clock  clock.Clock
	client *http.Client

	counter atomic.Uint64
	inbox   chan []byte

	mu    sync.Mutex // of what follows, and of taking from the inbox
	waits bool       // for a message: the next one that comes stops the clock

	authorities []*smki.Certificate // whom it trusts to issue to devices
}

// newUser starts a simulator with this fault profile and a User beside it. Its clock jumps:
// it stands still but while the User waits for a message or for a time.
func newUser(t *testing.T, faults fault.Profile, change func(*devicesim.Options)) *user {
	t.Helper()
	faults.Variety.OtherTraffic = 0 // these tests count what comes
	u := &user{t: t, folder: testFolder(t), client: &http.Client{Transport: &http.Transport{}}, inbox: make(chan []byte, 1024)}
	u.authorities = u.folder.Authorities()
	u.counter.Store(1_700_000_000_000)
	var err error
	if u.fleet, err = fleet.Generate(fleet.Options{Meters: 200, Seed: 7}); err != nil {
		t.Fatal(err)
	}
	inbox := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/xml" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		u.mu.Lock()
		if u.waits {
			u.waits = false
			u.clock.Begin()
		}
		u.inbox <- body
		u.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}))
	o := devicesim.Options{
		Fleet: u.fleet, PKI: u.folder, Clock: clock.Clock{Anchor: time.Now(), Speed: 3600}.Jumping(),
		Faults: faults, Profiles: ready, RespondTo: inbox.URL + "/smartdcc/duis",
	}
	if change != nil {
		change(&o)
	}
	u.clock = o.Clock
	u.clock.Begin()
	if u.sim, err = devicesim.New(o); err != nil {
		t.Fatal(err)
	}
	park := u.clock.Drive()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := u.sim.Run(ctx); err != nil {
			t.Errorf("simulator: %v", err)
		}
	})
	t.Cleanup(func() {
		u.client.CloseIdleConnections()
		cancel()
		running.Wait()
		park()
		inbox.Close()
	})
	u.control(http.MethodGet, "/sim/v1/summary", "", nil) // it runs
	return u
}

func testFolder(t *testing.T) *smki.Folder {
	t.Helper()
	files, err := smki.TestFolder{Seed: []byte("simulator")}.Files()
	if err != nil {
		t.Fatal(err)
	}
	return folderOf(t, files)
}

func folderOf(t *testing.T, files map[string][]byte) *smki.Folder {
	t.Helper()
	return smkitest.Load(t, files)
}

// ready are the profiles that come with the program.
var ready = os.DirFS(filepath.Join("..", "config", "faults"))

func builtin(t *testing.T, name string) fault.Profile {
	t.Helper()
	p, err := fault.Named(ready, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// choose returns the first meter that fits and is not special otherwise.
func (u *user) choose(what string, fits func(m fleet.Meter) bool) fleet.Meter {
	u.t.Helper()
	for i := range u.fleet.Len() {
		m, _ := u.sim.Device(u.fleet.Meter(i).Device)
		if m.Supplier == smki.TestSupplier && fits(m) {
			return m
		}
	}
	u.t.Fatalf("the fleet has no %s", what)
	return fleet.Meter{}
}

func (u *user) newID(target servicerequests.EUI) servicerequests.RequestID {
	return servicerequests.RequestID{Originator: smki.TestSupplier, Target: target, Counter: u.counter.Add(1)}
}

// sign signs DUIS XML with the User's key.
func (u *user) sign(document []byte) []byte {
	u.t.Helper()
	c := u.folder.Supplier.XMLSigning
	s := xmldsig.Signer{Key: c.Key, Issuer: c.Certificate.Issuer, Serial: c.Certificate.SerialText()}
	signed, err := s.Sign(document)
	if err != nil {
		u.t.Fatal(err)
	}
	return signed
}

func (u *user) request(r duis.Request) []byte {
	u.t.Helper()
	document, err := duis.AppendRequest(nil, r)
	if err != nil {
		u.t.Fatal(err)
	}
	return u.sign(document)
}

// post returns the body of an answer with status 200.
func (u *user) post(path string, body []byte) []byte {
	u.t.Helper()
	response, err := u.client.Post("http://"+u.sim.DUISAddr()+path, "application/xml", bytes.NewReader(body))
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		u.t.Fatalf("status %d, %v", response.StatusCode, err)
	}
	return answer
}

// one is a trust in one certificate.
type one struct{ *smki.Certificate }

func (o one) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	want, err := xmldsig.NewKeyRef(o.Issuer, o.SerialText())
	if err != nil || ref != want {
		return nil, xmldsig.ErrUnknownKey
	}
	return o.PublicKey, nil
}

// proven decodes a response that must be signed by this certificate.
func (u *user) proven(raw []byte, by *smki.Certificate) duis.Response {
	u.t.Helper()
	proven, err := xmldsig.Verify(raw, one{by})
	if err != nil {
		u.t.Fatalf("%v: %s", err, raw)
	}
	r, err := duis.DecodeResponse(proven.Document)
	if err != nil {
		u.t.Fatal(err)
	}
	return r
}

// acknowledged posts to Send Command and wants I99, unsigned.
func (u *user) acknowledged(body []byte) {
	u.t.Helper()
	answer := u.post("/api/v1/serviceS", body)
	r, err := duis.DecodeResponse(answer)
	if err != nil || r.Code != servicerequests.Acknowledged {
		u.t.Fatalf("%s, %v, want I99", r.Code, err)
	}
}

// command goes the whole way of a critical command up to its acknowledgement.
func (u *user) command(s servicerequests.Service, device fleet.Meter) servicerequests.RequestID {
	u.t.Helper()
	id := u.newID(device.Device)
	r := u.proven(u.post("/api/v1/serviceT", u.request(duis.Request{ID: id, Service: s})), u.folder.DCC.Transform.Certificate)
	pre, ok := r.Content.(duis.PreCommand)
	if !ok || r.Code != servicerequests.Success || r.RequestID != id {
		u.t.Fatalf("transform of %s: %+v", id, r)
	}
	if pre.Payload[len(pre.Payload)-1] != 0 {
		u.t.Error("Pre-Command without null signature byte")
	}
	expected := gbcs.Expected{Service: s, Device: device.Type, ID: id}
	if err := expected.Match(pre.Payload); err != nil {
		u.t.Fatalf("Pre-Command does not correlate: %v", err)
	}
	signed, err := gbcs.Sign(pre.Payload, u.folder.Supplier.DigitalSigning.Key)
	if err != nil {
		u.t.Fatal(err)
	}
	u.acknowledged(u.request(duis.Request{ID: id, Service: s, SignedPreCommand: signed}))
	return id
}

// read sends a read.
func (u *user) read(s servicerequests.Service, target servicerequests.EUI) servicerequests.RequestID {
	u.t.Helper()
	id := u.newID(target)
	u.acknowledged(u.request(duis.Request{ID: id, Service: s}))
	return id
}

// next returns the next message at the inbox, its signature verified.
func (u *user) next() duis.Response {
	u.t.Helper()
	return u.proven(u.received(), u.folder.DCC.XMLSigning.Certificate)
}

// received waits for the next message at the inbox, whatever it is.
func (u *user) received() []byte {
	u.t.Helper()
	u.mu.Lock()
	select {
	case raw := <-u.inbox:
		u.mu.Unlock()
		return raw
	default:
		u.waits = true
		u.mu.Unlock()
	}
	u.clock.End() // what comes begins again
	select {
	case raw := <-u.inbox:
		return raw
	case <-time.After(10 * time.Second):
		u.t.Fatal("nothing at the inbox within ten seconds")
		return nil
	}
}

// pass lets a span of the clock pass.
func (u *user) pass(span time.Duration) {
	u.t.Helper()
	if err := u.clock.Sleep(u.t.Context(), u.clock.Now().Add(span)); err != nil {
		u.t.Fatal(err)
	}
}

// outcome waits for the response to a request, and returns the device's answer
// with its signature or MAC verified. Alerts on the way are proven and noted.
func (u *user) outcome(s servicerequests.Service, device servicerequests.DeviceType, id servicerequests.RequestID, alerts *[]uint16) (duis.Response, gbcs.Response) {
	u.t.Helper()
	for {
		r := u.next()
		if alert, ok := r.Content.(duis.DeviceAlert); ok {
			a := u.alert(alert)
			if alerts != nil {
				*alerts = append(*alerts, a.Code)
			}
			continue
		}
		if r.RequestID != id {
			u.t.Fatalf("response to %s, waited for %s", r.RequestID, id)
		}
		content, ok := r.Content.(duis.DeviceResponse)
		if !ok {
			return r, gbcs.Response{}
		}
		if r.ResponseID != id.Reversed() {
			u.t.Errorf("response ID %s", r.ResponseID)
		}
		m, err := gbcs.Parse(content.Payload)
		if err != nil {
			u.t.Fatal(err)
		}
		if err := (gbcs.Expected{Service: s, Device: device, ID: id}).MatchResponse(m); err != nil {
			u.t.Fatal(err)
		}
		u.authentic(m)
		answer, err := gbcs.DecodeResponse(m)
		if err != nil {
			u.t.Fatal(err)
		}
		return r, answer
	}
}

// authentic verifies a device's signature or MAC by the certificates that the
// SMKI service gives.
func (u *user) authentic(m *gbcs.Message) {
	u.t.Helper()
	signing, agreement := u.certificates(m.Originator)
	if m.Signature != nil {
		if err := m.VerifySignature(signing.PublicKey); err != nil {
			u.t.Fatal(err)
		}
		return
	}
	public, err := agreement.ECDH()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := m.VerifyMAC(gbcs.MACKey(u.secret(public), m.Header)); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) secret(device *ecdh.PublicKey) [32]byte {
	u.t.Helper()
	z, err := gbcs.SharedSecret(u.folder.Supplier.KeyAgreement.Key, device)
	if err != nil {
		u.t.Fatal(err)
	}
	return z
}

func (u *user) alert(a duis.DeviceAlert) gbcs.Alert {
	u.t.Helper()
	m, err := gbcs.Parse(a.Payload)
	if err != nil {
		u.t.Fatal(err)
	}
	u.authentic(m)
	alert, err := gbcs.DecodeAlert(m)
	if err != nil || alert.Code != a.Code {
		u.t.Fatalf("alert %04X in %04X, %v", alert.Code, a.Code, err)
	}
	return alert
}

// control calls the control API.
func (u *user) control(method, path, body string, into any) int {
	u.t.Helper()
	r, err := http.NewRequest(method, "http://"+u.sim.ControlAddr()+path, bytes.NewReader([]byte(body)))
	if err != nil {
		u.t.Fatal(err)
	}
	response, err := u.client.Do(r)
	if err != nil {
		u.t.Fatal(err)
	}
	defer response.Body.Close()
	if into != nil {
		if err := json.NewDecoder(response.Body).Decode(into); err != nil {
			u.t.Fatal(err)
		}
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		u.t.Fatal(err)
	}
	return response.StatusCode
}
