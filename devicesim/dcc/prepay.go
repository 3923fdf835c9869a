package dcc

import (
	"encoding/binary"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// readPrepayValues is the one read outside the permitted set that this DCC sends
// on: 4.3. A device encrypts its answer for the supplier. The engine's codec
// has no encoder for it.
const readPrepayValues = "4.3"

// An ECS19 payload up to and after the invoke id: class 30 Data Protection
// 0-0:43.2.1.255, method get_protected_attributes, of class 1 0-0:94.44.34.30,
// attribute 2. The protection parameters follow: mode 04 with the counter, the
// parties, and that keys are agreed and how.
const (
	accessRequest       = "\xD9\x20"
	protectedAttributes = "\x00\x01\x03\x00\x1E\x00\x00\x2B\x02\x01\xFF\x01" +
		"\x01\x02\x02" +
		"\x01\x01\x02\x05\x12\x00\x01\x09\x06\x00\x00\x5E\x2C\x22\x1E\x0F\x02\x12\x00\x00\x02\x02\x16\x00\x00" +
		"\x01\x01\x02\x02\x16\x02\x02\x05\x09\x09\x04"
	agreedKeys = "\x09\x00\x02\x02\x16\x02\x02\x02\x09\x01\x02\x09\x00"
)

// gasPrepayGets is a GCS14 payload: scale and currency, then the six values.
const gasPrepayGets = "\x01\x09\x02" +
	"\x00\x07\x00\x00\x07\x00\x00\x00\x17\x06\x16\x06" +
	"\x01\x07\x05\x00\x0F\x00\x01\x00\x05\x00\x02\x00\x01\x00\x31\x02\x11\x02\x21\x02"

// appendPrepayRead appends the message of a 4.3, without MAC.
func appendPrepayRead(b []byte, q request, kind servicerequests.DeviceType) []byte {
	id := q.ID
	h := gbcs.Header{
		CRA: gbcs.CRACommand, Counter: id.Counter, Originator: id.Originator, Target: id.Target, Code: q.Variant.UseCases[kind][0].Code,
	}
	if kind != servicerequests.ESME {
		return gbcs.AppendNull(b, h, []byte(gasPrepayGets))
	}
	payload := append([]byte(accessRequest), byte(id.Counter>>16), byte(id.Counter>>8), byte(id.Counter))
	payload = append(payload, protectedAttributes...)
	payload = binary.BigEndian.AppendUint64(payload, id.Counter)
	payload = binary.BigEndian.AppendUint64(append(payload, 9, 8), uint64(id.Originator))
	payload = binary.BigEndian.AppendUint64(append(payload, 9, 8), uint64(id.Target))
	return gbcs.AppendNull(b, h, append(payload, agreedKeys...))
}
