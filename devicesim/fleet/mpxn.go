package fleet

import (
	"errors"
	"fmt"

	"safemode/servicerequests"
)

// ErrMPxN marks text that is no MPAN (electricity) or MPRN (gas).
var ErrMPxN = errors.New("not an MPxN")

// ParseMPxN reads an MPAN of 13 digits with a right check digit, for an ESME, or
// an MPRN of 6 to 10 digits, for a GSME. Errors wrap [ErrMPxN].
func ParseMPxN(text string, kind servicerequests.DeviceType) (MPxN, error) {
	var n MPxN
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return n, fmt.Errorf("%q: %w: want digits", text, ErrMPxN)
		}
	}
	switch {
	case kind == servicerequests.ESME && len(text) != 13:
		return n, fmt.Errorf("%q: %w: an MPAN has 13 digits", text, ErrMPxN)
	case kind == servicerequests.GSME && (len(text) < 6 || len(text) > 10):
		return n, fmt.Errorf("%q: %w: an MPRN has 6 to 10 digits", text, ErrMPxN)
	}
	copy(n[:], text)
	if kind == servicerequests.ESME && n[12] != checkDigit(n) {
		return MPxN{}, fmt.Errorf("%q: %w: the check digit should be %c", text, ErrMPxN, checkDigit(n))
	}
	return n, nil
}

// checkDigit is the thirteenth digit of an MPAN: the weighted sum of the first
// twelve, modulo 11, modulo 10.
func checkDigit(n MPxN) byte {
	weights := [12]int{3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43}
	sum := 0
	for i, w := range weights {
		sum += w * int(n[i]-'0')
	}
	return '0' + byte(sum%11%10)
}

// distributors has a distributor's identifier, the first two digits of an
// MPAN, from each region.
var distributors = [...]byte{
	servicerequests.North: 16, servicerequests.North4G: 18,
	servicerequests.Central: 11, servicerequests.Central4G: 14,
	servicerequests.South: 19, servicerequests.South4G: 22,
}

func mpan(region servicerequests.Region, id uint32) (n MPxN) {
	d := distributors[region]
	n[0], n[1] = '0'+d/10, '0'+d%10
	putDigits(n[2:12], uint64(id))
	n[12] = checkDigit(n)
	return n
}

// mprn has ten digits, of which the first is not 0: identifiers fill 32 bits.
func mprn(id uint32) (n MPxN) {
	putDigits(n[:10], mprnBase+uint64(id))
	return n
}

const mprnBase = 5_000_000_000

// digits reads decimal digits; for other characters the result is arbitrary.
func digits(field []byte) (value uint64) {
	for _, c := range field {
		value = value*10 + uint64(c-'0')
	}
	return value
}

func putDigits(field []byte, value uint64) {
	for i := len(field) - 1; i >= 0; i-- {
		field[i] = '0' + byte(value%10)
		value /= 10
	}
}
