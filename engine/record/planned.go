package record

import (
	"encoding/binary"

	"safemode/servicerequests"
)

// PlannedMeter is which meter a plan names at a place. The plan's header has the hash of all,
// so that a kept state can be compared with the plan without its lines.
type PlannedMeter struct {
	Device, Hub, Originator servicerequests.EUI
	Type                    servicerequests.DeviceType
	Region                  servicerequests.Region
}

// Append appends it in 26 bytes: three EUIs, type, region.
func (m PlannedMeter) Append(b []byte) []byte {
	for _, eui := range [...]servicerequests.EUI{m.Device, m.Hub, m.Originator} {
		b = binary.BigEndian.AppendUint64(b, uint64(eui))
	}
	return append(b, byte(m.Type), byte(m.Region))
}
