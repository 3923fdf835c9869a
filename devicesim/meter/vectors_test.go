package meter_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"testing"

	"safemode/devicesim/fleet"
	"safemode/devicesim/meter"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

// The published Commands, with their published supplier signatures, are
// carried out; only the MAC is made again, for devices whose keys are ours.
func TestHandleOutsideCommands(t *testing.T) {
	var keys struct {
		Keys []struct{ EUI, Use, PublicKeyUncompressed string }
	}
	outside.Decode(t, "gbcs-keys.json", &keys)
	r := newBench(t, meter.Behaviour{})
	for _, k := range keys.Keys {
		if k.EUI != "90b3d51f30010000" || k.Use != "digitalSignature" {
			continue
		}
		point, err := hex.DecodeString(k.PublicKeyUncompressed)
		if err != nil {
			t.Fatal(err)
		}
		if r.signing.PublicKey, err = publicKey(point); err != nil {
			t.Fatal(err)
		}
	}
	handled := 0
	for _, v := range outside.Messages(t, "command") {
		t.Run(v.Name, func(t *testing.T) {
			theirs, err := gbcs.Parse(v.Hex)
			if err != nil {
				t.Fatal(err)
			}
			c, err := gbcs.DecodeCommand(theirs)
			if err != nil {
				t.Fatal(err)
			}
			m := prepaid(nil)
			if c.UseCase.Device == servicerequests.GSME {
				m = gasMeter(func(*fleet.Meter) {})
			}
			m.Device = theirs.Target
			reply, err := r.devices.Handle(meter.Target{Meter: &m}, r.mac(t, theirs.Inner()), noon, meter.Fault{})
			if err != nil || reply.Refused != nil {
				t.Fatal(err, reply.Refused)
			}
			if reply.Forbidden != (c.UseCase.Service == 0 && c.UseCase.Critical) {
				t.Errorf("%s: forbidden = %t", c.UseCase, reply.Forbidden)
			}
			if _, err := gbcs.DecodeResponse(r.prove(t, reply.Response, m.Device)); err != nil {
				t.Error(err)
			}
			handled++
		})
	}
	if handled < 20 {
		t.Errorf("only %d Commands", handled)
	}
}

func publicKey(point []byte) (ecdsa.PublicKey, error) {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return ecdsa.PublicKey{}, err
	}
	return *key, nil
}

// 4.3 is encrypted for the supplier: a gas meter and its proxy answer it.
func TestHandlePrepayValues(t *testing.T) {
	const request = "010902" + "0007000007000000" + "17061606" + "010705000F000100" + "050002000100310211022102"
	payload, err := hex.DecodeString(request)
	if err != nil {
		t.Fatal(err)
	}
	r := newBench(t, meter.Behaviour{})
	m := gasMeter(all(balance(pound), emergency(fleet.Active, 3*pound), func(m *fleet.Meter) { m.Debt = 9 * pound }))
	mirror := m
	mirror.Balance = 2 * pound
	for i, target := range []meter.Target{
		{Meter: &m},
		{Meter: &m, Mirror: &mirror},
	} {
		device, want := m.Device, m.Balance
		if target.Mirror != nil {
			device, want = m.GPF(), mirror.Balance
		}
		h := gbcs.Header{CRA: gbcs.CRACommand, Counter: uint64(i + 1), Originator: supplierEUI, Target: device, Code: 0x0075}
		reply, err := r.devices.Handle(target, r.mac(t, gbcs.AppendNull(nil, h, payload)), noon, meter.Fault{})
		if err != nil || reply.Refused != nil {
			t.Fatal(err, reply.Refused)
		}
		message := r.prove(t, reply.Response, device)
		response, err := gbcs.DecodeResponse(message)
		if err != nil {
			t.Fatal(err)
		}
		key := gbcs.EncryptionKey(r.agree(t, r.supplier, device), message.Header)
		sealed, err := gbcs.SealPrepayValues(message.Header, key, gbcs.PrepayValues{
			MeterBalance: want, EmergencyCreditBalance: 3 * pound, AccumulatedDebt: 9 * pound,
		})
		if err != nil || !bytes.Equal(sealed, response.Ciphertext) {
			t.Errorf("%v: %x, %v; want %x", device, response.Ciphertext, err, sealed)
		}
	}
}

// The published Alerts of future-dated Commands name the parts that ours do.
func TestDatedAlertsAreDCCs(t *testing.T) {
	r := newBench(t, meter.Behaviour{})
	held := 0
	for _, v := range outside.Messages(t, "alert") {
		theirs, err := gbcs.Parse(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		want, err := gbcs.DecodeAlert(theirs)
		if err != nil || want.FutureDated == nil {
			continue
		}
		useCase, ok := gbcs.LookupUseCase(want.FutureDated.Code)
		if !ok {
			t.Fatalf("%s: no use case %04X", v.Name, want.FutureDated.Code)
		}
		m := prepaid(nil)
		if useCase.Device == servicerequests.GSME {
			m = gasMeter(func(*fleet.Meter) {})
		}
		dated := meter.Dated{Command: gbcs.Command{UseCase: useCase, Mode: servicerequests.Credit}, Counter: want.FutureDated.Counter}
		outcome, _, err := r.devices.CarryOut(meter.Target{Meter: &m}, dated, noon, meter.Fault{})
		if err != nil {
			t.Fatal(err)
		}
		told := false
		for _, o := range outcome {
			got, err := gbcs.DecodeAlert(r.prove(t, o.Message, m.Device))
			if err != nil {
				t.Fatal(err)
			}
			told = told || *got.FutureDated == *want.FutureDated && got.Gas == want.Gas
		}
		if !told {
			t.Errorf("%s: %+v is not among ours", v.Name, *want.FutureDated)
		}
		held++
	}
	if held < 4 {
		t.Errorf("held against %d Alerts only", held)
	}
}
