package gbcs_test

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"slices"
	"testing"

	"safemode/servicerequests/gbcs"
)

// court judges messages like the parties that act on them: a Pre-Command as the
// signer, a Response or Alert as package proof, a Command as a meter. It always uses
// a vector's own keys, whatever a forged header says. It does not check that the
// message was expected: it counts every message that would be accepted.
type court struct {
	ring    keyring
	vectors []vector
	refused map[string]int // by whom
	secrets map[[2]string][32]byte
}

func newCourt(t *testing.T) *court {
	t.Helper()
	return &court{ring: loadKeys(t), vectors: loadVectors(t), refused: map[string]int{}, secrets: map[[2]string][32]byte{}}
}

var errKind = errors.New("not of the kind that is wanted here")

// judge takes b for a message of the vector's kind, from the vector's sender.
func (c *court) judge(t *testing.T, v *vector, b []byte) error {
	t.Helper()
	m, err := gbcs.Parse(b)
	if err != nil {
		return err
	}
	if v.Kind == "precommand" {
		return expected(t, parse(t, unhex(t, v.Hex))).Match(b)
	}
	if m.Kind != map[string]gbcs.Kind{"command": gbcs.KindCommand, "response": gbcs.KindResponse, "alert": gbcs.KindAlert}[v.Kind] {
		return errKind
	}
	if m.Signature != nil {
		if err := m.VerifySignature(c.signer(v)); err != nil {
			return err
		}
	}
	if m.MAC != nil {
		if err := m.VerifyMAC(c.key(t, v, m.Header)); err != nil {
			return err
		}
	}
	return decode(v.Kind, m)
}

// signer is the key that the vector is signed with. One that is not signed must
// not pass with anybody's signature.
func (c *court) signer(v *vector) *ecdsa.PublicKey {
	if key := c.ring.signing[v.Signature.KeyEUI]; key != nil {
		return key
	}
	return c.ring.signing[supplier]
}

// key derives the MAC key of a header between the two parties of the vector.
func (c *court) key(t *testing.T, v *vector, h gbcs.Header) [16]byte {
	t.Helper()
	parties := [2]string{v.MAC.MACParty, v.MAC.Peer}
	if !v.MAC.Present { // let a forger have one that could be right
		parties = [2]string{supplier, "00db1234567890a0"}
	}
	z, ok := c.secrets[parties]
	if !ok {
		private, peer := c.ring.private[parties[0]], c.ring.agreement[parties[1]]
		if private == nil { // the other party's is published
			private, peer = c.ring.private[parties[1]], c.ring.agreement[parties[0]]
		}
		var err error
		if z, err = gbcs.SharedSecret(private, peer); err != nil {
			t.Fatal(err)
		}
		c.secrets[parties] = z
	}
	return gbcs.MACKey(z, h)
}

func decode(kind string, m *gbcs.Message) error {
	var err error
	switch kind {
	case "command", "precommand":
		_, err = gbcs.DecodeCommand(m)
	case "response":
		_, err = gbcs.DecodeResponse(m)
	default:
		_, err = gbcs.DecodeAlert(m)
	}
	return err
}

// refuse fails unless b is refused, and counts by whom.
func (c *court) refuse(t *testing.T, v *vector, b []byte, format string, args ...any) {
	t.Helper()
	err := c.judge(t, v, b)
	_, mismatch := errors.AsType[*gbcs.MismatchError](err)
	switch {
	case err == nil:
		t.Errorf("%s passes with %s", v.Name, fmt.Sprintf(format, args...))
		c.refused["NOBODY"]++
	case errors.Is(err, gbcs.ErrMalformed) && !mismatch:
		c.refused["decoder of the outside"]++
	case errors.Is(err, gbcs.ErrSignature):
		c.refused["signature"]++
	case errors.Is(err, gbcs.ErrMAC):
		c.refused["MAC"]++
	case errors.Is(err, gbcs.ErrPayload), errors.Is(err, gbcs.ErrUnknownUseCase), errors.Is(err, errKind):
		c.refused["decoder of the payload"]++
	case mismatch, errors.Is(err, gbcs.ErrNoPreCommand):
		c.refused["signer's comparison"]++
	default:
		t.Errorf("%s with %s: error of another kind: %v", v.Name, fmt.Sprintf(format, args...), err)
	}
}

func (c *court) report(t *testing.T, atLeast int) {
	t.Helper()
	total := 0
	for _, n := range c.refused {
		total += n
	}
	t.Logf("%d vectors, %d forgeries refused by: %v", len(c.vectors), total-c.refused["NOBODY"], c.refused)
	if total < atLeast {
		t.Errorf("%d forgeries, want at least %d", total, atLeast)
	}
}

// freeBytes are the bytes of a permitted Pre-Command that no one can know before:
// the issuer event id, the DCC's clock, of GCS02 and GCS39.
func freeBytes(m *gbcs.Message) (from, to int) {
	if m.Code != 0x006C && m.Code != 0x0085 {
		return 0, 0
	}
	payload := len(m.Inner()) - len(m.Payload)
	return payload + 15, payload + 19
}

func TestAttackEveryBit(t *testing.T) {
	c := newCourt(t)
	free := 0
	for i := range c.vectors {
		v := &c.vectors[i]
		b := unhex(t, v.Hex)
		if err := c.judge(t, v, b); err != nil && !errors.Is(err, gbcs.ErrNoPreCommand) {
			t.Fatalf("%s does not pass unchanged: %v", v.Name, err)
		}
		from, to := 0, 0
		if v.Kind == "precommand" {
			from, to = freeBytes(parse(t, b))
		}
		for at := range b {
			for bit := range 8 {
				b[at] ^= 1 << bit
				if from <= at && at < to {
					if err := c.judge(t, v, b); err != nil {
						t.Errorf("%s: issuer event id: %v", v.Name, err)
					}
					free++
				} else {
					c.refuse(t, v, b, "bit %d of byte %d flipped", bit, at)
				}
				b[at] ^= 1 << bit
			}
		}
	}
	c.report(t, 80_000)
	t.Logf("free by design: %d bits, the issuer event id of GCS02 and GCS39 Pre-Commands", free)
	if free != 2*4*8 {
		t.Errorf("%d bits of Pre-Commands are free, want those of two issuer event ids", free)
	}
}

func TestAttackTruncation(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		b := unhex(t, v.Hex)
		for n := range b {
			c.refuse(t, v, b[:n:n], "%d of %d bytes", n, len(b))
			c.refuse(t, v, b[n+1:], "the first %d bytes cut off", n+1)
		}
	}
	c.report(t, 20_000)
}

func TestAttackTrailingBytes(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		raw := unhex(t, v.Hex)
		m := parse(t, raw)
		for _, extra := range [][]byte{{0}, {1}, {64}, {0, 0}, make([]byte, 12), make([]byte, 65), raw} {
			if v.Kind == "precommand" && len(extra) == 1 && extra[0] == 0 {
				continue // the null signature byte that DUIS asks for
			}
			c.refuse(t, v, slices.Concat(raw, extra), "%d bytes after it", len(extra))
			if m.MAC != nil { // between the message and a MAC made for both
				c.refuse(t, v, c.wrap(t, v, m.Header, slices.Concat(m.Inner(), extra)), "%d bytes before its MAC", len(extra))
			}
			longer := slices.Concat(m.Payload, extra)
			c.refuse(t, v, c.rebuild(t, v, m, m.Header, longer), "%d bytes after its payload", len(extra))
		}
	}
	c.report(t, 1_000)
}

// wrap puts a message under a MAC that is right for it.
func (c *court) wrap(t *testing.T, v *vector, h gbcs.Header, inner []byte) []byte {
	return gbcs.AppendMAC(nil, inner, h.Originator, c.key(t, v, h))
}

// rebuild makes the vector's message again with another header or payload. Its MAC
// is right, as if by who holds the key; its signature is the old one.
func (c *court) rebuild(t *testing.T, v *vector, m *gbcs.Message, h gbcs.Header, payload []byte) []byte {
	return c.protect(t, v, m, h, gbcs.AppendMessage(nil, h, payload))
}

// protect ends a message that has no signature field yet as the vector ends.
func (c *court) protect(t *testing.T, v *vector, m *gbcs.Message, h gbcs.Header, message []byte) []byte {
	switch {
	case m.Signature != nil:
		message = slices.Concat(message, []byte{64}, m.Signature)
	case m.NullSignature:
		message = append(message, 0)
	}
	if m.MAC != nil {
		return c.wrap(t, v, h, message)
	}
	return message
}

// The lengths of the outside, each one less and one more, and in every form but
// the shortest.
func TestAttackLengthsOfTheOutside(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		raw := unhex(t, v.Hex)
		m := parse(t, raw)
		start := bytes.Index(raw, m.Inner())
		at := start + bytes.LastIndex(m.Inner(), m.Payload) // of the payload
		dateTime := start + 29
		otherInformation := dateTime + 1
		if m.HasDateTime {
			otherInformation += 12
		}
		single := map[string]int{
			"transaction id": start + 1, "originator": start + 11, "target": start + 20,
			"date-time": dateTime, "other information": otherInformation,
		}
		if m.Signature != nil || m.NullSignature {
			single["signature"] = at + len(m.Payload)
		}
		for what, offset := range single {
			for _, by := range []byte{1, 0xFF} {
				b := bytes.Clone(raw)
				b[offset] += by
				c.refuse(t, v, b, "length of %s %02x", what, b[offset])
			}
		}
		// A length that can have several forms: its value off by one, and its other forms.
		outside := map[string][2]int{"payload": {otherInformation + 3, len(m.Payload)}}
		if m.MAC != nil {
			outside["MAC Header"] = [2]int{7, len(raw) - (start - 5)}
		}
		for what, l := range outside {
			offset, n := l[0], l[1]
			end := offset + len(shortest(n))
			if !bytes.Equal(raw[offset:end], shortest(n)) {
				t.Fatalf("%s: length of %s is not at %d", v.Name, what, offset)
			}
			forms := [][]byte{shortest(n - 1), shortest(n + 1), {0x80}, {0x83, 0, byte(n >> 8), byte(n)}, {0x84, 0, 0, byte(n >> 8), byte(n)}, {0xFF}}
			if n < 0x80 {
				forms = append(forms, []byte{0x81, byte(n)})
			}
			if n < 0x100 {
				forms = append(forms, []byte{0x82, 0, byte(n)})
			}
			for _, form := range forms {
				b := slices.Concat(raw[:offset], form, raw[end:])
				c.refuse(t, v, b, "length of %s as %x", what, form)
				if what == "payload" && m.MAC != nil { // with a MAC that is right
					c.refuse(t, v, c.wrap(t, v, m.Header, b[start:len(b)-12]), "length of %s as %x under a MAC", what, form)
				}
			}
		}
	}
	c.report(t, 1_500)
}

func shortest(n int) []byte {
	switch {
	case n < 0x80:
		return []byte{byte(n)}
	case n < 0x100:
		return []byte{0x81, byte(n)}
	}
	return []byte{0x82, byte(n >> 8), byte(n)}
}
