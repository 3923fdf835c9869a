package xmltree

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// ordinary are the characters that are nothing but themselves in a text and in an
// attribute's value: ASCII but controls, " & ' < and >.
var ordinary = func() (table [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '&' && c != '\'' && c != '<' && c != '>'
	}
	return table
}()

// characters reads and decodes up to the next "<" or quote: text if the quote is
// "<", an attribute's value otherwise. What ended it is left to be read.
func (p *parser) characters(quote byte) (piece, error) {
	start := p.pos
	plain := true // what was read stands for itself
	p.plain = true
	for {
		at := p.pos
		for at < len(p.src) && ordinary[p.src[at]] {
			at++
		}
		if p.pos = at; at == len(p.src) {
			break
		}
		c := p.src[at]
		if c == '<' || c == quote {
			return p.decode(start, plain, quote)
		}
		p.plain = false
		switch {
		case c == '&' || c == '\r' || isSpace(c) && c != ' ' && quote != '<':
			plain = false
		case c == '>' && quote == '<' && strings.HasSuffix(p.src[start:p.pos], "]]"):
			return piece{}, p.fail("]]> in text")
		case c < ' ' && !isSpace(c) || c >= utf8.RuneSelf:
			size := charLength(p.src[p.pos:])
			if size == 0 {
				return piece{}, p.fail("character that XML does not allow")
			}
			p.pos += size
			continue
		}
		p.pos++
	}
	return p.decode(start, plain, quote)
}

// decode returns what src[start:pos] stands for: line ends become "\n", in an
// attribute's value white space becomes a blank, references their characters.
func (p *parser) decode(start int, plain bool, quote byte) (piece, error) {
	if plain {
		return piece{int32(start), int32(p.pos)}, nil
	}
	raw := p.src[start:p.pos]
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '&' {
			name, _, found := strings.Cut(raw[i+1:], ";")
			r := dereference(name)
			if !found || r < 0 {
				p.pos = start + i
				return piece{}, p.fail("reference to no predefined entity and no character")
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
	return p.d.decode(string(b)), nil
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
	digits, base := strings.TrimPrefix(name, "#"), 10
	if hex, found := strings.CutPrefix(name, "#x"); found {
		digits, base = hex, 16
	}
	// ParseUint takes neither a sign nor, with a base, an underscore.
	code, err := strconv.ParseUint(digits, base, 21)
	if err != nil || !isChar(rune(code)) || digits == name {
		return -1
	}
	return rune(code)
}

// charLength returns the length of the first character of s, 0 if it is not
// UTF-8 or not a character of XML 1.0.
func charLength(s string) int {
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size <= 1 || !isChar(r) {
		return 0
	}
	return size
}

// isChar is the production Char of XML 1.0.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' ||
		' ' <= r && r <= 0xD7FF || 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= utf8.MaxRune
}
