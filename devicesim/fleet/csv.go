package fleet

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"safemode/servicerequests"
)

// version is the generator's version in the first line of a fleet file. It
// changes when the same seed gives another fleet, or when the state that
// derives from the seed does.
const version = 2

const firstLine = "# safemode fleet seed=%d version=%d"

// column is one column of the fleet file and both directions of its text. The
// columns are read in order: the device type comes before what depends on it.
type column struct {
	name  string
	write func(*Meter) string
	read  func(*Meter, string) error
}

var columns = [...]column{
	{"device_id", func(m *Meter) string { return m.Device.String() }, func(m *Meter, t string) error { return readEUI(&m.Device, t) }},
	{"device_type", func(m *Meter) string { return m.Type.String() }, readType},
	{"chf_id", func(m *Meter) string { return m.Hub.String() }, func(m *Meter, t string) error { return readEUI(&m.Hub, t) }},
	{"mpxn", func(m *Meter) string { return m.MPxN.String() }, readMPxN},
	{"csp_region", func(m *Meter) string { return m.Region.String() }, func(m *Meter, t string) error { return m.Region.UnmarshalText([]byte(t)) }},
	{"payment_mode", func(m *Meter) string { return m.Mode.String() }, readMode},
	{"supply_state", func(m *Meter) string { return m.Supply.String() }, readSupply},
	{"balance", func(m *Meter) string { return m.Balance.String() }, func(m *Meter, t string) error { return readMoney(&m.Balance, t) }},
	{"emergency_credit", func(m *Meter) string { return m.EmergencyCredit.String() }, readEmergencyCredit},
	{"debt", func(m *Meter) string { return m.Debt.String() }, readDebt},
	{"locked", func(m *Meter) string { return strconv.FormatBool(m.Locked) }, func(m *Meter, t string) error { return readBool(&m.Locked, t) }},
	{"registered_supplier", func(m *Meter) string { return m.Supplier.String() }, func(m *Meter, t string) error { return readEUI(&m.Supplier, t) }},
	{"reachable", func(m *Meter) string { return strconv.FormatBool(m.Reachable) }, func(m *Meter, t string) error { return readBool(&m.Reachable, t) }},
	{"model", func(m *Meter) string { return m.Model.Name() }, readModel},
}

func header() []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return names
}

// WriteCSV writes the fleet file of the package comment. State that has no
// column (counters, remaining emergency credit, gas credit-mode debt) is not
// carried: a fleet is written before it is used.
func (f *Fleet) WriteCSV(w io.Writer) error {
	if _, err := fmt.Fprintf(w, firstLine+"\n", f.Seed, version); err != nil {
		return err
	}
	out := csv.NewWriter(w)
	_ = out.Write(header()) // errors of Write stay with the Writer until Error
	record := make([]string, len(columns))
	for i := range f.Len() {
		m := f.Meter(i)
		for c := range columns {
			record[c] = columns[c].write(&m)
		}
		_ = out.Write(record)
	}
	out.Flush()
	return out.Error()
}

// ErrVersion marks a fleet file of another generator version: the state without
// a column would come out differently.
var ErrVersion = errors.New("fleet file of another version")

// FieldError says where a CSV file is wrong.
type FieldError struct {
	Line   int
	Column string // empty when the line as a whole is meant
	Err    error
}

func (e *FieldError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d, column %s: %v", e.Line, e.Column, e.Err)
}

func (e *FieldError) Unwrap() error { return e.Err }

// ReadCSV reads what WriteCSV writes, and nothing else. A fault in the file is
// a [*FieldError]; two rows with one device wrap [ErrDuplicateDevice].
func ReadCSV(r io.Reader) (*Fleet, error) {
	buffered := bufio.NewReader(r)
	seed, err := readFirstLine(buffered)
	if err != nil {
		return nil, &FieldError{Line: 1, Err: err}
	}
	in := csv.NewReader(buffered)
	in.FieldsPerRecord, in.ReuseRecord = len(columns), true
	names, err := in.Read()
	if err != nil {
		return nil, lineError(err)
	}
	if want := header(); !slices.Equal(names, want) {
		return nil, &FieldError{Line: 2, Err: fmt.Errorf("header is %s, want %s", strings.Join(names, ","), strings.Join(want, ","))}
	}
	var meters []Meter
	for {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			l, err := newList(meters)
			if err != nil {
				return nil, err
			}
			return &Fleet{Seed: seed, source: l}, nil
		}
		if err != nil {
			return nil, lineError(err)
		}
		var m Meter
		for c := range columns {
			if err := columns[c].read(&m, record[c]); err != nil {
				line, _ := in.FieldPos(c)
				return nil, &FieldError{Line: line + 1, Column: columns[c].name, Err: err}
			}
		}
		m.deriveHidden(seed)
		meters = append(meters, m)
	}
}

// lineError turns an error of the CSV reader, which counts lines after the comment
// line, into one that counts the file's lines.
func lineError(err error) error {
	var parse *csv.ParseError
	switch {
	case errors.As(err, &parse):
		return &FieldError{Line: parse.Line + 1, Err: parse.Err}
	case errors.Is(err, io.EOF):
		return &FieldError{Line: 2, Err: errors.New("no header line")}
	}
	return err
}

func readFirstLine(r *bufio.Reader) (seed uint64, err error) {
	line, err := r.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	line = strings.TrimRight(line, "\r\n")
	var found int
	if _, err := fmt.Sscanf(line, firstLine, &seed, &found); err != nil || line != fmt.Sprintf(firstLine, seed, found) {
		return 0, fmt.Errorf("%q: want "+firstLine, line, 1, version)
	}
	if found != version {
		return 0, fmt.Errorf("%w: it is %d, this program's is %d", ErrVersion, found, version)
	}
	return seed, nil
}

func readEUI(to *servicerequests.EUI, text string) error { return to.UnmarshalText([]byte(text)) }

func readType(m *Meter, text string) error {
	if err := m.Type.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if m.Type != servicerequests.ESME && m.Type != servicerequests.GSME {
		return fmt.Errorf("%s: want ESME or GSME", m.Type)
	}
	return nil
}

func readMPxN(m *Meter, text string) (err error) {
	m.MPxN, err = ParseMPxN(text, m.Type)
	return err
}

func readMode(m *Meter, text string) error {
	if err := m.Mode.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if m.Mode == servicerequests.UnknownMode {
		return errors.New("a meter knows its mode: want credit or prepayment")
	}
	return nil
}

func readSupply(m *Meter, text string) error {
	if err := m.Supply.UnmarshalText([]byte(text)); err != nil {
		return err
	}
	if m.Supply == servicerequests.UnknownSupply {
		return errors.New("a meter knows its supply state: want disabled, armed or enabled")
	}
	return nil
}

func readEmergencyCredit(m *Meter, text string) error {
	i := slices.Index(emergencyCreditNames[:], text)
	if i < 0 {
		return fmt.Errorf("%q: want %s", text, strings.Join(emergencyCreditNames[:], ", "))
	}
	m.EmergencyCredit = EmergencyCredit(i)
	return nil
}

func readDebt(m *Meter, text string) error {
	if err := readMoney(&m.Debt, text); err != nil {
		return err
	}
	if m.Debt < 0 {
		return fmt.Errorf("%s: debt is not negative", text)
	}
	return nil
}

func readModel(m *Meter, text string) (err error) {
	m.Model, err = parseModel(text, m.Type)
	return err
}

func readBool(to *bool, text string) error {
	if text != "true" && text != "false" {
		return fmt.Errorf("%q: want true or false", text)
	}
	*to = text == "true"
	return nil
}

// readMoney reads pounds, within what a meter has on the wire.
func readMoney(to *servicerequests.Millipence, text string) (err error) {
	if *to, err = servicerequests.ParsePounds(text); err == nil && max(*to, -*to) > math.MaxInt32 {
		err = fmt.Errorf("%q: want pounds within 21474.83647", text)
	}
	return err
}
