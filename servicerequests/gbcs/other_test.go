package gbcs_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

// otherTraffic are messages that a User gets and the engine did not ask for.
func otherTraffic(t testing.TB) (all []vector) {
	t.Helper()
	var content struct{ Vectors []vector }
	outside.Decode(t, "gbcs-other-traffic.json", &content)
	if len(content.Vectors) < 4 {
		t.Fatalf("%d messages, want 4", len(content.Vectors))
	}
	return content.Vectors
}

// Header, signature and MAC of every message are read, whatever its use case is. Both
// prove, so nothing of it was read wrong.
func TestOtherTraffic(t *testing.T) {
	ring := loadKeys(t)
	want := map[string]struct {
		kind          gbcs.Kind
		code          uint16
		supplementary string
		payload       int // bytes
	}{
		"ECS22b_4.8.1_SINGLE_SUCCESS_RESPONSE":      {gbcs.KindResponse, 0x0037, "", 488},
		"CS06_11.3_8F66_FUTURE_DATED_SUCCESS_ALERT": {gbcs.KindAlert, 0x00CA, "", 39},
		"ECS21c_4.6.2_SUCCESS_RESPONSE":             {gbcs.KindResponse, 0x0035, "90b3d51f3001000000000000000003ea", 266},
		"ECS200_NA_8F88_ALERT":                      {gbcs.KindAlert, 0x0123, "90b3d51f30010008", 81},
	}
	for _, v := range otherTraffic(t) {
		raw := unhex(t, v.Hex)
		m := parse(t, raw)
		expected := want[v.Name]
		if m.Kind != expected.kind || m.Code != expected.code || hex.EncodeToString(m.Supplementary) != expected.supplementary || len(m.Payload) != expected.payload {
			t.Errorf("%s: %v of code %04X, supplementary %x, payload of %d bytes", v.Name, m.Kind, m.Code, m.Supplementary, len(m.Payload))
		}
		if m.Signature != nil {
			if err := m.VerifySignature(ring.signing["00db1234567890a0"]); err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		} else {
			recipient := strings.ToLower(strings.ReplaceAll(m.Target.String(), "-", ""))
			z, err := gbcs.SharedSecret(ring.private[recipient], ring.agreement["00db1234567890a0"])
			if err == nil {
				err = m.VerifyMAC(gbcs.DeriveKeyFromSecret(z, gbcs.ModeResponse, m.Originator, m.Counter, m.Target))
			}
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
		if again := encode(m); !bytes.Equal(again, raw) {
			t.Errorf("%s: encoded again\n%x\nwant\n%x", v.Name, again, raw)
		}
		d := gbcs.Describe(m)
		if d.Note == "" || d.Error != "" || d.Payload != hex.EncodeToString(m.Payload) || (d.MACHeader == nil) != (m.MAC == nil) || strings.Join(d.Supplementary, "") != expected.supplementary {
			t.Errorf("%s: described as %+v", v.Name, d)
		}
		for n := range raw {
			if _, err := gbcs.Parse(raw[:n]); m.MAC != nil && !errors.Is(err, gbcs.ErrMalformed) {
				t.Errorf("%s: first %d bytes: %v, want ErrMalformed", v.Name, n, err)
			}
		}
	}
}

// A message under a code that is decoded here may have no supplementary values and no
// counter of a top-up. Under another code it may have both, but at most three values,
// of eight bytes each.
func TestHeadersOfOtherUseCases(t *testing.T) {
	message := func(code uint16, counter uint64, extra ...byte) []byte {
		b := gbcs.AppendNull(nil, gbcs.Header{CRA: gbcs.CRAResponse, Counter: counter, Originator: 2, Target: 3, Code: code}, []byte{1, 2, 3})
		b[30] += byte(len(extra))
		return gbcs.AppendMAC(nil, slices.Insert(b, 33, extra...), 2, [16]byte{})
	}
	const ours, other = 0x0052, 0x0037
	eight := make([]byte, 8)
	for name, test := range map[string]struct {
		message []byte
		fine    bool
	}{
		"ours":                         {message(ours, 1), true},
		"ours, longer":                 {message(ours, 1, eight...), false},
		"ours, counter of a top-up":    {message(ours, 1<<63), false},
		"ours, counter 0":              {message(ours, 0), false},
		"other":                        {message(other, 1), true},
		"other, longer":                {message(other, 1, eight...), true},
		"other, all three values":      {message(other, 1, slices.Concat(eight, eight, eight)...), true},
		"other, four values":           {message(other, 1, slices.Concat(eight, eight, eight, eight)...), false},
		"other, nine bytes":            {message(other, 1, make([]byte, 9)...), false},
		"other, counter of a top-up":   {message(other, 1<<63), true},
		"an Alert's, longer":           {message(0x1001, 1, eight...), false},
		"a future-dated one's, longer": {message(0x00CC, 1, eight...), false},
	} {
		if _, err := gbcs.Parse(test.message); (err == nil) != test.fine || err != nil && !errors.Is(err, gbcs.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
