package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"safemode/engine/gateway"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// Between the engine's keys and a supply stand four walls that know nothing of each
// other. Each test here takes the other three away: it hands the wall what they
// would have held back. The fourth is the meters': a User without builder, signing
// gate and gateway sends Enable, Disable and the rest with valid signatures, and
// each meter rings (TestLastWall of devicesim, which alone has such encoders).

// forbidden are the commands of the outside vectors that no wall lets through:
// ECS03 and GCS03 (to Prepayment), ECS42 (7.1), ECS43 and GCS32 (7.2).
func forbidden(t *testing.T) []vectorMessage {
	t.Helper()
	return preCommands(t, forbiddenPreCommands)
}

// idOf is the Request ID under which a vector goes.
func idOf(t *testing.T, m vectorMessage) servicerequests.RequestID {
	t.Helper()
	message, err := gbcs.Parse(m.bytes(t))
	if err != nil {
		t.Fatal(err)
	}
	return message.ID()
}

// critical are the services that lead to a signature.
func critical() (all []servicerequests.Service) {
	for s := servicerequests.Service(0); s < 255; s++ {
		if slices.Contains(servicerequests.Services[:], s) && s.Critical() {
			all = append(all, s)
		}
	}
	return all
}

// TestWallBuilder, the first: there is no way to say what is forbidden. A request is
// an ID, one of the services, and for its second half bytes that the other walls
// read; of all the values a service can have only the permitted set has a form.
func TestWallBuilder(t *testing.T) {
	want := map[string]reflect.Type{
		"ID": reflect.TypeFor[servicerequests.RequestID](), "Service": reflect.TypeFor[servicerequests.Service](),
		"SignedPreCommand": reflect.TypeFor[[]byte](), "InventoryDevice": reflect.TypeFor[servicerequests.EUI](),
	}
	for field := range reflect.TypeFor[duis.Request]().Fields() {
		if want[field.Name] != field.Type {
			t.Errorf("a request has a field %s of type %s: could it name a service, a date or a payment mode?", field.Name, field.Type)
		}
	}
	permitted := []string{"1.6", "2.5", "7.3", "7.4", "6.2.9", "4.18", "4.13", "8.2"}
	id := servicerequests.RequestID{Originator: smki.TestSupplier, Target: 0x00DB1234567890A0, Counter: 1}
	built, forbidden := 0, forbidden(t)
	for n := range 256 {
		r := duis.Request{ID: id, Service: servicerequests.Service(n)}
		if r.Service == servicerequests.ReadInventory {
			r.InventoryDevice = id.Target
		}
		body, err := duis.AppendRequest(nil, r)
		if err != nil {
			continue
		}
		built++
		if !slices.Contains(permitted, r.Service.SRV()) {
			t.Errorf("service %d is built as %s", n, r.Service.SRV())
		}
		for _, word := range []string{"EnableSupply", "DisableSupply", "Prepayment>", "ExecutionDateTime", ">7.1<", ">7.2<"} {
			if strings.Contains(string(body), word) {
				t.Errorf("%s is built with %s: %s", r.Service.SRV(), word, body)
			}
		}
		for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME, servicerequests.GPF} {
			// And it expects no Pre-Command but its own.
			for _, m := range forbidden {
				if (gbcs.Expected{Service: r.Service, Device: device, ID: idOf(t, m)}).Match(m.bytes(t)) == nil {
					t.Errorf("%s for a %s expects %s", r.Service.SRV(), device, m.UseCase)
				}
			}
		}
	}
	if built != len(permitted) {
		t.Errorf("%d services are built, want %d", built, len(permitted))
	}
}

// spy counts what a key signs.
type spy struct {
	crypto.Signer
	signed atomic.Int64
}

func (s *spy) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	s.signed.Add(1)
	return s.Signer.Sign(random, digest, o)
}

// TestWallSigner, the second: whatever Transform gave back, and whatever was asked
// for, the gate compares bytes with its own table, and the keys are not touched.
func TestWallSigner(t *testing.T) {
	for _, m := range forbidden(t) {
		t.Run(m.UseCase, func(t *testing.T) {
			id := idOf(t, m)
			pre, xml := &spy{Signer: newKey(t)}, &spy{Signer: newKey(t)}
			gate, err := signer.New(signer.Options{Identities: map[servicerequests.EUI]signer.Identity{
				id.Originator: {XML: xmldsig.Signer{Key: xml, Issuer: "CN=Z1,OU=07", Serial: "1"}, PreCommand: pre},
			}})
			if err != nil {
				t.Fatal(err)
			}
			for _, service := range critical() {
				for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
					for _, payload := range [][]byte{m.bytes(t), append(m.bytes(t), 0)} {
						token, err := gate.Prepare(gbcs.Expected{Service: service, Device: device, ID: id}, payload)
						if _, ok := errors.AsType[*signer.RefusedError](err); !ok || token != nil {
							t.Errorf("as %s for a %s: token %v, %v", service.SRV(), device, token != nil, err)
						}
					}
				}
				// Nor is it signed as what somebody else has signed already.
				_, err := gate.SignRequest(t.Context(), 0, duis.Request{ID: id, Service: service, SignedPreCommand: signedByHand(t, m, newKey(t))})
				if _, ok := errors.AsType[*signer.RefusedError](err); !ok {
					t.Errorf("as a signed %s: %v", service.SRV(), err)
				}
			}
			// The function beneath the gate has the same table.
			if _, err := gbcs.Sign(m.bytes(t), pre); err == nil {
				t.Error("signed")
			}
			if n := pre.signed.Load() + xml.signed.Load(); n != 0 {
				t.Errorf("%d signatures", n)
			}
		})
	}
}

// signedByHand is a command with a good signature, as whoever holds the supplier's
// key and none of the engine's code would make it.
func signedByHand(t *testing.T, m vectorMessage, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	b := slices.Clone(m.bytes(t))
	digest := sha256.Sum256(b[1:]) // all but the grouping's first octet
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, 64)
	b = append(b, r.FillBytes(make([]byte, 32))...)
	return append(b, s.FillBytes(make([]byte, 32))...)
}

// TestWallGateway, the third: a caller of its own, with the keys, hands the gateway
// signed bytes. It gives ErrNotPermitted, and nobody is called.
func TestWallGateway(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			conn.Close()
		}
	}()
	g, err := gateway.New(gateway.Options{URL: "http://" + listener.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	hostile := xmldsig.Signer{Key: newKey(t), Issuer: "CN=Z1,OU=07", Serial: "1"}
	for _, m := range forbidden(t) {
		id := idOf(t, m)
		command := signedByHand(t, m, newKey(t))
		if message, err := gbcs.Parse(command); err != nil || message.Signature == nil {
			t.Fatalf("%s: no signed command: %v", m.UseCase, err)
		}
		for _, service := range critical() {
			document, err := duis.AppendRequest(nil, duis.Request{ID: id, Service: service, SignedPreCommand: command})
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string][]byte{
				"as " + service.SRV(): document,
				"by its own name":     []byte(strings.Replace(string(document), ">"+service.SRV()+"<", ">"+m.SRV+"<", 1)),
			} {
				body, err := hostile.Sign(text)
				if err != nil {
					t.Fatal(err)
				}
				for _, endpoint := range record.Endpoints {
					if _, err := g.Post(t.Context(), gateway.Post{Service: endpoint, ID: id, Body: body}); !errors.Is(err, gateway.ErrNotPermitted) {
						t.Errorf("%s %s to %s: %v", m.UseCase, name, endpoint, err)
					}
				}
			}
		}
	}
	// The address does answer those who get as far as a connection.
	if conn, err := net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Error(err)
	} else {
		_, _ = conn.Read(make([]byte, 1)) // until it is closed
		conn.Close()
	}
	listener.Close()
	<-ended
	if n := calls.Load(); n != 1 {
		t.Errorf("%d connections, want the test's own", n)
	}
}
