package gbcs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"safemode/servicerequests/gbcs"
)

// court judges messages as those do who act on them: a Pre-Command as the signer,
// a Response or Alert as package proof, a Command as a meter. A vector's keys
// stay the vector's, whatever a forged header says, and no judge asks here
// whether the message was expected: what it lets pass it would believe.
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

// rebuild makes the vector's message anew with another header or payload. Its MAC
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
		// What has a length of several forms: its value off by one, its other forms.
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

// A date-time or other-information of a length that the use case does not have,
// with all that is around it made to fit.
func TestAttackHeaderOfOtherLength(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		inner := m.Inner()[:len(m.Inner())-signatureFieldOf(m)]
		after := 30
		if m.HasDateTime {
			after += 12
		}
		for _, n := range []int{0, 1, 11, 12, 13, 127} {
			if m.HasDateTime == (n == 12) && (n == 12 || n == 0) {
				continue // as it is
			}
			forged := slices.Concat(inner[:29], []byte{byte(n)}, make([]byte, n), inner[after:])
			c.refuse(t, v, c.protect(t, v, m, m.Header, forged), "a date-time of %d bytes", n)
		}
		for _, n := range []int{0, 1, 3, 10, 18, 26, 127} {
			code := make([]byte, n)
			copy(code, inner[after+1:after+3])
			forged := slices.Concat(inner[:after], []byte{byte(n)}, code, inner[after+3:])
			c.refuse(t, v, c.protect(t, v, m, m.Header, forged), "other information of %d bytes", n)
		}
	}
	c.report(t, 800)
}

func signatureFieldOf(m *gbcs.Message) int {
	switch {
	case m.Signature != nil:
		return 65
	case m.NullSignature:
		return 1
	}
	return 0
}

// A message of one kind in place of another, and the flag changed under a MAC that
// is right for the changed flag.
func TestAttackCRAConfusion(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		for cra := range 256 {
			h := m.Header
			if h.CRA = gbcs.CRA(cra); h.CRA != m.CRA {
				c.refuse(t, v, c.rebuild(t, v, m, h, m.Payload), "CRA flag %02x", cra)
			}
		}
		for j := range c.vectors {
			if o := &c.vectors[j]; o.Kind != v.Kind {
				c.refuse(t, v, unhex(t, o.Hex), "%s in its place", o.Name)
			}
		}
	}
	c.report(t, 20_000)
}

func TestAttackSwappedParties(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		h := m.Header
		h.Originator, h.Target = h.Target, h.Originator
		swapped := c.rebuild(t, v, m, h, m.Payload)
		if m.MAC != nil { // the old MAC
			swapped = append(swapped[:len(swapped)-len(m.MAC)], m.MAC...)
		}
		c.refuse(t, v, swapped, "originator and target swapped")
		if v.Kind != "response" {
			continue
		}
		// Even under a MAC that is right it answers nothing that was asked.
		u, _ := gbcs.LookupUseCase(m.Code)
		e := gbcs.Expected{Service: u.Service, Device: u.Device, ID: m.ID().Reversed()}
		if err := e.MatchResponse(parse(t, c.rebuild(t, v, m, h, m.Payload))); err == nil {
			t.Errorf("%s: taken for an answer with its parties swapped", v.Name)
		}
	}
	c.report(t, len(c.vectors))
}

func TestAttackCounterOutOfRange(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		for _, counter := range []uint64{0, 1 << 63, 1<<63 + 1000, 1<<64 - 1} {
			h := m.Header
			h.Counter = counter
			b := c.rebuild(t, v, m, h, m.Payload)
			c.refuse(t, v, b, "counter %d", counter)
			if _, err := gbcs.Parse(b); !errors.Is(err, gbcs.ErrMalformed) {
				t.Errorf("%s: counter %d: %v", v.Name, counter, err)
			}
		}
		if m.MAC == nil { // a counter in range, and not the one that was signed or asked for
			h := m.Header
			h.Counter++
			c.refuse(t, v, c.rebuild(t, v, m, h, m.Payload), "the next counter")
		}
	}
	c.report(t, 4*len(c.vectors))
}

// Every message code but its own, under a MAC that is right.
func TestAttackMessageCode(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		own, known := gbcs.LookupUseCase(m.Code)
		for code := range 0x10000 {
			h := m.Header
			if h.Code = uint16(code); h.Code == m.Code {
				continue
			}
			other, isUseCase := gbcs.LookupUseCase(h.Code)
			if !isUseCase && code%251 != 0 && code != 0x0055 && code != 0x0062 && code != 0x007F {
				continue // a sample of the unknown ones, and three that many use cases share
			}
			forged := c.rebuild(t, v, m, h, m.Payload)
			if v.Kind == "command" && known && !own.Critical && isUseCase && own.Service == other.Service && own.Device == other.Device {
				continue // GCS60 and GCS60a have one payload
			}
			c.refuse(t, v, forged, "message code %04X", code)
		}
	}
	c.report(t, 10_000)
}

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
