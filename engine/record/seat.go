package record

import (
	"encoding/binary"

	"safemode/servicerequests"
)

// Seat is which meter stands at a place of a plan. A plan's header names the hash of its
// seats, so that a kept state can be held to the plan without its lines.
type Seat struct {
	Device, Hub, Originator servicerequests.EUI
	Type                    servicerequests.DeviceType
	Region                  servicerequests.Region
}

// Append writes it in 26 bytes.
func (s Seat) Append(b []byte) []byte {
	for _, eui := range [...]servicerequests.EUI{s.Device, s.Hub, s.Originator} {
		b = binary.BigEndian.AppendUint64(b, uint64(eui))
	}
	return append(b, byte(s.Type), byte(s.Region))
}
