package gbcs

import (
	"encoding/binary"
)

// reader reads a message front to back. The first thing that is wrong is kept,
// with its offset; after that every read yields zero, so that a layout can be
// read top to bottom and judged once.
type reader struct {
	b    []byte
	off  int
	end  int    // reads stop here: the end of the open GBZ component, or of b
	what string // the first thing that was wrong; empty while all is well
	at   int    // its offset
}

func newReader(b []byte) reader { return reader{b: b, end: len(b)} }

func (r *reader) fail(what string) {
	if r.what == "" {
		r.what, r.at = what, r.off
	}
}

func (r *reader) left() int { return r.end - r.off }

func (r *reader) take(n int, what string) []byte {
	if r.what != "" {
		return nil
	}
	if r.left() < n {
		r.fail(what + " is cut short")
		return nil
	}
	p := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return p
}

func (r *reader) u8(what string) byte {
	if p := r.take(1, what); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) u16(what string) uint16 {
	if p := r.take(2, what); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32(what string) uint32 {
	if p := r.take(4, what); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64(what string) uint64 {
	if p := r.take(8, what); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

// le16 and le32 read the little-endian fields of ZCL frames.
func (r *reader) le16(what string) uint16 {
	if p := r.take(2, what); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *reader) le32(what string) uint32 {
	if p := r.take(4, what); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

// expect reads exactly the bytes of want. On a difference the offset kept is
// that of the first byte that differs.
func (r *reader) expect(want, what string) {
	if r.what != "" {
		return
	}
	for i := range len(want) {
		if r.off+i >= r.end {
			r.off += i
			r.fail(what + " is cut short")
			return
		}
		if r.b[r.off+i] != want[i] {
			r.off += i
			r.fail(what + " is not as its use case has it")
			return
		}
	}
	r.off += len(want)
}

func (r *reader) expectByte(want byte, what string) {
	if got := r.u8(what); r.what == "" && got != want {
		r.off--
		r.fail(what + " is not as its use case has it")
	}
}

// length reads a length in its shortest form, up to 65535.
func (r *reader) length(what string) int {
	n := int(r.u8(what))
	switch {
	case n < 0x80:
		return n
	case n == 0x81:
		if n = int(r.u8(what)); n < 0x80 {
			r.fail(what + " is not in its shortest form")
		}
		return n
	case n == 0x82:
		if n = int(r.u16(what)); n < 0x100 {
			r.fail(what + " is not in its shortest form")
		}
		return n
	}
	r.fail(what + " has a form that is not accepted")
	return 0
}

// done fails if bytes are left over, and says whether all was well.
func (r *reader) done() bool {
	if r.what == "" && r.off != r.end {
		r.fail("bytes are left over")
	}
	return r.what == ""
}
