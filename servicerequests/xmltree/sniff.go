package xmltree

import (
	"bytes"
	"strings"
)

// Begins says whether bytes begin as a document does: with "<", after a byte order mark
// and white space. It tells a message from something else, and no more.
func Begins(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte(byteOrderMark))
	return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("<"))
}

// IsMediaType says whether a Content-Type is one of XML's. Its parameters do not count,
// however they are written.
func IsMediaType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	return media == "application/xml" || media == "text/xml"
}
