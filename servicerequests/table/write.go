package table

import (
	"encoding/csv"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Writer writes a table that people may open in a spreadsheet or look at in a terminal: a
// cell that a spreadsheet would run as a formula begins with an apostrophe, and what a
// terminal would obey is written as Go writes it in quotes. Both are [Cell]'s.
type Writer struct{ out *csv.Writer }

// NewWriter makes a writer. It may buffer its output until [Writer.End].
func NewWriter(w io.Writer) *Writer { return &Writer{csv.NewWriter(w)} }

// Write writes one record. [Writer.End] says whether it could.
func (w *Writer) Write(record ...string) {
	cells := make([]string, len(record))
	for i, text := range record {
		cells[i] = Cell(text)
	}
	_ = w.out.Write(cells) // the error stays
}

// WriteAll writes records, and ends.
func (w *Writer) WriteAll(records [][]string) error {
	for _, record := range records {
		w.Write(record...)
	}
	return w.End()
}

// End writes what waits, and returns the first error of all.
func (w *Writer) End() error {
	w.out.Flush()
	return w.out.Error()
}

// plainNumber is a number that a spreadsheet takes as one.
var plainNumber = regexp.MustCompile(`^[-+]?[0-9]+(\.[0-9]+)?$`)

// Cell is a text as a cell of a spreadsheet may hold it: it runs nothing of it.
func Cell(text string) string {
	begin, _ := utf8.DecodeRuneInString(text)
	if text != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", begin) && !plainNumber.MatchString(text) {
		text = "'" + text
	}
	return Shown(text)
}

// Shown makes a text from outside safe for a terminal: a character that is not printable
// becomes an escape such as \x1b, and a byte that is not UTF-8 a question mark.
func Shown(text string) string {
	if !strings.ContainsFunc(text, unshown) {
		return strings.ToValidUTF8(text, "?")
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(text, "?") {
		switch {
		case !unshown(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// unshown is what a terminal or a reader's eye would take for something else: control
// characters, and those that turn the direction of writing or show nothing.
func unshown(r rune) bool {
	return unicode.Is(unicode.C, r) && r != '\n' && r != '\t'
}
