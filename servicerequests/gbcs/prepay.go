package gbcs

import (
	"fmt"

	"safemode/servicerequests"
)

// PrepayValues are the instantaneous prepayment values of 4.3.
type PrepayValues struct {
	MeterBalance           servicerequests.Millipence
	EmergencyCreditBalance servicerequests.Millipence
	AccumulatedDebt        servicerequests.Millipence
	TimeDebt               [2]servicerequests.Millipence
	PaymentDebt            servicerequests.Millipence
}

// Encrypted values: security header 31 00000000, ciphertext, tag (12). AES-128-GCM
// with the key of [ModeEncryption], the MAC's IV, AAD 31.
const (
	securityHeader = "\x31\x00\x00\x00\x00"

	// Plaintexts: ESME a structure of six double-longs, GSME six attribute records.
	electricityPrepayLength = 34
	gasPrepayLength         = 48
)

// gasPrepayGets is the GCS14 request.
const gasPrepayGets = "\x01\x09\x02" +
	"\x00\x07\x00\x00\x07\x00\x00\x00\x17\x06\x16\x06" +
	"\x01\x07\x05\x00\x0F\x00\x01\x00\x05\x00\x02\x00\x01\x00\x31\x02\x11\x02\x21\x02"

// readProtectedRequest reads an ECS19 request from after the invoke id: get the
// protected attribute 0-0:94.44.34.30, with the parties as protection parameters.
func readProtectedRequest(r *reader, h Header) {
	r.expect("\x00\x01"+action+"\x00\x1E\x00\x00\x2B\x02\x01\xFF\x01"+"\x01\x02\x02"+
		"\x01\x01\x02\x05\x12\x00\x01\x09\x06\x00\x00\x5E\x2C\x22\x1E\x0F\x02\x12\x00\x00\x02\x02\x16\x00\x00", "protected attributes")
	(&layout{r: r}).protection(h)
}

// protection is the protection parameters: mode 04, counter and parties, and how keys are agreed.
func (l *layout) protection(h Header) {
	l.fixed("\x01\x01\x02\x02\x16\x02\x02\x05\x09\x09\x04", "protection parameters")
	for _, party := range [...]struct {
		head  string
		value uint64
		what  string
	}{
		{"", h.Counter, "counter"},
		{"\x09\x08", uint64(h.Originator), "originator"},
		{"\x09\x08", uint64(h.Target), "target"},
	} {
		value := party.value
		l.fixed(party.head, party.what)
		if l.u64(&value, party.what); value != party.value {
			l.fail("protection parameters: %s is not the header's", party.what)
		}
	}
	l.fixed("\x09\x00\x02\x02\x16\x02\x02\x02\x09\x01\x02\x09\x00", "protection parameters")
}

// encrypted is encrypted values of which so many bytes are values.
func (l *layout) encrypted(ciphertext *[]byte, values int) {
	l.one(byte(len(securityHeader)+values+macLength), "length of encrypted values")
	l.fixed(securityHeader, "security header")
	l.part(ciphertext, values+macLength, "encrypted values")
}

// SealPrepayValues encrypts the values for [Response.Ciphertext] of the Response
// with header h, an ECS19 or GCS14. key is [EncryptionKey] for h.
func SealPrepayValues(h Header, key [16]byte, v PrepayValues) ([]byte, error) {
	l := layout{out: make([]byte, 0, gasPrepayLength)}
	switch h.Code {
	case codeECS19:
		l.fixed("\x02\x01\x02\x06", "values")
		for _, a := range [...]*servicerequests.Millipence{
			&v.MeterBalance, &v.EmergencyCreditBalance, &v.AccumulatedDebt, &v.TimeDebt[0], &v.TimeDebt[1], &v.PaymentDebt,
		} {
			l.doubleLong(a, "amount")
		}
	case codeGCS14:
		var success byte
		attribute(&l, 0x0005, typeInt32, &v.AccumulatedDebt, &success)
		attribute(&l, 0x0002, typeInt32, &v.EmergencyCreditBalance, &success)
		attribute(&l, 0x0001, typeInt32, &v.MeterBalance, &success)
		attribute(&l, 0x0231, typeUint32, &v.PaymentDebt, &success)
		attribute(&l, 0x0211, typeUint32, &v.TimeDebt[0], &success)
		attribute(&l, 0x0221, typeUint32, &v.TimeDebt[1], &success)
	default:
		l.fail("%w: %04X", ErrUnknownUseCase, h.Code)
	}
	if l.wrong != nil {
		return nil, fmt.Errorf("prepay values: %w", l.wrong)
	}
	iv := iv(h.Originator)
	return newGCM(key).Seal(nil, iv[:], l.out, []byte{0x31}), nil
}
