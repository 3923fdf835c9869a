package gbcs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"safemode/servicerequests"
)

// ErrDecrypt marks encrypted values that do not open with the key given, or hold
// something else inside.
var ErrDecrypt = errors.New("encrypted values do not open")

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

func encryptionAAD() []byte { return []byte{0x31} }

// gasPrepayGets is the GCS14 request.
const gasPrepayGets = "\x01\x09\x02" +
	"\x00\x07\x00\x00\x07\x00\x00\x00\x17\x06\x16\x06" +
	"\x01\x07\x05\x00\x0F\x00\x01\x00\x05\x00\x02\x00\x01\x00\x31\x02\x11\x02\x21\x02"

// readProtectedRequest reads an ECS19 request from after the invoke id: get the
// protected attribute 0-0:94.44.34.30, with the parties as protection parameters.
func readProtectedRequest(r *reader, h Header) {
	r.expect("\x00\x01"+action+"\x00\x1E\x00\x00\x2B\x02\x01\xFF\x01"+"\x01\x02\x02"+
		"\x01\x01\x02\x05\x12\x00\x01\x09\x06\x00\x00\x5E\x2C\x22\x1E\x0F\x02\x12\x00\x00\x02\x02\x16\x00\x00", "protected attributes")
	readProtection(r, h)
}

// readProtection reads the protection parameters: mode 04, counter and parties.
func readProtection(r *reader, h Header) {
	r.expect("\x01\x01\x02\x02\x16\x02\x02\x05\x09\x09\x04", "protection parameters")
	if r.u64("counter") != h.Counter {
		r.fail("protection parameters: counter is not the header's")
	}
	r.expect("\x09", "originator")
	if r.eui("originator") != h.Originator {
		r.fail("protection parameters: originator is not the header's")
	}
	r.expect("\x09", "target")
	if r.eui("target") != h.Target {
		r.fail("protection parameters: target is not the header's")
	}
	r.expect(protectionEnd, "protection parameters")
}

const protectionEnd = "\x09\x00\x02\x02\x16\x02\x02\x02\x09\x01\x02\x09\x00"

func appendProtection(b []byte, h Header) []byte {
	b = append(b, "\x01\x01\x02\x02\x16\x02\x02\x05\x09\x09\x04"...)
	b = binary.BigEndian.AppendUint64(b, h.Counter)
	b = binary.BigEndian.AppendUint64(append(b, 9, 8), uint64(h.Originator))
	b = binary.BigEndian.AppendUint64(append(b, 9, 8), uint64(h.Target))
	return append(b, protectionEnd...)
}

// SealPrepayValues encrypts the values for [Response.Ciphertext] of the Response
// with header h, an ECS19 or GCS14. key is [EncryptionKey] for h.
func SealPrepayValues(h Header, key [16]byte, v PrepayValues) ([]byte, error) {
	amounts := [...]servicerequests.Millipence{
		v.MeterBalance, v.EmergencyCreditBalance, v.AccumulatedDebt, v.TimeDebt[0], v.TimeDebt[1], v.PaymentDebt,
	}
	for _, a := range amounts {
		if int64(a) != int64(int32(a)) {
			return nil, fmt.Errorf("prepay values: %s does not fit 32 bits", a)
		}
	}
	plain := make([]byte, 0, gasPrepayLength)
	switch h.Code {
	case codeECS19:
		plain = append(plain, 2, 1, 2, 6)
		for _, a := range amounts {
			plain = append(plain, 5)
			plain = binary.BigEndian.AppendUint32(plain, uint32(a))
		}
	case codeGCS14:
		plain = appendAttribute(plain, 0x0005, typeInt32, uint32(v.AccumulatedDebt))
		plain = appendAttribute(plain, 0x0002, typeInt32, uint32(v.EmergencyCreditBalance))
		plain = appendAttribute(plain, 0x0001, typeInt32, uint32(v.MeterBalance))
		if v.PaymentDebt < 0 || v.TimeDebt[0] < 0 || v.TimeDebt[1] < 0 {
			return nil, errors.New("prepay values: gas debts are unsigned")
		}
		plain = appendAttribute(plain, 0x0231, typeUint32, uint32(v.PaymentDebt))
		plain = appendAttribute(plain, 0x0211, typeUint32, uint32(v.TimeDebt[0]))
		plain = appendAttribute(plain, 0x0221, typeUint32, uint32(v.TimeDebt[1]))
	default:
		return nil, fmt.Errorf("prepay values: %w: %04X", ErrUnknownUseCase, h.Code)
	}
	iv := iv(h.Originator)
	return newGCM(key).Seal(nil, iv[:], plain, encryptionAAD()), nil
}

// OpenPrepayValues decrypts [Response.Ciphertext] of the Response with header h.
// key is [EncryptionKey] for h. Errors wrap [ErrDecrypt].
func OpenPrepayValues(h Header, key [16]byte, ciphertext []byte) (PrepayValues, error) {
	var v PrepayValues
	iv := iv(h.Originator)
	plain, err := newGCM(key).Open(nil, iv[:], ciphertext, encryptionAAD())
	if err != nil {
		return v, ErrDecrypt
	}
	r := newReader(plain)
	switch h.Code {
	case codeECS19:
		r.expect("\x02\x01\x02\x06", "values")
		for _, amount := range [...]*servicerequests.Millipence{
			&v.MeterBalance, &v.EmergencyCreditBalance, &v.AccumulatedDebt, &v.TimeDebt[0], &v.TimeDebt[1], &v.PaymentDebt,
		} {
			*amount = r.doubleLong("amount")
		}
	case codeGCS14:
		for _, a := range [...]struct {
			id     uint16
			typ    byte
			amount *servicerequests.Millipence
		}{
			{0x0005, typeInt32, &v.AccumulatedDebt},
			{0x0002, typeInt32, &v.EmergencyCreditBalance},
			{0x0001, typeInt32, &v.MeterBalance},
			{0x0231, typeUint32, &v.PaymentDebt},
			{0x0211, typeUint32, &v.TimeDebt[0]},
			{0x0221, typeUint32, &v.TimeDebt[1]},
		} {
			value, status := r.attribute(a.id, a.typ)
			if status != 0 {
				r.fail("attribute could not be read")
			}
			*a.amount = servicerequests.Millipence(value)
		}
	default:
		return v, fmt.Errorf("%w: %w: %04X", ErrDecrypt, ErrUnknownUseCase, h.Code)
	}
	if !r.done() {
		return PrepayValues{}, fmt.Errorf("%w: offset %d: %s", ErrDecrypt, r.at, r.what)
	}
	return v, nil
}
