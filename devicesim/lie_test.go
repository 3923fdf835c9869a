package devicesim_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/devicesim"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// lying is a simulator that tells one lie on each of the first attempts, and
// nothing else goes wrong.
func lying(t *testing.T, name string, attempts int, change ...func(*devicesim.Options)) *user {
	t.Helper()
	profile, err := fault.Parse(fmt.Appendf(nil, "latency: {median: 0s, tail: 0s}\nlies: {%s: 1, attempts: %d}", name, attempts))
	if err != nil {
		t.Fatal(err)
	}
	return newUser(t, profile, func(o *devicesim.Options) {
		o.Forbidden = func(device servicerequests.EUI, useCase string) {
			t.Errorf("%v got %s with a valid signature", device, useCase)
		}
		for _, change := range change {
			change(o)
		}
	})
}

func prepaid(kind servicerequests.DeviceType) func(m fleet.Meter) bool {
	return func(m fleet.Meter) bool {
		return m.Type == kind && m.Reachable && m.Mode == servicerequests.Prepayment
	}
}

// transformed posts a request to Transform and returns the Pre-Command of a
// reply that the DCC has signed.
func (u *user) transformed(body []byte) []byte {
	u.t.Helper()
	r := u.proven(u.post("/api/v1/serviceT", body), u.folder.DCC.Transform.Certificate)
	pre, ok := r.Content.(duis.PreCommand)
	if !ok || r.Code != servicerequests.Success {
		u.t.Fatalf("transform: %+v", r)
	}
	return pre.Payload
}

// TestLiesOfTransform: the Pre-Command is the one that the lie promises, the
// same for the same bytes, and the next request gets what it asked for.
func TestLiesOfTransform(t *testing.T) {
	command := func(useCase string, when gbcs.When) func(*testing.T, *gbcs.Message, servicerequests.RequestID) {
		return func(t *testing.T, m *gbcs.Message, id servicerequests.RequestID) {
			c, err := gbcs.DecodeCommand(m)
			if err != nil || c.UseCase.Name != useCase || c.When != when || m.ID() != id {
				t.Errorf("%s, when %v, for %s: %v", c.UseCase.Name, c.When, m.ID(), err)
			}
		}
	}
	otherwise := func(differs func(got, asked servicerequests.RequestID) bool) func(*testing.T, *gbcs.Message, servicerequests.RequestID) {
		return func(t *testing.T, m *gbcs.Message, id servicerequests.RequestID) {
			got := gbcs.Expected{Service: servicerequests.SwitchToCredit, Device: servicerequests.ESME, ID: m.ID()}
			payload := gbcs.AppendNull(nil, m.Header, m.Payload)
			if err := got.For(payload).Match(payload); err != nil || !differs(m.ID(), id) {
				t.Errorf("for %s, asked for %s: %v", m.ID(), id, err)
			}
		}
	}
	tests := []struct {
		lie  string
		kind servicerequests.DeviceType
		told func(*testing.T, *gbcs.Message, servicerequests.RequestID)
	}{
		{"enable", servicerequests.ESME, command("ECS42", gbcs.Immediate)},
		{"enable", servicerequests.GSME, command("ECS42", gbcs.Immediate)},
		{"disable", servicerequests.ESME, command("ECS43", gbcs.Immediate)},
		{"disable", servicerequests.GSME, command("GCS32", gbcs.Immediate)},
		{"prepayment", servicerequests.ESME, command("ECS03", gbcs.Immediate)},
		{"prepayment", servicerequests.GSME, command("GCS03", gbcs.Immediate)},
		{"future_dated", servicerequests.ESME, command("ECS02", gbcs.AtTime)},
		{"future_dated", servicerequests.GSME, command("GCS02", gbcs.AtTime)},
		{"cancelling", servicerequests.ESME, command("ECS02", gbcs.Cancel)},
		{"cancelling", servicerequests.GSME, command("GCS02", gbcs.Cancel)},
		{"other_meter", servicerequests.ESME, otherwise(func(got, asked servicerequests.RequestID) bool {
			return got.Target != asked.Target && got.Originator == asked.Originator && got.Counter == asked.Counter
		})},
		{"other_counter", servicerequests.ESME, otherwise(func(got, asked servicerequests.RequestID) bool {
			return got.Counter == asked.Counter+1 && got.Originator == asked.Originator && got.Target == asked.Target
		})},
		{"other_originator", servicerequests.GSME, otherwise(func(got, asked servicerequests.RequestID) bool {
			return got.Originator != asked.Originator && got.Target == asked.Target && got.Counter == asked.Counter
		})},
	}
	for _, test := range tests {
		t.Run(test.lie+" "+test.kind.String(), func(t *testing.T) {
			t.Parallel()
			u := lying(t, test.lie, 1)
			m := u.choose("meter in prepayment", prepaid(test.kind))
			id := u.newID(m.Device)
			body := u.request(duis.Request{ID: id, Service: servicerequests.SwitchToCredit})
			payload := u.transformed(body)
			message, err := gbcs.Parse(payload)
			if err != nil || message.Kind != gbcs.KindPreCommand {
				t.Fatalf("%v: %X", err, payload)
			}
			test.told(t, message, id)
			if err := (gbcs.Expected{Service: servicerequests.SwitchToCredit, Device: test.kind, ID: id}).Match(payload); err == nil {
				t.Error("it is what was asked for")
			}
			if again := u.transformed(body); !bytes.Equal(again, payload) {
				t.Errorf("the same bytes again: %X, first %X", again, payload)
			}
			u.command(servicerequests.SwitchToCredit, m) // the second attempt
		})
	}
}

func TestLieExtraBytes(t *testing.T) {
	t.Parallel()
	u := lying(t, "extra_bytes", 1)
	m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
	id := u.newID(m.Device)
	payload := u.transformed(u.request(duis.Request{ID: id, Service: servicerequests.SwitchToCredit}))
	expected := gbcs.Expected{Service: servicerequests.SwitchToCredit, Device: servicerequests.ESME, ID: id}
	if expected.Match(payload) == nil || expected.Match(payload[:len(payload)-1]) != nil {
		t.Errorf("not one byte too long: %X", payload)
	}
	u.command(servicerequests.SwitchToCredit, m)
}

// TestLyingReplies: what carries data comes without a Signature, or with one
// that no key of the DCC has made.
func TestLyingReplies(t *testing.T) {
	for lie, want := range map[string]error{"unsigned_reply": xmldsig.ErrUnsigned, "forged_reply": xmldsig.ErrSignature} {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			u := lying(t, lie, 1)
			m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
			for path, r := range map[string]duis.Request{
				"/api/v1/serviceT": {ID: u.newID(m.Device), Service: servicerequests.SwitchToCredit},
				"/api/v1/serviceD": {ID: u.newID(smki.TestDCC), Service: servicerequests.ReadInventory, InventoryDevice: m.Device},
			} {
				answer := u.post(path, u.request(r))
				if !bytes.Contains(answer, []byte("<sr:ResponseCode>I0<")) {
					t.Errorf("%s: %s", path, answer)
				}
				_, err := xmldsig.Verify(answer, one{u.folder.DCC.Transform.Certificate})
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", path, err, want)
				}
			}
			u.command(servicerequests.SwitchToCredit, m)
		})
	}
}

func TestLieHTML(t *testing.T) {
	t.Parallel()
	u := lying(t, "html", 1)
	m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
	id := u.newID(m.Device)
	for path, r := range map[string]duis.Request{
		"/api/v1/serviceT": {ID: u.newID(m.Device), Service: servicerequests.SwitchToCredit},
		"/api/v1/serviceS": {ID: id, Service: servicerequests.ReadSupplyStatus},
		"/api/v1/serviceD": {ID: u.newID(smki.TestDCC), Service: servicerequests.ReadInventory, InventoryDevice: m.Device},
	} {
		body := u.request(r)
		for range 2 { // the same bytes again get no better answer
			response, err := u.client.Post("http://"+u.sim.DUISAddr()+path, "application/xml", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") ||
				!bytes.Contains(text, []byte("<html>")) {
				t.Errorf("%s: %d %s: %v", path, response.StatusCode, text, err)
			}
		}
	}
	// The request is carried out all the same, once.
	if _, answer := u.outcome(servicerequests.ReadSupplyStatus, servicerequests.ESME, id, nil); answer.Supply != m.Supply {
		t.Errorf("7.4 reads %s, want %s", answer.Supply, m.Supply)
	}
}

// delivered is a device's response as it came: the envelope proven, the message
// in it not.
func (u *user) delivered() (duis.Response, *gbcs.Message) {
	u.t.Helper()
	r := u.next()
	content, ok := r.Content.(duis.DeviceResponse)
	if !ok || r.Code != servicerequests.Success {
		u.t.Fatalf("no device response: %+v", r)
	}
	m, err := gbcs.Parse(content.Payload)
	if err != nil {
		u.t.Fatal(err)
	}
	return r, m
}

// TestLiesOfDelivery has a critical command or a read answered with each lie.
func TestLiesOfDelivery(t *testing.T) {
	read := func(u *user, m fleet.Meter) servicerequests.RequestID {
		return u.read(servicerequests.ReadPaymentMode, m.Device)
	}
	switched := func(u *user, m fleet.Meter) servicerequests.RequestID {
		return u.command(servicerequests.SwitchToCredit, m)
	}
	tests := []struct {
		lie  string
		kind servicerequests.DeviceType
		ask  func(*user, fleet.Meter) servicerequests.RequestID
		told func(*user, servicerequests.RequestID)
	}{
		{"unsigned_response", servicerequests.ESME, read, func(u *user, id servicerequests.RequestID) {
			r, err := duis.DecodeResponse(u.received())
			if _, ok := r.Content.(duis.DeviceResponse); err != nil || !ok || r.RequestID != id || r.Code != servicerequests.Success {
				u.t.Errorf("%+v, %v", r, err)
			}
		}},
		{"no_payload", servicerequests.GSME, switched, func(u *user, id servicerequests.RequestID) {
			if r := u.next(); r.Content != nil || r.RequestID != id || r.Code != servicerequests.Success {
				u.t.Errorf("%+v", r)
			}
		}},
		{"bad_proof", servicerequests.ESME, switched, func(u *user, id servicerequests.RequestID) {
			r, m := u.delivered()
			signing, _ := u.certificates(id.Target)
			if err := m.VerifySignature(signing.PublicKey); !errors.Is(err, gbcs.ErrSignature) || r.RequestID != id || m.ID() != id.Reversed() {
				u.t.Errorf("%s in %s: %v", m.ID(), r.RequestID, err)
			}
		}},
		{"bad_proof", servicerequests.GSME, read, func(u *user, id servicerequests.RequestID) {
			r, m := u.delivered()
			_, agreement := u.certificates(id.Target)
			public, err := agreement.ECDH()
			if err != nil {
				u.t.Fatal(err)
			}
			if err := m.VerifyMAC(gbcs.MACKey(u.secret(public), m.Header)); !errors.Is(err, gbcs.ErrMAC) || r.RequestID != id || m.ID() != id.Reversed() {
				u.t.Errorf("%s in %s: %v", m.ID(), r.RequestID, err)
			}
		}},
		{"other_device", servicerequests.ESME, switched, func(u *user, id servicerequests.RequestID) {
			r, m := u.delivered()
			u.authentic(m)
			if r.RequestID != id || r.ResponseID != id.Reversed() || m.Originator == id.Target || m.Counter != id.Counter || m.Target != id.Originator {
				u.t.Errorf("%s in %s", m.ID(), r.RequestID)
			}
		}},
		{"unknown_request", servicerequests.GSME, read, func(u *user, id servicerequests.RequestID) {
			r, m := u.delivered()
			u.authentic(m)
			if r.RequestID == id || m.ID() != r.RequestID.Reversed() || r.ResponseID != m.ID() || m.Originator != id.Target || r.SRV != "7.4" {
				u.t.Errorf("%s in %s, SRV %s", m.ID(), r.RequestID, r.SRV)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.lie+" "+test.kind.String(), func(t *testing.T) {
			t.Parallel()
			u := lying(t, test.lie, 1)
			m := u.choose("meter in prepayment", prepaid(test.kind))
			test.told(u, test.ask(u, m))
			id := u.read(servicerequests.ReadMeterBalance, m.Device) // nothing was read here before: a first attempt
			test.told(u, id)
			id = u.read(servicerequests.ReadMeterBalance, m.Device)
			u.outcome(servicerequests.ReadMeterBalance, test.kind, id, nil)
		})
	}
}

// TestLieReplayed: the answer to a read from before the switch comes back as
// the answer to the read after it.
func TestLieReplayed(t *testing.T) {
	t.Parallel()
	u := lying(t, "replayed", 2)
	m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
	first := u.read(servicerequests.ReadPaymentMode, m.Device)
	u.outcome(servicerequests.ReadPaymentMode, m.Type, first, nil) // there is nothing to replay yet
	u.outcome(servicerequests.SwitchToCredit, m.Type, u.command(servicerequests.SwitchToCredit, m), nil)
	second := u.read(servicerequests.ReadPaymentMode, m.Device)
	r, message := u.delivered()
	u.authentic(message)
	stale, err := gbcs.DecodeResponse(message)
	if err != nil || stale.Mode != servicerequests.Prepayment || message.ID() != first.Reversed() || r.RequestID != second {
		t.Errorf("%s, %s in %s: %v", stale.Mode, message.ID(), r.RequestID, err)
	}
}

// TestLieReordered: the first answer comes after the second; one that nothing
// follows comes all the same.
func TestLieReordered(t *testing.T) {
	t.Parallel()
	u := lying(t, "reordered", 1)
	m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
	first := u.read(servicerequests.ReadPaymentMode, m.Device)
	second := u.read(servicerequests.ReadSupplyStatus, m.Device)
	for _, want := range []servicerequests.RequestID{second, first} {
		if r, _ := u.delivered(); r.RequestID != want {
			t.Errorf("answer to %s, want %s", r.RequestID, want)
		}
	}
	alone := u.read(servicerequests.ReadMeterBalance, m.Device)
	u.outcome(servicerequests.ReadMeterBalance, m.Type, alone, nil)
}

func TestLieLateAcknowledgement(t *testing.T) {
	t.Parallel()
	u := lying(t, "late_acknowledgement", 1)
	m := u.choose("meter in prepayment", prepaid(servicerequests.ESME))
	id := u.read(servicerequests.ReadSupplyStatus, m.Device) // returns with the acknowledgement
	select {
	case raw := <-u.inbox:
		if r := u.proven(raw, u.folder.DCC.XMLSigning.Certificate); r.RequestID != id {
			t.Errorf("response to %s", r.RequestID)
		}
	default:
		t.Error("the acknowledgement came first")
	}
}

// signByHand signs a Pre-Command, null signature byte included, whatever it is:
// no signing code of this module does.
func signByHand(t *testing.T, key crypto.Signer, preCommand []byte) []byte {
	t.Helper()
	unsigned := preCommand[:len(preCommand)-1]
	digest := sha256.Sum256(unsigned[1:])
	der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var scalars struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &scalars); err != nil {
		t.Fatal(err)
	}
	signed := append(slices.Clone(unsigned), 64)
	for _, scalar := range []*big.Int{scalars.R, scalars.S} {
		signed = append(signed, scalar.FillBytes(make([]byte, 32))...)
	}
	return signed
}

// TestLastWall: a User without a request builder, a signing gate or a wall at
// the gateway signs what it is given. The meter says so.
func TestLastWall(t *testing.T) {
	for _, test := range []struct {
		lie     string
		kind    servicerequests.DeviceType
		useCase string
	}{
		{"enable", servicerequests.ESME, "ECS42"},
		{"enable", servicerequests.GSME, "ECS42"}, // which no gas meter carries out
		{"disable", servicerequests.ESME, "ECS43"},
		{"disable", servicerequests.GSME, "GCS32"},
		{"prepayment", servicerequests.ESME, "ECS03"},
		{"prepayment", servicerequests.GSME, "GCS03"},
		{"future_dated", servicerequests.ESME, "ECS02"},
		{"future_dated", servicerequests.GSME, "GCS02"},
		{"cancelling", servicerequests.ESME, "ECS02"},
		{"cancelling", servicerequests.GSME, "GCS02"},
	} {
		t.Run(test.lie+" "+test.kind.String(), func(t *testing.T) {
			t.Parallel()
			rung := make(chan string, 1)
			u := lying(t, test.lie, 1, func(o *devicesim.Options) {
				o.Forbidden = func(device servicerequests.EUI, useCase string) { rung <- device.String() + " " + useCase }
			})
			m := u.choose("meter in prepayment", prepaid(test.kind))
			id := u.newID(m.Device)
			payload := u.transformed(u.request(duis.Request{ID: id, Service: servicerequests.SwitchToCredit}))
			signed := signByHand(t, u.folder.Supplier.DigitalSigning.Key, payload)
			u.acknowledged(u.request(duis.Request{ID: id, Service: servicerequests.SwitchToCredit, SignedPreCommand: signed}))
			u.clock.Apart(func() {
				select {
				case got := <-rung:
					if want := m.Device.String() + " " + test.useCase; got != want {
						t.Errorf("%s, want %s", got, want)
					}
				case <-time.After(10 * time.Second):
					t.Error("the meter has not rung")
				}
			})
			if n := u.sim.Summary().ForbiddenCommands; n != 1 {
				t.Errorf("%d forbidden commands counted", n)
			}
		})
	}
}
