package benchmarks_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/breaker"
	"safemode/engine/gateway"
	"safemode/engine/inbox"
	"safemode/engine/pacer"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// stages is one critical request as each stage of the engine sees it.
type stages struct {
	signer   *signer.Signer
	verifier *proof.Verifier
	expected gbcs.Expected
	request  duis.Request

	preCommand []byte // as Transform gives it
	reply      []byte // Transform's reply, signed
	delivery   []byte // the device's Response at the inbox, signed
}

// device is a Devices of one device.
type device proof.DeviceKeys

func (d device) Keys(context.Context, servicerequests.EUI) (proof.DeviceKeys, error) {
	return proof.DeviceKeys(d), nil
}

func (d device) Refresh(context.Context, servicerequests.EUI) (proof.DeviceKeys, error) {
	return proof.DeviceKeys(d), nil
}

func newStages(b *testing.B) *stages {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Helper()
			b.Fatal(err)
		}
	}
	files, err := smki.TestFolder{Seed: []byte("stages")}.Files()
	must(err)
	folder := fstest.MapFS{}
	for name, text := range files {
		folder[name] = &fstest.MapFile{Data: text}
	}
	pki, err := smki.LoadFolder(folder)
	must(err)
	xmlSigner := func(id smki.SigningIdentity) xmldsig.Signer {
		return xmldsig.Signer{Key: id.Key, Issuer: id.Certificate.Issuer, Serial: id.Certificate.SerialText()}
	}
	deviceKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	s := &stages{
		expected: gbcs.Expected{
			Service: servicerequests.SwitchToCredit, Device: servicerequests.ESME,
			ID: servicerequests.RequestID{Originator: smki.TestSupplier, Target: 0x00DB1234567890A0, Counter: 1_700_000_000_000},
		},
	}
	s.request = duis.Request{ID: s.expected.ID, Service: s.expected.Service}
	s.signer, err = signer.New(signer.Options{Identities: map[servicerequests.EUI]signer.Identity{
		smki.TestSupplier: {XML: xmlSigner(pki.Supplier.XMLSigning), PreCommand: pki.Supplier.DigitalSigning.Key},
	}})
	must(err)
	s.verifier, err = proof.New(proof.Options{
		Transform: []*smki.Certificate{pki.DCC.Transform.Certificate}, XMLSigning: []*smki.Certificate{pki.DCC.XMLSigning.Certificate},
		Agreements: map[servicerequests.EUI]gbcs.Agreement{smki.TestSupplier: gbcs.AgreementOf(pki.Supplier.KeyAgreement.Key)},
		Devices:    device{DigitalSignature: []*ecdsa.PublicKey{&deviceKey.PublicKey}, KeyAgreement: []*ecdh.PublicKey{pki.Supplier.KeyAgreement.Key.PublicKey()}},
	})
	must(err)

	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	s.preCommand, err = gbcs.AppendPreCommand(nil, s.expected, now)
	must(err)
	respond := func(by smki.SigningIdentity, content duis.Content) []byte {
		r := duis.Response{RequestID: s.expected.ID, Code: servicerequests.Success, At: now, ServiceReference: "1.6", SRV: "1.6", Content: content}
		document, err := duis.AppendResponse(nil, r)
		must(err)
		signer := xmlSigner(by)
		signed, err := signer.Sign(document)
		must(err)
		return signed
	}
	s.reply = respond(pki.DCC.Transform, duis.PreCommand{GBCSVersion: "4.3", Payload: s.preCommand})
	command, err := gbcs.Parse(s.preCommand)
	must(err)
	header := command.Response(gbcs.NewDateTime(now, gbcs.ClockUnspecified))
	payload, err := gbcs.AppendResponsePayload(nil, header, gbcs.Response{})
	must(err)
	message, err := gbcs.AppendSigned(nil, header, payload, deviceKey)
	must(err)
	s.delivery = respond(pki.DCC.XMLSigning, duis.DeviceResponse{Payload: message})
	return s
}

// BenchmarkStages measures the engine's stages of one critical request, each by
// itself. The journal's are in journal_test.go.
func BenchmarkStages(b *testing.B) {
	s := newStages(b)
	signed, err := s.signer.SignRequest(context.Background(), 0, s.request)
	if err != nil {
		b.Fatal(err)
	}
	dcc := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/xml")
		_, _ = w.Write(s.reply)
	}))
	defer dcc.Close()
	way, err := gateway.New(gateway.Options{URL: dcc.URL})
	if err != nil {
		b.Fatal(err)
	}
	defer way.Close()
	in, err := inbox.New(inbox.Options{
		Verifier: s.verifier, Authenticated: func(*http.Request) bool { return true },
		Receive: func(context.Context, record.Record) error { return nil },
		Now:     time.Now, Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		b.Fatal(err)
	}
	limit := pacer.Limit{PerSecond: 1e9, Burst: 1000}
	limits, err := pacer.New(pacer.Limits{
		User: limit, Region: map[servicerequests.Region]pacer.Limit{servicerequests.North: limit}, Service: map[string]pacer.Limit{"transform": limit},
	})
	if err != nil {
		b.Fatal(err)
	}
	circuits, err := breaker.New(breaker.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, stage := range []struct {
		name string
		run  func() error
	}{
		{"pace", func() error {
			limits.Take(time.Now(), pacer.User(smki.TestSupplier), pacer.Region(servicerequests.North), pacer.Service("transform"))
			return nil
		}},
		{"circuit", func() error {
			report, err := circuits.Allow(breaker.Key{Service: "transform", Region: servicerequests.North})
			if err == nil {
				report(nil)
			}
			return err
		}},
		{"sign the request", func() error { _, err := s.signer.SignRequest(context.Background(), 0, s.request); return err }},
		{"post to Transform, the wall and both ends of HTTP", func() error {
			_, err := way.Post(b.Context(), gateway.Post{Service: record.Transform, ID: s.expected.ID, Body: signed})
			return err
		}},
		{"prove the reply", func() error { _, err := s.verifier.Reply(s.reply, s.expected.ID); return err }},
		{"prepare", func() error { _, err := s.signer.Prepare(s.expected, s.preCommand); return err }},
		{"prepare and sign the Pre-Command and its request", func() error {
			token, err := s.signer.Prepare(s.expected, s.preCommand)
			if err == nil {
				_, err = s.signer.Sign(context.Background(), 0, token)
			}
			return err
		}},
		{"prove the delivery", func() error { _, err := s.verifier.Delivery(b.Context(), s.delivery); return err }},
		{"inbox", func() error {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/smartdcc/duis", bytes.NewReader(s.delivery))
			r.Header.Set("Content-Type", "application/xml")
			w := httptest.NewRecorder()
			if in.ServeHTTP(w, r); w.Code != http.StatusNoContent {
				b.Fatalf("status %d", w.Code)
			}
			return nil
		}},
	} {
		b.Run(stage.name, func(b *testing.B) {
			b.ReportAllocs()
			n, start := 0, cpuTime(b)
			defer func() { b.ReportMetric(float64(cpuTime(b)-start)/float64(n), "cpu-ns/op") }()
			for b.Loop() {
				n++
				if err := stage.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
