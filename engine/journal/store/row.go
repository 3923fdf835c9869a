package store

import "math"

// columns of a segment, in the order of row.
const columns = "first, last, number, earliest, latest, kinds, before, after, packing, sum, body"

// row is a segment as a database has it: signed integers, and hashes of any length.
type row struct {
	first, last, number, earliest, latest, kinds int64
	before, after                                []byte
	packing                                      int64
	sum, body                                    []byte

	wrong bool // a value is not of its type or length
}

// columns is where the columns are read into.
func (r *row) columns() []any {
	return []any{&r.first, &r.last, &r.number, &r.earliest, &r.latest, &r.kinds, &r.before, &r.after, &r.packing, &r.sum, &r.body}
}

// strictly is columns for SQLite, which knows of a value that it is no integer or no BLOB,
// though its bytes may be the same: such a file has been tampered with.
func (r *row) strictly() []any {
	columns := r.columns()
	for i, to := range columns {
		switch to := to.(type) {
		case *int64:
			columns[i] = integer{to, &r.wrong}
		case *[]byte:
			columns[i] = blob{to, &r.wrong}
		}
	}
	return columns
}

// integer reads an INTEGER, blob a BLOB, and both note that it was none.
type (
	integer struct {
		to    *int64
		wrong *bool
	}
	blob struct {
		to    *[]byte
		wrong *bool
	}
)

// Scan implements [sql.Scanner].
func (i integer) Scan(value any) error {
	n, ok := value.(int64)
	if *i.to = n; !ok {
		*i.wrong = true
	}
	return nil
}

// Scan implements [sql.Scanner].
func (b blob) Scan(value any) error {
	bytes, ok := value.([]byte)
	if *b.to = append([]byte(nil), bytes...); !ok { // the driver's own memory
		*b.wrong = true
	}
	return nil
}

// segment returns the row as a segment. A hash of another length, or a value of another type,
// makes it a segment of no known packing, which is reported as damaged when it is opened.
func (r *row) segment() Segment {
	s := Segment{Body: r.body, Head: Head{
		Number: uint64(r.number), First: uint64(r.first), Last: uint64(r.last), Earliest: r.earliest, Latest: r.latest,
		Kinds: uint64(r.kinds), Packing: uint64(r.packing),
	}}
	for _, h := range [...]struct {
		to *[32]byte
		is []byte
	}{{&s.Before, r.before}, {&s.After, r.after}, {&s.Sum, r.sum}} {
		if copy(h.to[:], h.is); len(h.is) != len(h.to) {
			r.wrong = true
		}
	}
	if r.wrong {
		s.Packing = math.MaxUint64
	}
	return s
}

// notNil is a value that no database takes for NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
