package fault

import (
	"time"

	"safemode/servicerequests"
)

// Variety is what a real DCC varies without a change of meaning. Shares are 0 to 1; the package
// comment explains each. The zero Variety is none.
type Variety struct {
	DecimalSerials   float64 `koanf:"decimal_serials"`
	TwinCertificates float64 `koanf:"twin_certificates"`
	Written          float64 `koanf:"written"`
	SwappedHubs      float64 `koanf:"swapped_hubs"`
	ExchangedDevices float64 `koanf:"exchanged_devices"`

	OtherTraffic float64 `koanf:"other_traffic"` // messages a day for each meter
}

// varied is a share and its key.
type varied struct {
	key  string
	is   *float64
	draw Kind
}

func (v *Variety) shares() []varied {
	return []varied{
		{"decimal_serials", &v.DecimalSerials, decimalDraw},
		{"twin_certificates", &v.TwinCertificates, twinDraw},
		{"written", &v.Written, writtenDraw},
		{"swapped_hubs", &v.SwappedHubs, swappedDraw},
		{"exchanged_devices", &v.ExchangedDevices, exchangedDraw},
	}
}

// Draws of variety.
const (
	decimalDraw   Kind = 0x37
	twinDraw      Kind = 0x38
	writtenDraw   Kind = 0x39
	swappedDraw   Kind = 0x3A
	exchangedDraw Kind = 0x3B
	otherDraw     Kind = 0x3C
	lateDraw      Kind = 0x3D
	formDraw      Kind = 0x3E
)

func happensTo(k Kind, share float64, seed uint64, a Attempt) bool {
	return share > 0 && draw(k, seed, a) < share
}

// Decimal says whether the serials of a device's certificates are written in decimal.
func (v *Variety) Decimal(seed uint64, device servicerequests.EUI) bool {
	return happensTo(decimalDraw, v.DecimalSerials, seed, Attempt{Device: device})
}

// Twin says whether a device has two certificates of each of its keys.
func (v *Variety) Twin(seed uint64, device servicerequests.EUI) bool {
	return happensTo(twinDraw, v.TwinCertificates, seed, Attempt{Device: device})
}

// Swapped says whether a home's hub was swapped: the inventory names another.
func (v *Variety) Swapped(seed uint64, hub servicerequests.EUI) bool {
	return happensTo(swappedDraw, v.SwappedHubs, seed, Attempt{Device: hub})
}

// Exchanged says whether a device took the place of another: the inventory still has that,
// Decommissioned, at the same supply point.
func (v *Variety) Exchanged(seed uint64, device servicerequests.EUI) bool {
	return happensTo(exchangedDraw, v.ExchangedDevices, seed, Attempt{Device: device})
}

// Form is how a document is written, where it is written otherwise than compactly. The zero
// Form is compact.
type Form struct {
	Mark        bool // a byte order mark before it
	Declaration int  // 0: none; else which of some XML declarations
	Namespaces  bool // unused ones on the root
	Folded      bool // SignatureValue over several lines
}

// Form draws how the document about an attempt is written.
func (v *Variety) Form(seed uint64, a Attempt) (f Form) {
	if !happensTo(writtenDraw, v.Written, seed, a) {
		return f
	}
	bits := uint64(draw(formDraw, seed, a) * 32)
	f = Form{Mark: bits&1 != 0, Declaration: int(bits >> 1 & 3), Namespaces: bits&8 != 0, Folded: bits&16 != 0}
	if f == (Form{}) {
		f.Declaration = 1
	}
	return f
}

// Other draws one number of the n-th message of other traffic: 0 to under 1.
func Other(seed, n uint64, what string) float64 {
	return draw(otherDraw, seed, Attempt{Service: what, Number: n})
}

// Late draws by how long a late response is late: one hour to six.
func Late(seed uint64, a Attempt) time.Duration {
	return time.Hour + time.Duration(draw(lateDraw, seed, a)*float64(5*time.Hour))
}
