package plan_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/servicerequests"
	"safemode/servicerequests/heaptest"
)

// reseal puts the right end line under the lines of a plan.
func reseal(text string) []byte {
	lines, _, _ := strings.Cut(text, `{"kind":"end"`)
	return fmt.Appendf(nil, "%s{\"kind\":\"end\",\"sha256\":\"%x\"}\n", lines, sha256.Sum256([]byte(lines)))
}

// A plan that is read is written again to the byte; any other text is refused
// with the package's own errors. Each text is also tried with the right end
// line, or little would get past it.
func FuzzRead(f *testing.F) {
	f.Add(string(encode(f, small(f))))
	f.Add(string(encode(f, build(f, options()))))
	f.Add(`{"kind":"header","version":3}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, file := range [][]byte{[]byte(text), reseal(text)} {
			var p *plan.Plan
			var err error
			heaptest.Limit(t, len(file), func() { p, err = plan.Read(bytes.NewReader(file)) })
			if err != nil {
				if !errors.Is(err, plan.ErrDamaged) && !errors.Is(err, plan.ErrVersion) {
					t.Errorf("foreign error %v", err)
				}
				continue
			}
			hash := p.SHA256
			if again := encode(t, p); !bytes.Equal(again, file) || p.SHA256 != hash {
				t.Errorf("read %q, wrote %q", file, again)
			}
		}
	})
}

func BenchmarkBuildWriteRead(b *testing.B) {
	var list []portfolio.Row
	for home := range 1000 {
		list = append(list, meter(home, 'e', servicerequests.North, home%10))
	}
	for b.Loop() {
		p := build(b, options(), list...)
		if _, err := plan.Read(bytes.NewReader(encode(b, p))); err != nil {
			b.Fatal(err)
		}
	}
}
