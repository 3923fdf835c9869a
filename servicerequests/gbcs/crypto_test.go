package gbcs_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

func TestSignatureVectors(t *testing.T) {
	ring := loadKeys(t)
	checked := 0
	for _, v := range loadVectors(t) {
		if !v.Signature.Present {
			continue
		}
		checked++
		m := parse(t, unhex(t, v.Hex))
		if err := m.VerifySignature(ring.signing[v.Signature.KeyEUI]); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		for _, stranger := range ring.strangers {
			if err := m.VerifySignature(stranger); !errors.Is(err, gbcs.ErrSignature) {
				t.Errorf("%s: verifies with another key: %v", v.Name, err)
			}
		}
		// Counter, last payload byte, r, s: one bit each.
		at := bytes.Index(unhex(t, v.Hex), m.Inner())
		end := at + len(m.Inner())
		for _, i := range []int{at + 10, end - 66, end - 64, end - 1} {
			b := unhex(t, v.Hex)
			b[i] ^= 1
			if err := parse(t, b).VerifySignature(ring.signing[v.Signature.KeyEUI]); !errors.Is(err, gbcs.ErrSignature) {
				t.Errorf("%s: bit in byte %d flipped: %v, want ErrSignature", v.Name, i, err)
			}
		}
	}
	if checked < 29 {
		t.Errorf("%d signatures checked, want at least 29", checked)
	}
}

func TestSignatureRange(t *testing.T) {
	ring := loadKeys(t)
	v := find(t, "ECS44_7.3_SUCCESS_RESPONSE")
	n := elliptic.P256().Params().N.Bytes()
	for name, word := range map[string][]byte{"zero": make([]byte, 32), "n": n, "all ones": bytes.Repeat([]byte{0xFF}, 32)} {
		for _, offset := range []int{64, 32} { // r, s from the end
			b := unhex(t, v.Hex)
			copy(b[len(b)-offset:], word)
			if err := parse(t, b).VerifySignature(ring.signing[v.Signature.KeyEUI]); !errors.Is(err, gbcs.ErrSignature) {
				t.Errorf("%s at -%d: %v, want ErrSignature", name, offset, err)
			}
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := parse(t, unhex(t, v.Hex)).VerifySignature(&other.PublicKey); !errors.Is(err, gbcs.ErrSignature) {
		t.Errorf("P-384 key: %v, want ErrSignature", err)
	}
	unsigned := parse(t, unhex(t, find(t, "ECS44_7.3_SUCCESS_PRECOMMAND").Hex))
	if err := unsigned.VerifySignature(ring.signing[supplier]); !errors.Is(err, gbcs.ErrSignature) {
		t.Errorf("no signature: %v, want ErrSignature", err)
	}
}

func TestMACVectors(t *testing.T) {
	ring := loadKeys(t)
	checked, fromDevice := 0, 0
	for _, v := range loadVectors(t) {
		if !v.MAC.Present {
			continue
		}
		checked++
		raw := unhex(t, v.Hex)
		m := parse(t, raw)
		party, peer := v.MAC.MACParty, v.MAC.Peer
		keys := [][16]byte{[16]byte(unhex(t, v.MAC.AESKey))}
		for _, side := range [][2]string{{party, peer}, {peer, party}} {
			private := ring.private[side[0]]
			if private == nil { // a device whose private key is not published
				continue
			}
			fromDevice++
			z, err := gbcs.SharedSecret(private, ring.agreement[side[1]])
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, gbcs.DeriveKeyFromSecret(z, gbcs.Mode(m.CRA), m.Originator, m.Counter, m.Target), gbcs.MACKey(z, m.Header))
		}
		for _, key := range keys {
			if key != keys[0] {
				t.Errorf("%s: key %x, want %x", v.Name, key, keys[0])
			}
			if err := m.VerifyMAC(key); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
			if again := gbcs.AppendMAC(nil, m.Inner(), m.Originator, key); !bytes.Equal(again, raw) {
				t.Errorf("%s: wrapped again\n%x\nwant\n%x", v.Name, again, raw)
			}
		}
		inner := bytes.Index(raw, m.Inner())
		for _, i := range []int{inner + 10, inner + len(m.Inner()) - 2, len(raw) - 1} {
			b := bytes.Clone(raw)
			b[i] ^= 1
			if bad, err := gbcs.Parse(b); err == nil && !errors.Is(bad.VerifyMAC(keys[0]), gbcs.ErrMAC) {
				t.Errorf("%s: bit in byte %d flipped, MAC verifies", v.Name, i)
			}
		}
	}
	if checked < 44 || fromDevice < 44 {
		t.Errorf("%d MACs checked, %d derivations, want at least 44 each", checked, fromDevice)
	}
}

func TestKeyDerivation(t *testing.T) {
	ring := loadKeys(t)
	var content struct {
		KDF []struct {
			Mode                           byte
			Originator, Target, CounterHex string
			Keys, SharedSecretZ, AESKey    string
		}
	}
	outside.Decode(t, "gbcs-crypto-kat.json", &content)
	if len(content.KDF) < 3 {
		t.Fatalf("%d known answers, want 3", len(content.KDF))
	}
	for _, k := range content.KDF {
		party := map[string]string{"ACB KA with device KA": acb, "supplier KA with device KA": supplier}[k.Keys]
		z, err := gbcs.SharedSecret(ring.private[party], ring.agreement["00db1234567890a0"])
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(z[:]); got != k.SharedSecretZ {
			t.Errorf("Z = %s, want %s", got, k.SharedSecretZ)
		}
		key := gbcs.DeriveKeyFromSecret(z, gbcs.Mode(k.Mode), eui(t, k.Originator), number(t, k.CounterHex), eui(t, k.Target))
		if got := hex.EncodeToString(key[:]); got != k.AESKey {
			t.Errorf("key = %s, want %s", got, k.AESKey)
		}
	}
	p384, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gbcs.SharedSecret(p384, p384.PublicKey()); err == nil {
		t.Error("P-384 secret accepted")
	}
	if _, err := gbcs.SharedSecret(ring.private[acb], p384.PublicKey()); err == nil {
		t.Error("mixed curves accepted")
	}
}

func eui(t *testing.T, text string) servicerequests.EUI { return servicerequests.EUI(number(t, text)) }

func number(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The published Pre-Command in DUIS form is of a use case that is not permitted
// (0062): its signed form fixes the signed range and the framing, and signing it
// is refused. Its content length takes in its last byte, a 00, and the signature
// covers that byte: so it is payload, and the null signature byte is one more.
func TestPublishedSignedPreCommand(t *testing.T) {
	ring := loadKeys(t)
	var content struct {
		NullSignaturePrecommand struct{ PrecommandHex, SignedHex, KeyEUI string }
	}
	outside.Decode(t, "gbcs-crypto-kat.json", &content)
	v := content.NullSignaturePrecommand
	raw, signed := unhex(t, v.PrecommandHex), unhex(t, v.SignedHex)
	s := parse(t, signed)
	if err := s.VerifySignature(ring.signing[v.KeyEUI]); err != nil {
		t.Error(err)
	}
	if want := append(append(bytes.Clone(raw), 64), s.Signature...); s.Kind != gbcs.KindSignedPreCommand || !bytes.Equal(signed, want) {
		t.Errorf("%s is not Pre-Command, 40, signature", s.Kind)
	}
	for _, null := range []bool{false, true} {
		m := parse(t, raw)
		if m.Kind != gbcs.KindPreCommand || m.NullSignature != null || !bytes.Equal(m.Payload, s.Payload) {
			t.Errorf("got %s, null signature %v, payload %x", m.Kind, m.NullSignature, m.Payload)
		}
		if _, err := gbcs.Sign(raw, ring.signer); !errors.Is(err, gbcs.ErrNoPreCommand) {
			t.Errorf("Sign: %v, want ErrNoPreCommand", err)
		}
		raw = append(raw, 0)
	}
}

func TestSign(t *testing.T) {
	ring := loadKeys(t)
	permitted := 0
	for _, v := range ofKind(t, "precommand", 11) {
		raw := unhex(t, v.Hex)
		for _, form := range [][]byte{raw, append(bytes.Clone(raw), 0)} {
			signed, err := gbcs.Sign(form, ring.signer)
			if u, _ := gbcs.LookupUseCase(parse(t, raw).Code); u.Service == 0 {
				if !errors.Is(err, gbcs.ErrNoPreCommand) {
					t.Errorf("%s: Sign: %v, want ErrNoPreCommand", v.Name, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
				continue
			}
			permitted++
			if !bytes.HasPrefix(signed, append(slices.Clone(raw), 64)) || len(signed) != len(raw)+65 {
				t.Errorf("%s: signed is not Pre-Command, 40, signature: %x", v.Name, signed)
			}
			m := parse(t, signed)
			if err := m.VerifySignature(ring.signing[supplier]); m.Kind != gbcs.KindSignedPreCommand || err != nil {
				t.Errorf("%s: %s: %v", v.Name, m.Kind, err)
			}
			if _, err := gbcs.Sign(signed, ring.signer); err == nil {
				t.Errorf("%s: signed twice", v.Name)
			}
		}
	}
	if permitted != 12 {
		t.Errorf("%d permitted forms signed, want 12", permitted)
	}
}

// Signatures whose r or s is short or has its top bit set go through DER and back.
func TestSignManyTimes(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := gbcs.Header{CRA: gbcs.CRAResponse, Counter: 1, Originator: 2, Target: 3, Code: 0x20}
	for i := range 1000 {
		b, err := gbcs.AppendSigned(nil, h, []byte{byte(i)}, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := parse(t, b).VerifySignature(&key.PublicKey); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
	}
	prefix := []byte("before")
	b, err := gbcs.AppendSigned(prefix, h, []byte{1}, key)
	if err != nil || !bytes.HasPrefix(b, prefix) {
		t.Fatal(err)
	}
	if err := parse(t, b[len(prefix):]).VerifySignature(&key.PublicKey); err != nil {
		t.Errorf("appended: %v", err)
	}
	h.CRA = gbcs.CRACommand
	if _, err := gbcs.AppendSigned(nil, h, []byte{1}, key); err == nil {
		t.Error("AppendSigned signed a Command")
	}
	h.CRA = gbcs.CRAAlert
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gbcs.AppendSigned(nil, h, []byte{1}, p384); err == nil {
		t.Error("AppendSigned signed with P-384")
	}
}
