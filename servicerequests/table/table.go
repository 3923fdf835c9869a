package table

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrHeader marks a file without the wanted header in its first line, or that is no table at
// all.
var ErrHeader = errors.New("header")

// ErrUnreadable marks a file that is no CSV from some line on.
var ErrUnreadable = errors.New("is not readable")

// maxRecord bounds one record, in bytes.
const maxRecord = 1 << 20

// looked is how much of a file's beginning is looked at to tell what it is, in bytes.
const looked = 64 << 10

// Reader reads the records of one table. Make it with [NewReader], read the header once,
// then the records.
type Reader struct {
	csv    *csv.Reader
	source *bufio.Reader
	left   int    // bytes that the record under way may still take from source
	head   []byte // the file's beginning, where Header has failed
	width  int
	blank  int
}

// NewReader makes a reader. It reads nothing yet.
func NewReader(r io.Reader) *Reader {
	t := &Reader{source: bufio.NewReaderSize(r, looked)}
	t.csv = csv.NewReader(bounded{t})
	t.csv.FieldsPerRecord = -1 // the record's own fault, not the file's
	t.csv.ReuseRecord = true
	return t
}

// Header reads the header line: its fields without the white space around them, among
// which all the required ones are. The error wraps [ErrHeader] or [ErrUnreadable] and says
// what the file is instead.
func (t *Reader) Header(required []string) ([]string, error) {
	head, _ := t.source.Peek(looked) // its error comes again
	if is := foreign(head); is != "" {
		return nil, fmt.Errorf("%w: %s", ErrHeader, is)
	}
	t.head = bytes.Clone(head)
	if bytes.HasPrefix(head, mark) {
		_, _ = t.source.Discard(len(mark))
	}
	fields, _, err := t.record()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: the file is empty", ErrHeader)
	}
	if err != nil {
		if is := instead(t.head, required); is != "" { // a quote in a title, say
			return nil, fmt.Errorf("%w: %s", ErrHeader, is)
		}
		return nil, err
	}
	var names []string
	for _, name := range fields {
		if strings.Contains(name, "\r") {
			return nil, fmt.Errorf("%w: lines end with CR only: save the file with LF or CRLF", ErrHeader)
		}
		names = append(names, strings.Clone(strings.TrimSpace(name)))
	}
	var missing []string
	for _, name := range required {
		if !slices.Contains(names, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		if is := instead(t.head, required); is != "" {
			return nil, fmt.Errorf("%w: %s", ErrHeader, is)
		}
		return nil, fmt.Errorf("%w: missing %s; line 1 has %s%s", ErrHeader, strings.Join(missing, ", "), many(len(names), "column"), likely(names, required, missing))
	}
	t.head, t.width = nil, len(names)
	return names, nil
}

// Next returns the next record's fields, valid until the call after, and the line it
// begins on. Records of empty fields are skipped. It returns io.EOF at the end of the
// file; another error wraps [ErrUnreadable] and is the last.
func (t *Reader) Next() ([]string, int, error) {
	for {
		fields, line, err := t.record()
		if err != nil {
			return nil, 0, err
		}
		if len(fields) != t.width && slices.ContainsFunc(fields, func(f string) bool { return strings.Contains(f, "\r") }) {
			return nil, 0, fmt.Errorf("%w: line %d: lines end with CR only from here: save the file with LF or CRLF", ErrUnreadable, line)
		}
		if slices.ContainsFunc(fields, func(f string) bool { return strings.TrimSpace(f) != "" }) {
			return fields, line, nil
		}
		t.blank++
	}
}

// Blank is how many records of empty fields were skipped.
func (t *Reader) Blank() int { return t.blank }

func (t *Reader) record() ([]string, int, error) {
	t.left = maxRecord
	fields, err := t.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, 0, io.EOF
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	line, _ := t.csv.FieldPos(0)
	return fields, line, nil
}

var errTooLong = fmt.Errorf("record of over %d bytes: is a quote not closed?", maxRecord)

// bounded passes the source on to the CSV reader, up to the bound.
type bounded struct{ t *Reader }

func (b bounded) Read(p []byte) (int, error) {
	if b.t.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.t.source.Read(p[:min(len(p), b.t.left)])
	b.t.left -= n
	return n, err
}

// mark is the byte order mark of UTF-8.
var mark = []byte("\ufeff")

// signatures are how files begin that people take for text.
var signatures = [...]struct{ begin, is string }{
	{"PK\x03\x04", "an Excel workbook or another ZIP file: save it as CSV UTF-8 (comma delimited)"},
	{"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV UTF-8 (comma delimited)"},
	{"\xff\xfe", "UTF-16 text: save it as CSV UTF-8 (comma delimited)"},
	{"\xfe\xff", "UTF-16 text: save it as CSV UTF-8 (comma delimited)"},
	{"\x1f\x8b", "a gzip file: unpack it"},
	{"%PDF", "a PDF file: ask for the table itself, as CSV"},
	{"{\\rtf", "an RTF document: save it as plain text"},
	{"<", "XML or a web page: save it as CSV UTF-8 (comma delimited)"},
}

// foreign says what a file is that is no plain text by its first bytes; empty: it may be.
func foreign(head []byte) string {
	for _, s := range signatures {
		if bytes.HasPrefix(bytes.TrimPrefix(head, mark), []byte(s.begin)) {
			return s.is
		}
	}
	if bytes.IndexByte(head[:min(len(head), 512)], 0) >= 0 {
		return "UTF-16 text without a mark, or no text: save it as CSV UTF-8 (comma delimited)"
	}
	return ""
}

// separators are those that spreadsheets write, by name.
var separators = [...]struct{ separator, name string }{{",", "','"}, {";", "';'"}, {"\t", "tabs"}, {"|", "'|'"}}

// searched is in how many lines a header is looked for.
const searched = 20

// instead looks for the header in a file's first lines, with each separator. Empty: it is
// not there.
func instead(head []byte, required []string) string {
	found, line, name := len(required)/2, 0, ""
	lines := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(bytes.TrimPrefix(head, mark)))
	for i, text := range strings.SplitN(lines, "\n", searched+1) {
		if i == searched {
			break
		}
		for _, s := range separators {
			n := 0
			for field := range strings.SplitSeq(text, s.separator) {
				if slices.Contains(required, strings.Trim(strings.TrimSpace(field), `"`)) {
					n++
				}
			}
			if n > found {
				found, line, name = n, i+1, s.name
			}
		}
	}
	var is []string
	if line > 0 && name != separators[0].name {
		is = append(is, "separated by "+name+": save it as CSV with commas")
	}
	if line > 1 {
		is = append(is, fmt.Sprintf("the header is line %d: remove what is before it", line))
	}
	return strings.Join(is, "; ")
}

// likely says which of the names stand for missing ones.
func likely(names, required, missing []string) string {
	plain := func(name string) string {
		return strings.Map(func(r rune) rune {
			if r == '_' || r == ' ' || r == '-' || r == '.' {
				return -1
			}
			return unicode.ToLower(r)
		}, name)
	}
	var said []string
	for _, want := range missing {
		for _, name := range names {
			if plain(name) == plain(want) {
				said = append(said, fmt.Sprintf("%q is written %s", name, want))
			}
		}
	}
	if len(said) == 0 && len(missing) < len(required) { // a header line, for it names some
		others := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(required, name) })
		if len(others) == 0 {
			return ""
		}
		return "; beside the others it has " + Names(others)
	}
	if len(said) == 0 {
		return ""
	}
	return ": " + strings.Join(said, ", ")
}

// Names lists columns for people: those that look like the name of a column, quoted, and how
// many do not. The others may be values, of a file without a header line.
func Names(columns []string) string {
	var names []string
	shown := Showable(columns)
	for _, c := range shown {
		names = append(names, fmt.Sprintf("%q", c))
	}
	if others := len(columns) - len(shown); others > 0 {
		names = append(names, many(others, "column")+" without a name that can be shown")
	}
	return strings.Join(names, ", ")
}

// Showable lists those columns that look like the name of one.
func Showable(columns []string) []string {
	shown := []string{}
	for _, c := range columns {
		if looksLikeName(c) {
			shown = append(shown, c)
		}
	}
	return shown
}

// looksLikeName says whether a text is the name of a column by its look: a letter first,
// then letters, a few digits and signs.
func looksLikeName(text string) bool {
	digits := 0
	for i, r := range text {
		switch {
		case unicode.IsDigit(r):
			digits++
		case !unicode.IsLetter(r) && !strings.ContainsRune(" _-./()#&", r):
			return false
		}
		if i == 0 && !unicode.IsLetter(r) {
			return false
		}
	}
	return text != "" && len(text) <= 40 && digits <= 3 && utf8.ValidString(text)
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
