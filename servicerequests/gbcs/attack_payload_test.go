package gbcs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"safemode/servicerequests/gbcs"
)

// marker is a result that no vector has.
const marker = 0xEE

// An error dressed as a success and a success dressed as an error. A device signs
// or authenticates what it answered; where the forged payload reads well the proof
// must fail, elsewhere the decoder refuses although the proof holds.
func TestAttackErrorDressedAsSuccess(t *testing.T) {
	c := newCourt(t)
	device, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	decoder, proof := 0, 0
	// forge judges a payload in place of the one that the device has protected.
	forge := func(v *vector, m *gbcs.Message, genuine, forged []byte) {
		t.Helper()
		again := *m
		again.Payload = forged
		resp, err := gbcs.DecodeResponse(&again)
		if err != nil {
			decoder++
			if !errors.Is(err, gbcs.ErrPayload) {
				t.Errorf("%s: %v", v.Name, err)
			}
			return
		}
		proof++
		u := resp.UseCase
		if u.Critical {
			signed, err := gbcs.AppendSigned(nil, m.Header, genuine, device)
			if err != nil {
				t.Fatal(err)
			}
			signature := signed[len(signed)-65:]
			lie := parse(t, append(gbcs.AppendMessage(nil, m.Header, forged), signature...))
			if err := lie.VerifySignature(&device.PublicKey); !errors.Is(err, gbcs.ErrSignature) {
				t.Errorf("%s: %x in place of %x: %v", v.Name, forged, genuine, err)
			}
			return
		}
		key := c.key(t, v, m.Header)
		mac := gbcs.AppendMAC(nil, gbcs.AppendNull(nil, m.Header, genuine), m.Originator, key)
		lie := gbcs.AppendMAC(nil, gbcs.AppendNull(nil, m.Header, forged), m.Originator, key)
		lie = append(lie[:len(lie)-12], mac[len(mac)-12:]...)
		if err := parse(t, lie).VerifyMAC(key); !errors.Is(err, gbcs.ErrMAC) {
			t.Errorf("%s: %x in place of %x: %v", v.Name, forged, genuine, err)
		}
	}
	for i := range c.vectors {
		v := &c.vectors[i]
		if v.Kind != "response" {
			continue
		}
		m := parse(t, unhex(t, v.Hex))
		resp, err := gbcs.DecodeResponse(m)
		if err != nil {
			t.Fatal(err)
		}
		for from := range resp.Results { // everything from there on failed
			failed := resp
			failed.Results = bytes.Clone(resp.Results)
			for k := from; k < len(failed.Results); k++ {
				failed.Results[k] = marker
			}
			payload, err := gbcs.AppendResponsePayload(nil, m.Header, failed)
			if err != nil {
				t.Fatalf("%s failing from item %d: %v", v.Name, from, err)
			}
			again := *m
			again.Payload = payload
			if honest, err := gbcs.DecodeResponse(&again); err != nil || honest.Success {
				t.Fatalf("%s failing from item %d: success %v, %v", v.Name, from, honest.Success, err)
			}
			forge(v, m, payload, bytes.ReplaceAll(payload, []byte{marker}, []byte{0})) // all made good
			for at := range payload {                                                  // each made good
				if payload[at] == marker {
					forged := bytes.Clone(payload)
					forged[at] = 0
					forge(v, m, payload, forged)
				}
			}
			forge(v, m, payload, m.Payload) // the success in its place
			forge(v, m, m.Payload, payload) // and it in place of the success
		}
	}
	t.Logf("%d refused by the decoder, %d by signature or MAC", decoder, proof)
	if decoder < 30 || proof < 30 {
		t.Errorf("%d refused by the decoder, %d by signature or MAC: too few", decoder, proof)
	}
}

// The lengths and counts within payloads, each one less and one more, as a device
// would send them that means it: nothing but the decoder stands against that. A
// bit-string's length counts bits, of which any number is a value; it is off by a
// byte.
func TestAttackLengthsWithinPayloads(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		fields := lengthsWithin(t, m.Payload)
		if len(fields) == 0 {
			t.Errorf("%s: no length or count found", v.Name)
		}
		for at, unit := range fields {
			for _, by := range []byte{unit, -unit} {
				again := *m
				again.Payload = bytes.Clone(m.Payload)
				again.Payload[at] += by
				err := decode(v.Kind, &again)
				switch {
				case err == nil:
					t.Errorf("%s: payload byte %d as %02x passes", v.Name, at, again.Payload[at])
				case errors.Is(err, gbcs.ErrPayload):
					c.refused["decoder of the payload"]++
				default:
					t.Errorf("%s: %v", v.Name, err)
				}
			}
		}
	}
	c.report(t, 1_000)
}

// lengthsWithin finds the low byte of every length and count in a payload, and its
// unit, by walking the structure without knowing any use case.
func lengthsWithin(t *testing.T, p []byte) map[int]byte {
	t.Helper()
	w := walker{T: t, p: p, units: map[int]byte{}}
	switch p[0] {
	case 0x01: // GBZ: profile, number of components, components
		w.off = 2
		n := w.length(1)
		if len(p) == 9 || p[9] == 0x0E { // an Alert, whose number of components counts nothing
			return w.units
		}
		for range n {
			w.off += 4
			w.off += w.length(1) // no component is longer than 255
		}
	case 0xD9: // access request: invoke id, date-time, specifications of 10 bytes, data
		w.off = 5
		w.off += w.length(1)
		w.off += 10 * w.length(1)
		w.list()
	case 0xDA: // access response: invoke id, date-time, specifications, data, results of 2 bytes
		w.off = 5
		w.off += w.length(1)
		w.off += 10 * w.length(1)
		w.list()
		w.off += 2 * w.length(1)
	default: // data-notification: invoke id, date-time, a datum
		w.off = 5
		w.off += w.length(1)
		w.datum()
	}
	if w.off != len(p) && p[0] != 0x01 || w.off > len(p) {
		t.Fatalf("walked to %d of %d bytes of %x", w.off, len(p), p)
	}
	return w.units
}

// walker passes over A-XDR data and notes where their lengths are.
type walker struct {
	*testing.T
	p     []byte
	off   int
	units map[int]byte
}

func (w *walker) length(unit byte) int {
	w.units[w.off] = unit
	w.off++
	return int(w.p[w.off-1])
}

func (w *walker) list() {
	for range w.length(1) {
		w.datum()
	}
}

func (w *walker) datum() {
	tag := w.p[w.off]
	w.off++
	switch tag {
	case 0x00: // null
	case 0x03, 0x0F, 0x11, 0x16: // boolean, integer, unsigned, enum
		w.off++
	case 0x10, 0x12: // long, long-unsigned
		w.off += 2
	case 0x05, 0x06: // double-long, double-long-unsigned
		w.off += 4
	case 0x01, 0x02: // array, structure
		w.list()
	case 0x04: // bit-string
		w.off += (w.length(8) + 7) / 8
	case 0x09: // octet-string
		w.off += w.length(1)
	default:
		w.Fatalf("tag %02x before %d of %x", tag, w.off, w.p)
	}
}
