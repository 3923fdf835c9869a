package record

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestName bounds a person's name, in characters.
const longestName = 100

// CheckName says whether a name can be a person's: printable text of 1 to 100
// characters, in words with one space between them. It must not read as [BySweep], nor differ
// from another name only in invisible characters.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("a person has a name")
	case !utf8.ValidString(name):
		return errors.New("the name is no UTF-8 text")
	case utf8.RuneCountInString(name) > longestName:
		return fmt.Errorf("the name has %d characters: at most %d", utf8.RuneCountInString(name), longestName)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("the name %.120q holds a character that is not printed", name)
	case strings.Join(strings.Fields(name), " ") != name:
		return fmt.Errorf("the name %.120q has spaces before, after or side by side", name)
	case SameName(name, BySweep):
		return fmt.Errorf("nobody is called %q: what the sweep does itself is recorded so", BySweep)
	}
	return nil
}

// SameName says whether two names look like one person's to a reader: the case of letters, and
// characters that are neither letters nor digits, do not count.
func SameName(a, b string) bool {
	plain := func(name string) string {
		return strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, name)
	}
	return strings.EqualFold(plain(a), plain(b))
}
