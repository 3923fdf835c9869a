package ledger

import (
	"encoding/binary"
	"errors"
	"time"
)

// ErrPacked is the error for bytes that are no packed form.
var ErrPacked = errors.New("not a packed ledger")

// Coder writes or reads a packed form, so that one function describes both directions. Each
// method writes what its argument points to, or reads it. After the first fault everything
// reads as zero, and [Coder.End] returns the error.
//
// Numbers are varints, text has its length before it.
type Coder struct {
	b       []byte
	reading bool
	bad     bool
	base    int64  // times are relative to it, in nanoseconds since 1970
	latest  uint64 // counters are relative to it
}

// Writer returns a coder that appends to b.
func Writer(b []byte) *Coder { return &Coder{b: b} }

// Reader returns a coder that reads b.
func Reader(b []byte) *Coder { return &Coder{b: b, reading: true} }

// Bytes returns what was written.
func (c *Coder) Bytes() []byte { return c.b }

// End returns [ErrPacked] if a fault was found or bytes are left to read.
func (c *Coder) End() error {
	if c.bad || c.reading && len(c.b) > 0 {
		return ErrPacked
	}
	return nil
}

func (c *Coder) fail() { c.bad, c.b = true, nil }

// Byte codes one byte.
func (c *Coder) Byte(v *byte) {
	switch {
	case !c.reading:
		c.b = append(c.b, *v)
	case len(c.b) == 0:
		*v = 0
		c.fail()
	default:
		*v, c.b = c.b[0], c.b[1:]
	}
}

// Flags codes up to eight flags in a byte.
func (c *Coder) Flags(flags ...*bool) {
	var bits byte
	for i, f := range flags {
		if *f {
			bits |= 1 << i
		}
	}
	c.Byte(&bits)
	for i, f := range flags {
		*f = bits&(1<<i) != 0
	}
	if bits>>len(flags) != 0 {
		c.fail()
	}
}

// Uint codes a number.
func (c *Coder) Uint(v *uint64) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, *v)
		return
	}
	n, length := binary.Uvarint(c.b)
	if length <= 0 {
		*v = 0
		c.fail()
		return
	}
	*v, c.b = n, c.b[length:]
}

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// Int codes a number that may be negative.
func (c *Coder) Int(v *int64) {
	n := zigzag(*v)
	c.Uint(&n)
	*v = unzigzag(n)
}

// count codes how many items follow, each at least one byte long.
func (c *Coder) count(n int) int {
	v := uint64(n)
	c.Uint(&v)
	if c.reading && v > uint64(len(c.b)) {
		c.fail()
		return 0
	}
	return int(v)
}

// Raw codes bytes; none reads as nil.
func (c *Coder) Raw(v *[]byte) {
	n := c.count(len(*v))
	if !c.reading {
		c.b = append(c.b, *v...)
		return
	}
	*v = nil
	if n > 0 {
		*v = append(*v, c.b[:n]...)
		c.b = c.b[n:]
	}
}

// text codes a string.
func (c *Coder) text(v *string) {
	n := c.count(len(*v))
	if !c.reading {
		c.b = append(c.b, *v...)
		return
	}
	*v, c.b = string(c.b[:n]), c.b[n:]
}

// time codes an instant to the nanosecond, UTC; the zero time stays zero.
func (c *Coder) time(v *time.Time) {
	var n uint64
	if !v.IsZero() {
		n = zigzag(v.UnixNano()-c.base) + 1
	}
	c.Uint(&n)
	if c.reading {
		*v = time.Time{}
		if n != 0 {
			*v = time.Unix(0, c.base+unzigzag(n-1)).UTC()
		}
	}
}

// counter codes an originator counter; 0 stays 0.
func (c *Coder) counter(v *uint64) {
	var n uint64
	if *v != 0 {
		n = zigzag(int64(c.latest-*v)) + 1
	}
	c.Uint(&n)
	if c.reading {
		*v = 0
		if n != 0 {
			*v = c.latest - uint64(unzigzag(n-1))
		}
	}
}

// Fixed codes 64 bits in eight bytes.
func (c *Coder) Fixed(v *uint64) {
	switch {
	case !c.reading:
		c.b = binary.BigEndian.AppendUint64(c.b, *v)
	case len(c.b) < 8:
		*v = 0
		c.fail()
	default:
		*v, c.b = binary.BigEndian.Uint64(c.b), c.b[8:]
	}
}

// number codes a number of any integer type that fits it.
func number[T ~int | ~int16 | ~int64 | ~uint8 | ~uint16](c *Coder, v *T) {
	n := int64(*v)
	c.Int(&n)
	if *v = T(n); int64(*v) != n {
		c.fail()
	}
}

// bounded codes a value below limit.
func bounded[T ~uint8](c *Coder, v *T, limit int) {
	b := byte(*v)
	c.Byte(&b)
	if int(b) >= limit {
		c.fail()
		b = 0
	}
	*v = T(b)
}
