package duis

import (
	"slices"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// layout goes through the children of an element in the schema's order, and reads or writes
// each. So a layout stands once for both ways. When it writes, it changes nothing of what the
// values refer to.
type layout struct {
	sequence // what is read

	e *encoder // nil: it reads
}

func (l *layout) writes() bool { return l.e != nil }

// fail says what is wrong with an element that is written, or with what stands in the one that
// is read.
func (l *layout) fail(local, format string, args ...any) {
	if l.writes() {
		l.e.fail(local, format, args...)
	} else {
		l.d.fail(l.parent, format, args...)
	}
}

// has says whether the next element is the one called local: it is written if present.
func (l *layout) has(local string, present bool) bool {
	if l.writes() {
		return present
	}
	return l.next.Local() == local
}

// element is an element that holds others.
func (l *layout) element(local string, inside func(*layout)) {
	if l.writes() {
		l.e.open(local)
		inside(l)
		l.e.close(local)
		return
	}
	in := layout{sequence: l.d.children(l.required(local))}
	inside(&in)
	in.end()
}

// variant is an element that stands for one of the types that implement I, with its layout.
type variant[I any] func(*layout, *I)

// as is the variant of a type.
func as[I, T any](of func(*T, *layout)) variant[I] {
	return func(l *layout, to *I) {
		v, is := any(*to).(T)
		if l.writes() && !is {
			l.fail("Body", "%T cannot be written", *to)
		}
		if of(&v, l); !l.writes() {
			*to = any(v).(I)
		}
	}
}

func (l *layout) eui(local string, v *servicerequests.EUI) {
	if l.writes() {
		l.e.eui(local, *v)
	} else {
		*v = l.d.eui(l.required(local))
	}
}

func (l *layout) requestID(local string, v *servicerequests.RequestID) {
	if l.writes() {
		l.e.requestID(local, *v)
	} else {
		*v = l.d.anyRequestID(l.required(local))
	}
}

func (l *layout) text(local string, v *string, limit length) {
	if l.writes() {
		l.e.text(local, *v, limit)
	} else {
		*v = l.d.shortText(l.required(local), limit)
	}
}

// optional is text that is left out where it is empty.
func (l *layout) optionalText(local string, v *string, limit length) {
	if l.has(local, *v != "") {
		l.text(local, v, limit)
	}
}

func (l *layout) oneOf(local string, v *string, values []string) {
	l.word(local, v, "value that the schema knows", func(text string) bool { return slices.Contains(values, text) })
}

// number is digits, at most so many, without leading zeros.
func (l *layout) number(local string, v *string, most int) {
	l.word(local, v, "number that is not too long", func(text string) bool { return validNumber(text, most) })
}

// word is text of some form, in which nothing has to be escaped.
func (l *layout) word(local string, v *string, what string, valid func(string) bool) {
	var n xmltree.Node
	if l.writes() {
		l.e.word(local, *v)
	} else {
		n = l.required(local)
		*v = l.d.text(n)
	}
	switch {
	case valid(*v):
	case l.writes():
		l.e.fail(local, "%q is no %s", *v, what)
	default:
		l.d.fail(n, "%q is no %s", *v, what)
	}
}

func (l *layout) time(local string, v *time.Time) {
	if l.writes() {
		l.e.time(local, *v)
	} else {
		*v = l.d.time(l.required(local))
	}
}

func (l *layout) alertCode(local string, v *uint16) {
	if l.writes() {
		l.e.alertCode(local, *v)
	} else {
		*v = l.d.alertCode(l.required(local))
	}
}

func (l *layout) payload(local string, v *[]byte) {
	if l.writes() {
		l.e.payload(local, *v)
	} else {
		*v = l.d.payload(l.required(local))
	}
}

func decimal[T uint16 | uint32](l *layout, local string, v *T, bits int) {
	if l.writes() {
		l.e.uint(local, uint64(*v))
	} else {
		*v = T(l.d.uint(l.required(local), bits))
	}
}

func (l *layout) serviceReferences(reference, variant *string) {
	if l.writes() {
		l.e.serviceReferences(*reference, *variant)
	} else {
		*reference, *variant = l.d.serviceReferences(&l.sequence)
	}
}
