package portfolio

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"safemode/servicerequests"
)

// ErrHeader marks a file whose first line is not a portfolio's header.
var ErrHeader = errors.New("portfolio header")

// ErrUnreadable marks a file that is no CSV from some line on.
var ErrUnreadable = errors.New("portfolio is not readable")

// What a history may say that the engine acts on.
const (
	// PendingFutureDatedMode: a future-dated switch of the payment mode may be
	// stored on the meter, where no read shows it.
	PendingFutureDatedMode = "pending_future_dated_mode"
	// DisabledBySupplier: the supplier turned the supply off itself.
	DisabledBySupplier = "disabled_by_supplier"
)

// Row is one meter as the file claims it to be.
type Row struct {
	Line       int // of the file, from 1; the header is line 1
	Device     servicerequests.EUI
	Type       servicerequests.DeviceType // ESME or GSME
	Hub        servicerequests.EUI
	MPxN       string
	Region     servicerequests.Region
	Claimed    servicerequests.PaymentMode
	Priority   int // 0 first to 9
	Source     string
	Originator servicerequests.EUI // 0: the row names none
	History    []string            // a mark stands by itself, also where the file has it inside other words

	// What else the provider's records claim; zero or nil where the row says nothing.
	Proxy           servicerequests.EUI // the gas proxy (GPF) of a GSME
	BalanceEstimate *servicerequests.Millipence
	BalanceAt       time.Time // of BalanceEstimate
	LastTopUp       time.Time
	Supply          servicerequests.SupplyState

	Carried map[string]string // the columns of Options.CarryColumns that the file has
}

// RowError is a row of which nothing may be sent.
type RowError struct {
	Line   int
	Device string // as the file has it, cut to 64 bytes
	Column string // the first that is wrong; empty if it is the row as a whole
	Reason string
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Column, e.Reason)
}

// Options configures Read.
type Options struct {
	CarryColumns []string // columns to keep though the format does not name them

	// Dropped is called once, before the first row, if there are columns that
	// are neither named by the format nor carried. Nil: nobody is told.
	Dropped func(columns []string)
}

// Read streams the rows of a portfolio in the order of the file. A [*RowError]
// refuses one row and the next follows; any other error, which wraps
// [ErrHeader] or [ErrUnreadable], is the last. The sequence can be gone through
// once.
func Read(r io.Reader, o Options) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		lines := newLines(r)
		header, err := readHeader(lines, o)
		if err != nil {
			yield(Row{}, err)
			return
		}
		if len(header.dropped) > 0 && o.Dropped != nil {
			o.Dropped(header.dropped)
		}
		first := map[servicerequests.EUI]uint32{} // line of each accepted device
		for {
			fields, line, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Row{}, err)
				return
			}
			row, err := header.row(fields, line)
			if err == nil {
				if earlier, twice := first[row.Device]; twice {
					err = &RowError{line, row.Device.String(), "device_id", fmt.Sprintf("device is on line %d already", earlier)}
				} else {
					first[row.Device] = uint32(line)
				}
			}
			if err != nil {
				row = Row{}
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// required and optional are the columns that the format names.
var (
	required = []string{"device_id", "device_type", "chf_id", "mpxn", "csp_region", "claimed_mode", "priority", "source"}
	optional = []string{"originator", "history", "gpf_id", "balance_estimate", "balance_at", "last_top_up", "supply_state"}
)

// header says where the columns are.
type header struct {
	width   int
	index   map[string]int // of the format's columns
	carried map[string]int
	dropped []string
}

func readHeader(lines *lines, o Options) (*header, error) {
	names, _, err := lines.next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: the file is empty", ErrHeader)
	}
	if err != nil {
		return nil, err
	}
	h := &header{width: len(names), index: map[string]int{}, carried: map[string]int{}}
	for i, name := range names {
		name = strings.Clone(strings.TrimSpace(name))
		into := h.index
		switch {
		case slices.Contains(required, name), slices.Contains(optional, name):
		case slices.Contains(o.CarryColumns, name):
			into = h.carried
		default:
			h.dropped = append(h.dropped, name)
			continue
		}
		if _, twice := into[name]; twice {
			return nil, fmt.Errorf("%w: column %q stands twice", ErrHeader, name)
		}
		into[name] = i
	}
	var missing []string
	for _, name := range required {
		if _, ok := h.index[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: missing %s", ErrHeader, strings.Join(missing, ", "))
	}
	return h, nil
}

// maxRecord bounds one record, so that a quote that is never closed does not
// read the rest of a huge file into memory.
const maxRecord = 1 << 20

// maxCell bounds a value that is kept, in bytes: what a plan holds of a row is read whole.
const maxCell = 4 << 10

// lines reads CSV records of bounded size.
type lines struct {
	csv    *csv.Reader
	source io.Reader
	left   int // bytes that the record under way may still take from source
}

func newLines(r io.Reader) *lines {
	source := bufio.NewReader(r)
	if bom, _ := source.Peek(3); string(bom) == "\ufeff" {
		_, _ = source.Discard(3)
	}
	l := &lines{source: source}
	l.csv = csv.NewReader(l)
	l.csv.FieldsPerRecord = -1 // the row's own fault, not the file's
	l.csv.ReuseRecord = true
	return l
}

var errTooLong = fmt.Errorf("record of over %d bytes: is a quote not closed?", maxRecord)

// Read passes the source on to the CSV reader, up to the bound.
func (l *lines) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLong
	}
	n, err := l.source.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}

// next returns the next record's fields, valid until the call after, and the
// line it begins on. It returns io.EOF at the end of the file.
func (l *lines) next() ([]string, int, error) {
	l.left = maxRecord
	fields, err := l.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, 0, io.EOF
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	line, _ := l.csv.FieldPos(0)
	return fields, line, nil
}
