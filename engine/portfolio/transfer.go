package portfolio

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"safemode/servicerequests/clock"
	"safemode/servicerequests/table"
)

// Transfer is a home that leaves the supplier, for one fuel, as a list says.
type Transfer struct {
	Line      int
	MPxN      string    // without zeros before it
	Effective time.Time // when it changes to another supplier
	Incoming  string    // MPID of that supplier
	Source    string
	AsOf      time.Time
}

// ReadTransfers reads a list of homes that leave: a table with the columns mpxn,
// effective_date, incoming_mpid, source and as_of. A date is a day of Great Britain, which
// begins at midnight there; an instant has its zone. Of several rows of one MPxN the one with
// the latest as_of counts, and of those with the same as_of the one with the earliest date. A
// row that cannot be read makes the whole list an error, so that a typing mistake does not
// expose a home. A list may have no rows. The error joins every fault with its line.
func ReadTransfers(r io.Reader) (map[string]Transfer, error) {
	in := table.NewReader(r)
	wanted := []string{"mpxn", "effective_date", "incoming_mpid", "source", "as_of"}
	header, err := in.Header(wanted)
	if err != nil {
		return nil, fmt.Errorf("list of transfers: %w", err)
	}
	at := map[string]int{}
	for i, name := range header {
		if _, twice := at[name]; twice && name != "" {
			return nil, fmt.Errorf("list of transfers: %w: column %q stands twice", ErrHeader, name)
		}
		at[name] = i
	}
	homes := map[string]Transfer{}
	var faults []error
	for {
		fields, line, err := in.Next()
		if errors.Is(err, io.EOF) {
			return homes, errors.Join(faults...)
		}
		if err != nil {
			return nil, errors.Join(append(faults, fmt.Errorf("list of transfers: %w", err))...)
		}
		var t Transfer
		if len(fields) != len(header) {
			err = fmt.Errorf("%d fields where the header has %d", len(fields), len(header))
		} else {
			t, err = transferOf(func(column string) string { return strings.TrimSpace(fields[at[column]]) })
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("list of transfers: line %d: %w", line, err))
			continue
		}
		t.Line = line
		if was, twice := homes[t.MPxN]; twice && (was.AsOf.After(t.AsOf) || was.AsOf.Equal(t.AsOf) && !t.Effective.Before(was.Effective)) {
			continue
		}
		homes[t.MPxN] = t
	}
}

func transferOf(get func(column string) string) (t Transfer, err error) {
	if t.MPxN, err = PlainMPxN(get("mpxn")); err != nil {
		return t, fmt.Errorf("mpxn: %w", err)
	}
	if t.Effective, err = dayOrInstant(get("effective_date")); err != nil {
		return t, fmt.Errorf("effective_date %q: %w", excerpt(get("effective_date"), 40), err)
	}
	if text := get("as_of"); text != "" {
		if t.AsOf, err = dayOrInstant(text); err != nil {
			return t, fmt.Errorf("as_of %q: %w", excerpt(text, 40), err)
		}
	}
	t.Incoming, t.Source = excerpt(get("incoming_mpid"), 40), excerpt(get("source"), 200)
	return t, nil
}

// dayOrInstant reads a day, which begins at midnight in Great Britain, or an instant.
func dayOrInstant(text string) (time.Time, error) {
	if t, err := clock.ParseInstant(text); err == nil {
		return t, nil
	}
	t, err := clock.ParseDay(text)
	if err != nil {
		return t, fmt.Errorf("%w, or an instant with its zone", err)
	}
	return t, nil
}

// PlainMPxN is an MPAN or MPRN as two lists can be compared by it: digits, without the
// zeros that some write before an MPRN and some lose.
func PlainMPxN(text string) (string, error) {
	switch plain := strings.TrimLeft(text, "0"); {
	case strings.ContainsAny(text, "eE+.") && text != "":
		return "", fmt.Errorf("%q: a spreadsheet has made a number of it: have the column hold text", excerpt(text, 40))
	case !digits(text) || len(plain) < 5 || len(text) > mpanDigits:
		return "", fmt.Errorf("%q: want an MPAN of 13 digits or an MPRN of 6 to 10", excerpt(text, 40))
	case len(text) == mpanDigits:
		return strings.Clone(text), checkMPAN(text)
	case len(text) > 10:
		return "", fmt.Errorf("%q: want an MPAN of 13 digits or an MPRN of 6 to 10", excerpt(text, 40))
	default:
		return strings.Clone(plain), nil
	}
}
