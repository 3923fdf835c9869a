package strictyaml_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"safemode/servicerequests/strictyaml"
)

// A text over a limit, however short or long, is refused with the limit, at little cost
// in memory and time. A text at the limit is not.
func TestWhatIsOverTheLimits(t *testing.T) {
	deep := strings.Repeat("{a: ", 9000) + strings.Repeat("}", 9000)
	nested := func(levels int) string { return "a: " + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) }
	var keys strings.Builder
	for i := range strictyaml.MaxKeys + 1 {
		fmt.Fprintf(&keys, "a%d: 1\n", i)
	}
	for name, test := range map[string]struct {
		text, want string // want empty: not refused for a limit
	}{
		"mappings 9,000 deep":       {"a: " + deep, "more than 16 deep"},
		"lists 9,000 deep":          {nested(9000), "more than 16 deep"},
		"blocks 9,000 deep":         {"a:\n" + strings.Repeat("- ", 9000) + "x", "more than 16 deep"},
		"one too deep":              {nested(strictyaml.MaxDepth + 1), "more than 16 deep"},
		"as deep as it may be":      {nested(strictyaml.MaxDepth), ""},
		"64 MB":                     {"a: " + strings.Repeat("x", 64<<20), "longer than 262144 bytes"},
		"one byte too long":         {"a: " + strings.Repeat("x", strictyaml.MaxBytes-2), "longer than 262144 bytes"},
		"too many keys":             {keys.String(), "more than 1000 keys"},
		"a key twice, in a mapping": {"a: {b: 1, b: 2}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			err := strictyaml.Unmarshal([]byte(test.text), &file{})
			took := time.Since(begun)
			runtime.ReadMemStats(&after)
			memory := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes: %v, %d KB", len(test.text), took, memory>>10)
			var syntax *strictyaml.SyntaxError
			limited := errors.As(err, &syntax) && strings.Contains(err.Error(), "more than") || err != nil && strings.Contains(err.Error(), "longer than")
			if limited != (test.want != "") || !strings.Contains(fmt.Sprint(err), test.want) {
				t.Errorf("%.200v, want %q", err, test.want)
			}
			if memory > uint64(len(test.text))+32<<20 || took > 5*time.Second {
				t.Errorf("%d bytes of memory and %v for %d bytes of text", memory, took, len(test.text))
			}
		})
	}
}
