package main

import "strconv"

// mostQuoted is how much of a text that others have written is shown, in characters.
const mostQuoted = 120

// quoted shows text that somebody else has written: in quotes, with everything that is not
// printed escaped, and cut where it is long. Nothing of it can move a cursor, end a line or
// pass for what the program says.
func quoted(text string) string {
	n := 0
	for end := range text {
		if n == mostQuoted {
			return strconv.Quote(text[:end]) + " (cut: " + strconv.Itoa(len(text)) + " bytes)"
		}
		n++
	}
	return strconv.Quote(text)
}
