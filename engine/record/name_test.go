package record_test

import (
	"strings"
	"testing"

	"safemode/engine/record"
)

// Nobody can be called what the sweep calls itself, or hide in a name what nobody sees.
func TestCheckName(t *testing.T) {
	for _, name := range []string{"alice", "A. Person", "Zoë O'Neill-Łuczak", "李雷", strings.Repeat("ü", 100), "safemode operator"} {
		if err := record.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "safemode", "Safemode", "SAFE MODE", "safe-mode", "safemode.", " alice", "alice ", "a  b", "a\nb", "a\rb", "a\x1b[2Kb",
		"safe\u200bmode", "a\u202eb", "a\tb", "a\u00a0b", "\xff", strings.Repeat("x", 101), "ſafemode",
	} {
		if record.CheckName(name) == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
	for _, same := range [][2]string{{"alice", "Alice"}, {"A. Person", "a person"}, {"bob", "b-o-b"}} {
		if !record.SameName(same[0], same[1]) {
			t.Errorf("%q are two people", same)
		}
	}
	if record.SameName("alice", "alicia") {
		t.Error("alice is alicia")
	}
}
