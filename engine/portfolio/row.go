package portfolio

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

// row reads one record. The error is a [*RowError] about the first column that
// is wrong, in the format's order.
func (h *header) row(fields []string, line int) (Row, error) {
	get := func(column string) string {
		if i, ok := h.index[column]; ok && i < len(fields) {
			return strings.TrimSpace(fields[i])
		}
		return ""
	}
	refuse := func(column string, err error) (Row, error) {
		return Row{}, &RowError{Line: line, Device: excerpt(get("device_id"), 64), Column: column, Reason: excerpt(err.Error(), 200)}
	}
	if len(fields) != h.width {
		return refuse("", fmt.Errorf("%d fields where the header has %d", len(fields), h.width))
	}
	if i := slices.IndexFunc(fields, func(f string) bool { return !utf8.ValidString(f) }); i >= 0 {
		return refuse("", fmt.Errorf("field %d is not UTF-8", i+1))
	}
	for i, f := range fields {
		if len(f) <= maxCell {
			continue
		}
		if name, kept := h.kept(i); kept {
			return refuse(name, fmt.Errorf("%d bytes: want at most %d", len(f), maxCell))
		}
	}
	row := reading{Row: Row{Line: line, Source: strings.Clone(get("source"))}}
	for _, column := range columns {
		if err := column.read(&row, get(column.name)); err != nil {
			return refuse(column.name, err)
		}
	}
	if row.Hub == row.Device {
		return refuse("chf_id", errors.New("the hub is the device itself"))
	}
	if row.smets1 {
		return Row{}, &RowError{
			Line: line, Device: row.Device.String(), Reason: smets1Reason,
			SMETS1: &SMETS1{Device: row.Device, Hub: row.Hub, MPxN: row.MPxN, Claimed: row.Claimed},
		}
	}
	for name, i := range h.carried {
		if row.Carried == nil {
			row.Carried = make(map[string]string, len(h.carried))
		}
		row.Carried[name] = strings.Clone(strings.TrimSpace(fields[i]))
	}
	return row.Row, nil
}

// reading is a row that is being read.
type reading struct {
	Row
	smets1 bool
}

// kept is the name of a column that is not dropped.
func (h *header) kept(column int) (string, bool) {
	for _, columns := range [...]map[string]int{h.index, h.carried} {
		for name, i := range columns {
			if i == column {
				return name, true
			}
		}
	}
	return "", false
}

// columns reads each column with a rule, in the format's order: mpxn depends on
// device_type.
var columns = [...]struct {
	name string
	read func(*reading, string) error
}{
	{"device_id", func(r *reading, text string) (err error) {
		r.Device, err = servicerequests.ParseEUI(text)
		return err
	}},
	{"device_type", func(r *reading, text string) (err error) {
		if strings.EqualFold(text, smets1) {
			r.smets1 = true
			return nil
		}
		r.Type, err = inAnyCase(text, servicerequests.ParseDeviceType, servicerequests.ESME, servicerequests.GSME)
		if err != nil || r.Type != servicerequests.ESME && r.Type != servicerequests.GSME {
			return fmt.Errorf("device type %q: want ESME, GSME or SMETS1", text)
		}
		return nil
	}},
	{"chf_id", func(r *reading, text string) (err error) {
		r.Hub, err = servicerequests.ParseEUI(text)
		return err
	}},
	{"mpxn", func(r *reading, text string) error {
		r.MPxN = strings.Clone(text)
		if r.Type == servicerequests.ESME || r.Type == servicerequests.UnknownDevice && len(text) == mpanDigits {
			return checkMPAN(text)
		}
		return checkMPRN(text)
	}},
	{"csp_region", func(r *reading, text string) (err error) {
		if strings.EqualFold(text, smets1) || text == "" && r.smets1 {
			r.smets1 = true
			return nil
		}
		r.Region, err = inAnyCase(text, servicerequests.ParseRegion, servicerequests.Regions[:]...)
		return err
	}},
	{"claimed_mode", func(r *reading, text string) (err error) {
		r.Claimed, err = inAnyCase(text, servicerequests.ParsePaymentMode, servicerequests.UnknownMode, servicerequests.Credit, servicerequests.Prepayment)
		return err
	}},
	{"priority", func(r *reading, text string) error {
		if len(text) != 1 || text[0] < '0' || text[0] > '9' {
			return fmt.Errorf("priority %q: want 0 to 9", text)
		}
		r.Priority = int(text[0] - '0')
		return nil
	}},
	{"originator", func(r *reading, text string) (err error) {
		if text != "" {
			r.Originator, err = servicerequests.ParseEUI(text)
		}
		return err
	}},
	{"history", func(r *reading, text string) error {
		r.History = history(text)
		return nil
	}},
	{"gpf_id", func(r *reading, text string) (err error) {
		if text == "" {
			return nil
		}
		if r.Type != servicerequests.GSME {
			return errors.New("only a GSME has a gas proxy: leave it empty")
		}
		if r.Proxy, err = servicerequests.ParseEUI(text); err == nil && (r.Proxy == r.Device || r.Proxy == r.Hub) {
			err = errors.New("the gas proxy is the meter or the hub itself")
		}
		return err
	}},
	{"balance_estimate", func(r *reading, text string) error {
		if text == "" {
			return nil
		}
		balance, err := servicerequests.ParsePounds(text)
		r.BalanceEstimate = &balance
		return err
	}},
	{"balance_at", func(r *reading, text string) (err error) {
		if text != "" && r.BalanceEstimate == nil {
			return errors.New("there is no balance_estimate that it dates")
		}
		r.BalanceAt, err = instant(text)
		return err
	}},
	{"last_top_up", func(r *reading, text string) (err error) {
		r.LastTopUp, err = instant(text)
		return err
	}},
	{"supply_state", func(r *reading, text string) (err error) {
		if text != "" {
			r.Supply, err = inAnyCase(text, servicerequests.ParseSupplyState,
				servicerequests.UnknownSupply, servicerequests.Disabled, servicerequests.Armed, servicerequests.Enabled)
		}
		return err
	}},
}

// smets1 is the device type, and DUIS's region, of meters of the first generation.
const (
	smets1       = "SMETS1"
	smets1Reason = "SMETS1 meter: counted and handed over, never sent anything"
)

// inAnyCase reads one of a few words as people write them: North, north, NORTH.
func inAnyCase[T fmt.Stringer](text string, parse func(string) (T, error), words ...T) (T, error) {
	for _, word := range words {
		if strings.EqualFold(text, word.String()) {
			return word, nil
		}
	}
	return parse(text)
}

// instant reads a time with its zone; empty is none.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := clock.ParseInstant(text)
	if err != nil {
		return t, fmt.Errorf("%q: %w", excerpt(text, 40), err)
	}
	return t, nil
}

const mpanDigits = 13

// mpanWeights are the primes of the MPAN check digit: the weighted sum of the
// first twelve digits, modulo 11, modulo 10.
var mpanWeights = [12]int{3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43}

func checkMPAN(text string) error {
	if len(text) != mpanDigits || !digits(text) {
		return fmt.Errorf("MPAN %q: want 13 digits", text)
	}
	sum := 0
	for i, weight := range mpanWeights {
		sum += int(text[i]-'0') * weight
	}
	if want := byte('0' + sum%11%10); text[12] != want {
		return fmt.Errorf("MPAN %q: check digit is %c, want %c", text, text[12], want)
	}
	return nil
}

func checkMPRN(text string) error {
	if len(text) < 6 || len(text) > 10 || !digits(text) {
		return fmt.Errorf("MPRN %q: want 6 to 10 digits", text)
	}
	return nil
}

func digits(text string) bool { return strings.Trim(text, "0123456789") == "" }

// history splits a history into its marks. A mark among other words is found as well, because
// missing one could turn on a supply that was turned off on purpose.
func history(text string) (list []string) {
	for entry := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == ',' }) {
		entry = strings.TrimSpace(entry)
		for _, mark := range []string{PendingFutureDatedMode, DisabledBySupplier} {
			if strings.Contains(entry, mark) && !slices.Contains(list, mark) {
				list = append(list, mark)
			}
		}
		if entry != "" && !slices.Contains(list, entry) {
			list = append(list, strings.Clone(entry))
		}
	}
	return list
}

// excerpt shortens a quotation from a broken row and makes it valid UTF-8.
func excerpt(text string, most int) string {
	return strings.Clone(strings.ToValidUTF8(text[:min(len(text), most)], "?"))
}
