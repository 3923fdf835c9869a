package record

import (
	"regexp"
	"strings"
)

// ids are what could name a device or a home: an EUI-64, an MPAN of 13 digits, an MPRN of
// up to 10. Counts have six digits or fewer.
var ids = regexp.MustCompile(`(?i)[0-9a-f]{2}(?:[-:][0-9a-f]{2}){7}|\b[0-9a-f]{16}\b|[0-9]{7,}`)

// instants end in fractions of a second, which name nobody.
var instants = regexp.MustCompile(`[0-9]{2}:[0-9]{2}:[0-9]{2}\.([0-9]+)`)

// Hide takes out of a text what could name a device or a home, and makes one line of it.
func Hide(text string) string {
	text = instants.ReplaceAllStringFunc(text, func(at string) string { return at[:min(len(at), len("15:04:05.000"))] })
	return strings.Join(strings.Fields(ids.ReplaceAllString(text, "[hidden]")), " ")
}
