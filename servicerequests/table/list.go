package table

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode/utf8"
)

// maxLine bounds one line of a list, in bytes.
const maxLine = 64 << 10

// Lines reads the entries of a list with the numbers of their lines: without comments,
// blank lines, and white space around them. An error ends it.
func Lines(r io.Reader) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		in := bufio.NewReaderSize(r, looked)
		head, _ := in.Peek(looked) // its error comes again
		if is := foreign(head); is != "" {
			yield(Line{}, errors.New(strings.ReplaceAll(is, "CSV UTF-8 (comma delimited)", "plain text, UTF-8")))
			return
		}
		if bytes.HasPrefix(head, mark) {
			_, _ = in.Discard(len(mark))
		}
		scanner := bufio.NewScanner(in)
		scanner.Buffer(nil, maxLine)
		scanner.Split(endOfLine)
		for number := 1; scanner.Scan(); number++ {
			text, _, _ := strings.Cut(scanner.Text(), "#")
			if text = strings.TrimSpace(text); text != "" && !yield(Line{number, text}, nil) {
				return
			}
		}
		if err := scanner.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(Line{}, fmt.Errorf("a line of over %d bytes", maxLine))
		} else if err != nil {
			yield(Line{}, err)
		}
	}
}

// Line is an entry of a list.
type Line struct {
	Number int // from 1
	Text   string
}

// endOfLine splits at every end of a line that some program writes or shows as one: LF,
// CR, CRLF, vertical tab, form feed, and the two of Unicode and of mainframes.
func endOfLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	i := bytes.IndexFunc(data, func(r rune) bool {
		return r == '\n' || r == '\r' || r == '\v' || r == '\f' || r == '\u0085' || r == '\u2028' || r == '\u2029'
	})
	switch {
	case i < 0 && !atEOF, i >= 0 && data[i] == '\r' && i+1 == len(data) && !atEOF: // LF may follow
		return 0, nil, nil
	case i < 0 && len(data) == 0:
		return 0, nil, nil
	case i < 0:
		return len(data), data, nil
	case bytes.HasPrefix(data[i:], []byte("\r\n")):
		return i + 2, data[:i], nil
	}
	_, size := utf8.DecodeRune(data[i:])
	return i + size, data[:i], nil
}
