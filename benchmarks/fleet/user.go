package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// user is a User with an inbox, who knows the fleet only to choose meters.
type user struct {
	folder *smki.Folder
	signer xmldsig.Signer
	fleet  *fleet.Fleet
	inbox  *httptest.Server
	client *http.Client
	duis   string // URL of the DCC's services

	mu      sync.Mutex
	chance  *rand.Rand
	used    map[int]bool // meters, by index
	counter uint64
	waiting map[servicerequests.RequestID]chan duis.Response
	sent    int
}

func newUser(dir string, meters int, seed uint64) (*user, error) {
	folder, err := smki.LoadFolder(os.DirFS(filepath.Join(dir, "pki")))
	if err != nil {
		return nil, err
	}
	population, err := fleet.Generate(fleet.Options{Meters: meters, Seed: seed, Supplier: smki.TestSupplier})
	if err != nil {
		return nil, err
	}
	c := folder.Supplier.XMLSigning
	u := &user{
		folder: folder, fleet: population,
		signer:  xmldsig.Signer{Key: c.Key, Issuer: c.Certificate.Issuer, Serial: c.Certificate.SerialText()},
		client:  &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}, Timeout: time.Minute},
		chance:  rand.New(rand.NewPCG(seed, uint64(meters))),
		used:    map[int]bool{},
		counter: uint64(time.Now().UnixMilli()),
		waiting: map[servicerequests.RequestID]chan duis.Response{},
	}
	u.inbox = httptest.NewServer(http.HandlerFunc(u.receive))
	return u, nil
}

func (u *user) close() {
	u.client.CloseIdleConnections()
	u.inbox.Close()
}

// receive is the inbox. What nobody waits for, alerts for one, is taken and dropped.
func (u *user) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
	response, err := proven(body, u.folder.DCC.XMLSigning.Certificate)
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if answer := u.waiting[response.RequestID]; answer != nil {
		delete(u.waiting, response.RequestID)
		answer <- response
	}
}

// next chooses a meter that answers and was not chosen before, and a Request ID.
func (u *user) next() (id servicerequests.RequestID, answer chan duis.Response, critical bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for range 1000 {
		i := u.chance.IntN(u.fleet.Len())
		m := u.fleet.Meter(i)
		if u.used[i] || m.Type != servicerequests.ESME || !m.Reachable || m.Supplier != smki.TestSupplier {
			continue
		}
		u.used[i] = true
		u.counter++
		id = servicerequests.RequestID{Originator: smki.TestSupplier, Target: m.Device, Counter: u.counter}
		answer = make(chan duis.Response, 1)
		u.waiting[id] = answer
		return id, answer, u.counter%2 == 0, nil
	}
	return id, nil, false, errors.New("the fleet has no more meters that answer: fewer exchanges, or more meters")
}

// exchange asks one thing of one meter and waits for its answer. It returns how
// many Service Requests that took.
func (u *user) exchange(ctx context.Context) (sent int, err error) {
	id, answer, critical, err := u.next()
	if err != nil {
		return 0, err
	}
	r := duis.Request{ID: id, Service: servicerequests.ReadSupplyStatus}
	if critical {
		r.Service = servicerequests.SwitchToCredit
		body, err := u.post(ctx, "/api/v1/serviceT", r)
		if err != nil {
			return 0, err
		}
		transformed, err := proven(body, u.folder.DCC.Transform.Certificate)
		if err != nil {
			return 0, fmt.Errorf("transform of %s: %w", id, err)
		}
		pre, ok := transformed.Content.(duis.PreCommand)
		if !ok {
			return 0, fmt.Errorf("transform of %s: %s", id, transformed.Code)
		}
		if r.SignedPreCommand, err = gbcs.Sign(pre.Payload, u.folder.Supplier.DigitalSigning.Key); err != nil {
			return 0, err
		}
		sent++
	}
	body, err := u.post(ctx, "/api/v1/serviceS", r)
	if err != nil {
		return 0, err
	}
	acknowledged, err := duis.DecodeResponse(body) // unsigned
	if err != nil {
		return 0, fmt.Errorf("%s: %w", id, err)
	}
	if acknowledged.Code != servicerequests.Acknowledged {
		return 0, fmt.Errorf("%s: %s instead of an acknowledgement", id, acknowledged.Code)
	}
	select {
	case response := <-answer:
		if response.Code != servicerequests.Success {
			return 0, fmt.Errorf("%s: %s from the meter", id, response.Code)
		}
		return sent + 1, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(2 * time.Minute):
		return 0, fmt.Errorf("%s: no answer in two minutes", id)
	}
}

func (u *user) post(ctx context.Context, path string, r duis.Request) ([]byte, error) {
	document, err := duis.AppendRequest(nil, r)
	if err != nil {
		return nil, err
	}
	signed, err := u.signer.Sign(document)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.duis+path, bytes.NewReader(signed))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/xml")
	response, err := u.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: HTTP %d", path, response.StatusCode)
	}
	return io.ReadAll(response.Body)
}

// proven decodes a response that this certificate's key must have signed.
func proven(body []byte, by *smki.Certificate) (duis.Response, error) {
	p, err := xmldsig.Verify(body, only{by})
	if err != nil {
		return duis.Response{}, err
	}
	return duis.DecodeResponse(p.Document)
}

// only is a trust in one certificate.
type only struct{ *smki.Certificate }

func (o only) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	want, err := xmldsig.NewKeyRef(o.Issuer, o.SerialText())
	if err != nil || ref != want {
		return nil, xmldsig.ErrUnknownKey
	}
	return o.PublicKey, nil
}

func (u *user) count(sent int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent += sent
}

// counted returns what was counted since it was asked last.
func (u *user) counted() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	sent := u.sent
	u.sent = 0
	return sent
}
