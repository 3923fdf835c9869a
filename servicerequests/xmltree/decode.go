package xmltree

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// decode returns what src[start:pos] stands for: line ends become "\n", in an
// attribute's value white space becomes a blank, references their characters.
func (p *parser) decode(start int, plain bool, quote byte) (string, error) {
	raw := p.src[start:p.pos]
	if plain {
		return raw, nil
	}
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '&' {
			name, _, found := strings.Cut(raw[i+1:], ";")
			r := dereference(name)
			if !found || r < 0 {
				p.pos = start + i
				return "", p.fail("reference to no predefined entity and no character")
			}
			b = utf8.AppendRune(b, r)
			i += len(name) + 1
			continue
		}
		if c == '\r' {
			if i+1 < len(raw) && raw[i+1] == '\n' {
				continue
			}
			c = '\n'
		}
		if quote != '<' && isSpace(c) {
			c = ' '
		}
		b = append(b, c)
	}
	return string(b), nil
}

// dereference returns the character that &name; stands for, -1 if none.
func dereference(name string) rune {
	switch name {
	case "amp":
		return '&'
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	digits, base := "", 10
	if hex, found := strings.CutPrefix(name, "#x"); found {
		digits, base = hex, 16
	} else {
		digits, _ = strings.CutPrefix(name, "#")
	}
	// ParseUint takes neither a sign nor, with a base, an underscore.
	code, err := strconv.ParseUint(digits, base, 21)
	if err != nil || !isChar(rune(code)) || digits == name {
		return -1
	}
	return rune(code)
}
