package gbcs

import (
	"encoding/binary"
	"fmt"
	"slices"

	"safemode/servicerequests"
)

// layout goes through the fields of a payload in their order, and reads or writes each. So a
// layout stands once for both ways. Its first fault sticks. When it writes, it changes nothing
// of the values that it is given.
type layout struct {
	r *reader // nil: it writes

	out   []byte
	open  int   // where the open GBZ component begins in out
	wrong error // the first value that has no form on the wire
}

func (l *layout) writes() bool { return l.r == nil }

// fail says what is wrong with what is read, or with a value that is to be written.
func (l *layout) fail(format string, args ...any) {
	switch {
	case !l.writes():
		l.r.fail(fmt.Sprintf(format, args...))
	case l.wrong == nil:
		l.wrong = fmt.Errorf(format, args...)
	}
}

// fixed is bytes that are always the same.
func (l *layout) fixed(bytes, what string) {
	if l.writes() {
		l.out = append(l.out, bytes...)
	} else {
		l.r.expect(bytes, what)
	}
}

func (l *layout) one(b byte, what string) {
	if l.writes() {
		l.out = append(l.out, b)
	} else {
		l.r.expectByte(b, what)
	}
}

func (l *layout) u8(v *byte, what string) {
	if l.writes() {
		l.out = append(l.out, *v)
	} else {
		*v = l.r.u8(what)
	}
}

func (l *layout) u16(v *uint16, what string) {
	if l.writes() {
		l.out = binary.BigEndian.AppendUint16(l.out, *v)
	} else {
		*v = l.r.u16(what)
	}
}

func (l *layout) u32(v *uint32, what string) {
	if l.writes() {
		l.out = binary.BigEndian.AppendUint32(l.out, *v)
	} else {
		*v = l.r.u32(what)
	}
}

func (l *layout) u64(v *uint64, what string) {
	if l.writes() {
		l.out = binary.BigEndian.AppendUint64(l.out, *v)
	} else {
		*v = l.r.u64(what)
	}
}

// le16 and le32 are the little-endian fields of ZCL frames.
func (l *layout) le16(v *uint16, what string) {
	if l.writes() {
		l.out = binary.LittleEndian.AppendUint16(l.out, *v)
	} else {
		*v = l.r.le16(what)
	}
}

func (l *layout) le32(v *uint32, what string) {
	if l.writes() {
		l.out = binary.LittleEndian.AppendUint32(l.out, *v)
	} else {
		*v = l.r.le32(what)
	}
}

// bytes is a field of the value's own length.
func (l *layout) bytes(v []byte, what string) {
	if l.writes() {
		l.out = append(l.out, v...)
	} else {
		copy(v, l.r.take(len(v), what))
	}
}

// part is a field of n bytes, which v is made to refer to when it is read.
func (l *layout) part(v *[]byte, n int, what string) {
	switch {
	case !l.writes():
		*v = l.r.take(n, what)
	case len(*v) != n:
		l.fail("%s: %d bytes, want %d", what, len(*v), n)
	default:
		l.out = append(l.out, *v...)
	}
}

// flag is a byte that is 0 or on.
func (l *layout) flag(v *bool, on byte, what string) {
	var b byte
	if *v {
		b = on
	}
	l.u8(&b, what)
	if !l.writes() {
		*v = b != 0
	}
}

// amount is an unsigned amount of 32 bits, little-endian.
func (l *layout) amount(v *servicerequests.Millipence, what string) {
	n := uint32(*v)
	if l.writes() && int64(n) != int64(*v) {
		l.fail("amount %s does not fit 32 bits unsigned", *v)
	}
	l.le32(&n, what)
	if !l.writes() {
		*v = servicerequests.Millipence(n)
	}
}

// named is a byte that stands for a value: the value's place in a list, which begins with first.
func named[T comparable](l *layout, v *T, first byte, values []T, what string) {
	place := slices.Index(values, *v)
	if l.writes() && place < 0 {
		l.fail("%s %v", what, *v)
	}
	b := byte(place) + first
	if l.u8(&b, what); !l.writes() {
		find(l, v, int(b)-int(first), values, what)
	}
}

// find reads a value by its place in a list.
func find[T any](l *layout, v *T, place int, values []T, what string) {
	if place < 0 || place >= len(values) {
		l.fail("%s is none that is known", what)
		return
	}
	*v = values[place]
}

// count is the number of a list's items, at most so many.
func (l *layout) count(have, most int, what string) int {
	n := byte(have)
	l.u8(&n, "number of "+what)
	if have > most || int(n) > most {
		l.fail("more than %d %s", most, what)
		return 0
	}
	return int(n)
}

// items goes through n items of a list, which is made when it is read.
func items[T any](l *layout, list *[]T, n int, each func(*T)) {
	for i := range n {
		if !l.writes() && l.r.what != "" {
			return
		}
		each(item(l, list, i))
	}
}

// item is the i-th item of a list; when the list is read, a new one.
func item[T any](l *layout, list *[]T, i int) *T {
	if !l.writes() {
		var none T
		*list = append(*list, none)
		i = len(*list) - 1
	}
	return &(*list)[i]
}

// invokeID is the low three bytes of the counter.
func (l *layout) invokeID(counter uint64) {
	if l.writes() {
		l.out = append(l.out, byte(counter>>16), byte(counter>>8), byte(counter))
	} else {
		l.r.invokeID(counter)
	}
}

// null is a null datum, where there is one: it is written where a datum is absent.
func (l *layout) null(absent bool) bool {
	switch {
	case !l.writes():
		return l.r.null()
	case absent:
		l.out = append(l.out, 0)
	}
	return absent
}

// doubleLong is a datum of a signed amount of 32 bits.
func (l *layout) doubleLong(v *servicerequests.Millipence, what string) {
	n := uint32(int32(*v))
	if l.writes() && int64(int32(n)) != int64(*v) {
		l.fail("amount %s does not fit 32 bits", *v)
	}
	l.fixed("\x05", what)
	l.u32(&n, what)
	if !l.writes() {
		*v = servicerequests.Millipence(int32(n))
	}
}

// begin begins a GBZ component; until end, reads stop at its end.
func (l *layout) begin(control byte, cluster uint16) {
	if !l.writes() {
		l.r.open(control, cluster)
		return
	}
	l.open = len(l.out)
	l.out = append(l.out, control, byte(cluster>>8), byte(cluster), 0, 0) // the length is not known yet
}

func (l *layout) end() {
	if !l.writes() {
		l.r.shut()
		return
	}
	const head = 5
	binary.BigEndian.PutUint16(l.out[l.open+head-2:], uint16(len(l.out)-l.open-head))
}

// attribute is one record of a Read Attributes Response: id, status and, if that is 0, type and
// value. A signed value is sign-extended.
func attribute[T ~byte | ~uint16 | ~uint32 | ~int64](l *layout, id uint16, typ byte, v *T, status *byte) {
	l.fixed(string([]byte{byte(id), byte(id >> 8)}), "attribute")
	if l.u8(status, "attribute's status"); *status != 0 {
		return
	}
	l.one(typ, "attribute's type")
	n := int64(*v)
	switch b, w, d := byte(n), uint16(n), uint32(n); typ {
	case typeBitmap8, typeEnum8:
		l.u8(&b, "value")
		n = int64(b)
	case typeBitmap16, typeUint16:
		l.le16(&w, "value")
		n = int64(w)
	case typeUint32:
		l.le32(&d, "value")
		n = int64(d)
	case typeInt32:
		l.le32(&d, "value")
		n = int64(int32(d))
	}
	switch {
	case !l.writes():
		*v = T(n)
	case n != int64(*v):
		l.fail("attribute %04X: %d does not fit", id, *v)
	}
}

// enumerated is an attribute that stands for a value: the value's place in a list.
func enumerated[T comparable](l *layout, id uint16, v *T, values []T, status *byte, what string) {
	place := slices.Index(values, *v)
	if l.writes() && *status == 0 && place < 0 {
		l.fail("%s %v", what, *v)
	}
	b := byte(place)
	if attribute(l, id, typeEnum8, &b, status); !l.writes() && *status == 0 {
		find(l, v, int(b), values, what)
	}
}

// refused is a Default Response that refuses a command, if there is one: when it is read, as
// the message has it, and where a component before has failed perhaps for a command FF, which was
// not executed; when it is written, as says has it.
func (l *layout) refused(says bool, sequence, command byte, afterFailure bool, status *byte) bool {
	switch {
	case !l.writes():
		*status, says = l.r.refusal(sequence, command, afterFailure)
	case says:
		if afterFailure {
			command = 0xFF
		}
		l.out = append(l.out, 0x08, sequence, defaultResponse, command, *status)
	}
	if says && *status == 0 {
		l.fail("Default Response says success where the use case answers otherwise")
	}
	return says
}
