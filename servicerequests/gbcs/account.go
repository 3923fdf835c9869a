package gbcs

import (
	"encoding/json"
	"math/bits"

	"safemode/servicerequests"
)

// AccountConfiguration is what a credit_charge_configuration (class 111,
// attribute 11) means: an array of {credit OBIS, charge OBIS, three bits}, credit
// 0-0:19.10.c.255, charge 0-0:19.20.h.255. Which pairs are there and the last of
// the three bits hold the meaning; the order of the pairs does not.
type AccountConfiguration struct {
	Mode                 servicerequests.PaymentMode
	TwinElement          bool
	SuspendDebtEmergency bool // Prepayment only, as the next
	SuspendDebtDisabled  bool
}

// A set of pairs: bit 8*credit+charge.
type pairSet uint32

func pair(credit, charge byte) pairSet { return 1 << (8*credit + charge) }

// A pair: what stands before credit, charge and bits.
const (
	pairCredit = "\x02\x03\x09\x06\x00\x00\x13\x0A"
	pairCharge = "\xFF\x09\x06\x00\x00\x13\x14"
	pairBits   = "\xFF\x04\x03"
)

const (
	collect      = 0xE0 // all three collection bits
	collectNotIf = 0xC0 // without the last: not while the supply is disabled

	longestAccount = 15
)

// accountPairs lists credit and charge of a prepayment account in the order of
// the test data: ten that are always there, three for SuspendDebtEmergency, two
// for the twin element.
var accountPairs = [longestAccount][2]byte{
	{0, 0},
	{0, 4},
	{0, 1},
	{0, 2},
	{0, 3},
	{1, 3},
	{1, 0},
	{1, 4},
	{1, 1},
	{1, 2},
	{2, 4},
	{2, 1},
	{2, 2},
	{0, 5},
	{1, 5},
}

// readAccountConfiguration accepts exactly the sets of pairs that the
// configuration can have (2 or 3 for credit; 10, 12, 13 or 15 for prepayment),
// each pair once and with agreeing bits.
func readAccountConfiguration(r *reader) (a AccountConfiguration) {
	r.expect("\x01", "credit and charge pairs")
	n := int(r.u8("number of credit and charge pairs"))
	if n > longestAccount {
		r.fail("number of credit and charge pairs is not one that exists")
		return a
	}
	var seen, suspended pairSet
	for range n {
		r.expect(pairCredit, "credit")
		credit := r.u8("credit")
		r.expect(pairCharge, "charge")
		charge := r.u8("charge")
		r.expect(pairBits, "collection bits")
		if credit > 2 || charge > 5 || seen&pair(credit, charge) != 0 {
			r.fail("credit and charge pair is not known or is there twice")
			return a
		}
		seen |= pair(credit, charge)
		switch r.u8("collection bits") {
		case collect:
		case collectNotIf:
			suspended |= pair(credit, charge)
		default:
			r.fail("collection bits are neither E0 nor C0")
		}
	}
	a.TwinElement = seen&pair(0, 5) != 0
	a.SuspendDebtEmergency = seen&pair(2, 4) != 0
	a.SuspendDebtDisabled = suspended != 0
	a.Mode = servicerequests.Credit
	if bits.OnesCount32(uint32(seen)) > 3 {
		a.Mode = servicerequests.Prepayment
	}
	if wantSeen, wantSuspended := a.sets(); seen != wantSeen || suspended != wantSuspended {
		r.fail("credit and charge pairs are no set that exists")
	}
	return a
}

// sets returns the pairs of the configuration and those of them with C0.
func (a AccountConfiguration) sets() (all, suspended pairSet) {
	a.each(func(credit, charge, collection byte) {
		all |= pair(credit, charge)
		if collection == collectNotIf {
			suspended |= pair(credit, charge)
		}
	})
	return all, suspended
}

// each calls yield for every pair in wire order.
func (a AccountConfiguration) each(yield func(credit, charge, collection byte)) {
	if a.Mode == servicerequests.Credit {
		yield(0, 0, collect)
		yield(0, 4, collect)
		if a.TwinElement {
			yield(0, 5, collect)
		}
		return
	}
	for _, p := range accountPairs {
		credit, charge := p[0], p[1]
		if credit == 2 && !a.SuspendDebtEmergency || charge == 5 && !a.TwinElement {
			continue
		}
		collection := byte(collect)
		if a.SuspendDebtDisabled && credit < 2 && (charge == 1 || charge == 2) {
			collection = collectNotIf
		}
		yield(credit, charge, collection)
	}
}

// account is the configuration's pairs.
func (l *layout) account(a *AccountConfiguration) {
	if !l.writes() {
		*a = readAccountConfiguration(l.r)
		return
	}
	l.out = append(l.out, 1, 0)
	n := len(l.out) - 1
	a.each(func(credit, charge, collection byte) {
		l.out[n]++
		l.out = append(append(l.out, pairCredit...), credit)
		l.out = append(append(l.out, pairCharge...), charge)
		l.out = append(append(l.out, pairBits...), collection)
	})
}

// MarshalJSON writes the payment mode in words.
func (a AccountConfiguration) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Mode                 string `json:"payment_mode"`
		TwinElement          bool   `json:"twin_element"`
		SuspendDebtEmergency bool   `json:"suspend_debt_emergency"`
		SuspendDebtDisabled  bool   `json:"suspend_debt_disabled"`
	}{a.Mode.String(), a.TwinElement, a.SuspendDebtEmergency, a.SuspendDebtDisabled})
}
