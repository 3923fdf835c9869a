package servicerequests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Millipence is money in thousandths of a penny (10^-5 GBP), the unit of the
// meters' balances. Positive is credit for the consumer unless said otherwise.
type Millipence int64

// Pound is one pound in [Millipence].
const Pound Millipence = 100_000

// String writes pounds with five decimals, like -1.23456.
func (m Millipence) String() string {
	sign := ""
	if m < 0 {
		sign, m = "-", -m
	}
	return fmt.Sprintf("%s%d.%05d", sign, m/Pound, m%Pound)
}

// DeviceType is the kind of device behind an EUI, in DUIS's words.
type DeviceType uint8

// The device types the permitted set can meet.
const (
	UnknownDevice DeviceType = iota
	ESME                     // electricity meter
	GSME                     // gas meter, battery powered and mostly asleep
	GPF                      // gas proxy: the gas meter's mirror on the mains-powered hub
	CHF                      // communications hub
)

var deviceTypeNames = [...]string{"unknown", "ESME", "GSME", "GPF", "CHF"}

func (t DeviceType) String() string { return enumName(deviceTypeNames[:], int(t)) }

// Fuel returns the fuel that a device measures or stands in for: electricity or gas; empty for
// a hub.
func (t DeviceType) Fuel() string {
	switch t {
	case ESME:
		return "electricity"
	case GSME, GPF:
		return "gas"
	}
	return ""
}

// ParseDeviceType reads ESME, GSME, GPF or CHF.
func ParseDeviceType(text string) (DeviceType, error) {
	return parseName[DeviceType](deviceTypeNames[:], 1, "device type", "ESME, GSME, GPF or CHF", text)
}

// PaymentMode is how a meter charges for supply.
type PaymentMode uint8

// The payment modes; UnknownMode means that nobody has proved which.
const (
	UnknownMode PaymentMode = iota
	Credit
	Prepayment
)

var paymentModeNames = [...]string{"unknown", "credit", "prepayment"}

func (m PaymentMode) String() string { return enumName(paymentModeNames[:], int(m)) }

// ParsePaymentMode reads unknown, credit or prepayment.
func ParsePaymentMode(text string) (PaymentMode, error) {
	return parseName[PaymentMode](paymentModeNames[:], 0, "payment mode", "unknown, credit or prepayment", text)
}

// SupplyState is the state of a meter's load switch or valve. A tamper lock
// has no value of its own in the wire format: it reads as Disabled.
type SupplyState uint8

// The supply states. Their numbers in the wire format differ between ESME and GSME;
// package gbcs has them.
const (
	UnknownSupply SupplyState = iota
	Disabled                  // off; the consumer cannot turn it on
	Armed                     // off; the consumer can turn it on at the meter
	Enabled                   // on
)

var supplyStateNames = [...]string{"unknown", "disabled", "armed", "enabled"}

func (s SupplyState) String() string { return enumName(supplyStateNames[:], int(s)) }

// ParseSupplyState reads unknown, disabled, armed or enabled.
func ParseSupplyState(text string) (SupplyState, error) {
	return parseName[SupplyState](supplyStateNames[:], 0, "supply state", "unknown, disabled, armed or enabled", text)
}

// Region is the Communications Service Provider region of a hub, as DUIS names it.
type Region uint8

// The regions of SMETS2 meters (DUIS CSPRegion; SMETS1 and Unknown are not served).
const (
	UnknownRegion Region = iota
	North
	Central
	South
	North4G
	Central4G
	South4G
)

// Regions lists every region that can be served.
var Regions = [...]Region{North, Central, South, North4G, Central4G, South4G}

var regionNames = [...]string{"unknown", "North", "Central", "South", "4G North", "4G Central", "4G South"}

func (r Region) String() string { return enumName(regionNames[:], int(r)) }

// Plain returns the region that a 4G region lies in, and every other region as it
// is.
func (r Region) Plain() Region {
	switch r {
	case North4G:
		return North
	case Central4G:
		return Central
	case South4G:
		return South
	}
	return r
}

// ParseRegion reads North, Central, South, 4G North, 4G Central or 4G South.
func ParseRegion(text string) (Region, error) {
	return parseName[Region](regionNames[:], 1, "CSP region", strings.Join(regionNames[1:], ", "), text)
}

// parseName reads one of the names from a place on.
func parseName[T ~uint8](names []string, from int, what, want, text string) (T, error) {
	if i := slices.Index(names[from:], text); i >= 0 {
		return T(from + i), nil
	}
	return 0, fmt.Errorf("%s %q: want %s", what, text, want)
}

func enumName(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}

// MarshalText returns the name.
func (d DeviceType) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what [ParseDeviceType] reads.
func (d *DeviceType) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDeviceType(string(text))
	return err
}

// MarshalText returns the name.
func (p PaymentMode) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what [ParsePaymentMode] reads.
func (p *PaymentMode) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePaymentMode(string(text))
	return err
}

// MarshalText returns the name.
func (s SupplyState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what [ParseSupplyState] reads.
func (s *SupplyState) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSupplyState(string(text))
	return err
}

// MarshalText returns the name.
func (r Region) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what [ParseRegion] reads.
func (r *Region) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRegion(string(text))
	return err
}

// ParsePounds reads an amount in pounds with up to five decimals, like 2, -1.5
// or 0.00001.
func ParsePounds(text string) (Millipence, error) {
	wrong := fmt.Errorf("amount %q: want pounds with up to five decimals, like 2.00", text)
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || point && fraction == "" || len(fraction) > 5 || len(whole) > 9 {
		return 0, wrong
	}
	n, err := strconv.ParseUint(whole+fraction+strings.Repeat("0", 5-len(fraction)), 10, 63)
	if err != nil {
		return 0, wrong
	}
	if negative {
		return -Millipence(n), nil
	}
	return Millipence(n), nil
}
