package main

import (
	"strconv"
	"unicode/utf8"
)

// mostQuoted is how much of a text that others have written is shown, in characters.
const mostQuoted = 120

// quoted shows text that somebody else has written: in quotes, with everything that is not
// printed escaped, and cut where it is long. Nothing of it can move a cursor, end a line or
// pass for what the program says.
func quoted(text string) string {
	if utf8.RuneCountInString(text) <= mostQuoted {
		return strconv.Quote(text)
	}
	end := 0
	for n := 0; n < mostQuoted; n++ {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	return strconv.Quote(text[:end]) + " (cut: " + strconv.Itoa(len(text)) + " bytes)"
}
