package forbidden

import (
	"encoding/binary"

	"safemode/servicerequests/gbcs"
)

// DLMS objects: class and OBIS.
const (
	account     = "\x00\x6F\x00\x01\x13\x00\x00\xFF" // 111 Account 0-1:19.0.0.255, passive
	threshold   = "\x23\x28\x00\x00\x5E\x2C\x80\x16" // 9000 0-0:94.44.128.22
	scriptTable = "\x00\x09\x00\x00\x0A\x00\x6A\xFF" // 9 0-0:10.0.106.255
)

// Specifications of the two switches: set, object, attribute.
const (
	setMode           = "\x02" + account + "\x02"
	setThreshold      = "\x02" + threshold + "\x04"
	setPairs          = "\x02" + account + "\x0B"
	setThresholdTime  = "\x02" + threshold + "\x06"
	setActivationTime = "\x02" + account + "\x0D"

	modeCredit     = "\x02\x02\x16\x01\x16\x01"
	modePrepayment = "\x02\x02\x16\x02\x16\x01"
)

func (c Command) electricity() []byte {
	b := append([]byte{0xD9, 0x20}, byte(c.ID.Counter>>16), byte(c.ID.Counter>>8), byte(c.ID.Counter), 0)
	switch c.Kind {
	case Enable:
		return append(b, "\x01\x03"+scriptTable+"\x01\x01\x12\x00\x33"...)
	case Disable:
		return append(b, "\x01\x03"+scriptTable+"\x01\x01\x12\x00\x34"...)
	case ToCredit:
		b = append(b, "\x03"+setMode+setPairs+setActivationTime+"\x03"+modeCredit...)
		b = appendPairs(b, []pair{{meterBalance, standing, collected}, {meterBalance, debtToBalance, collected}})
		return c.Timing.appendDateTime(b)
	default:
		b = append(b, "\x05"+setMode+setThreshold+setPairs+setThresholdTime+setActivationTime+"\x05"+modePrepayment+"\x05"...)
		b = binary.BigEndian.AppendUint32(b, uint32(c.Prepayment.DisablementThreshold))
		b = appendPairs(b, c.Prepayment.pairs())
		return c.Timing.appendDateTime(c.Timing.appendDateTime(b))
	}
}

// appendDateTime appends an octet string of 12.
func (t Timing) appendDateTime(b []byte) []byte {
	b = append(b, 0x09, 0x0C)
	switch {
	case t.Cancel:
		return append(b, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x80\x00\xFF"...)
	case t.At.IsZero():
		return append(b, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00\xFF"...)
	}
	at := gbcs.NewDateTime(t.At, 0xFF)
	return append(b, at[:]...)
}

// pair says that a credit pays for a charge: credit 0-0:19.10.n.255, charge
// 0-0:19.20.m.255. The meaning of the three bits of the configuration is not known
// beyond the rule in [Prepayment.pairs].
type pair struct{ credit, charge, bits byte }

const (
	meterBalance    = 0 // credits
	emergencyCredit = 1
	accumulatedDebt = 2

	standing      = 0 // charges
	timeDebt1     = 1
	timeDebt2     = 2
	paymentDebt   = 3
	debtToBalance = 4

	collected     = 0xE0 // bits
	notWhenClosed = 0xC0
)

// pairs lists the configuration of prepayment on a single element meter.
// Suspending debt while disabled clears the last bit of the time debts; debt
// that is suspended during emergency credit is collected from the accumulated
// debt register.
func (p Prepayment) pairs() []pair {
	timeDebt := byte(collected)
	if p.SuspendDebtDisabled {
		timeDebt = notWhenClosed
	}
	list := []pair{
		{meterBalance, standing, collected},
		{meterBalance, debtToBalance, collected},
		{meterBalance, timeDebt1, timeDebt},
		{meterBalance, timeDebt2, timeDebt},
		{meterBalance, paymentDebt, collected},
		{emergencyCredit, paymentDebt, collected},
		{emergencyCredit, standing, collected},
		{emergencyCredit, debtToBalance, collected},
		{emergencyCredit, timeDebt1, timeDebt},
		{emergencyCredit, timeDebt2, timeDebt},
	}
	if p.SuspendDebtEmergency {
		list = append(list,
			pair{accumulatedDebt, debtToBalance, collected},
			pair{accumulatedDebt, timeDebt1, collected},
			pair{accumulatedDebt, timeDebt2, collected})
	}
	return list
}

func appendPairs(b []byte, list []pair) []byte {
	b = append(b, 0x01, byte(len(list)))
	for _, p := range list {
		b = append(b, 0x02, 0x03)
		b = append(b, 0x09, 0x06, 0, 0, 0x13, 0x0A, p.credit, 0xFF)
		b = append(b, 0x09, 0x06, 0, 0, 0x13, 0x14, p.charge, 0xFF)
		b = append(b, 0x04, 0x03, p.bits)
	}
	return b
}
