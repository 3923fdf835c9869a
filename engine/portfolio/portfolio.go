package portfolio

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// Errors that end the reading.
var (
	ErrHeader     = table.ErrHeader     // the first line is not a portfolio's header
	ErrUnreadable = table.ErrUnreadable // it is no CSV from some line on
)

// Marks in a history that the engine acts on.
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

	// Other claims of the provider's records; zero or nil if the row has none.
	Proxy           servicerequests.EUI // the gas proxy (GPF) of a GSME
	BalanceEstimate *servicerequests.Millipence
	BalanceAt       time.Time // of BalanceEstimate
	LastTopUp       time.Time
	Supply          servicerequests.SupplyState

	Carried map[string]string // the columns of Options.CarryColumns that the file has
}

// SMETS1 is a meter of the first generation. No public source says what may be sent to one.
type SMETS1 struct {
	Device  servicerequests.EUI
	Hub     servicerequests.EUI
	MPxN    string
	Claimed servicerequests.PaymentMode
}

// RowError is the error for a row that is rejected: nothing of it may be sent.
type RowError struct {
	Line   int
	Device string // as the file has it, cut to 64 bytes
	Column string // the first that is wrong; empty if it is the row as a whole
	Reason string

	SMETS1 *SMETS1 // nil unless that is why: the row itself is good
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

	// Dropped is called once, before the first row, with the columns that are neither
	// in the format nor named by Options, if there are any. Optional.
	Dropped func(columns []string)

	// Blank is called at the end with the number of rows whose fields are all empty, if there
	// were any. Optional.
	Blank func(rows int)
}

// Read streams the rows of a portfolio in the order of the file. A [*RowError] rejects one row,
// and the next one follows. Any other error wraps [ErrHeader] or [ErrUnreadable] and ends the
// sequence. The sequence can be iterated once.
func Read(r io.Reader, o Options) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		in := table.NewReader(r)
		header, err := readHeader(in, o)
		if err != nil {
			yield(Row{}, fmt.Errorf("portfolio %w", err))
			return
		}
		if len(header.dropped) > 0 && o.Dropped != nil {
			o.Dropped(header.dropped)
		}
		first := map[servicerequests.EUI]uint32{} // line of each accepted device
		for {
			fields, line, err := in.Next()
			if errors.Is(err, io.EOF) {
				if in.Blank() > 0 && o.Blank != nil {
					o.Blank(in.Blank())
				}
				return
			}
			if err != nil {
				yield(Row{}, fmt.Errorf("portfolio %w", err))
				return
			}
			row, err := header.row(fields, line)
			device := row.Device
			if old, ok := errors.AsType[*RowError](err); ok && old.SMETS1 != nil {
				device = old.SMETS1.Device
			}
			if device != 0 {
				if earlier, twice := first[device]; twice {
					err = &RowError{Line: line, Device: device.String(), Column: "device_id", Reason: fmt.Sprintf("device is on line %d already", earlier)}
				} else {
					first[device] = uint32(line)
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

// header maps columns to their place.
type header struct {
	width   int
	index   map[string]int // of the format's columns
	carried map[string]int
	dropped []string
}

func readHeader(in *table.Reader, o Options) (*header, error) {
	names, err := in.Header(required)
	if err != nil {
		return nil, err
	}
	h := &header{width: len(names), index: map[string]int{}, carried: map[string]int{}}
	for i, name := range names {
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
	return h, nil
}

// maxCell bounds a value that is kept, in bytes, because a plan's lines are read whole.
const maxCell = 4 << 10
