package portfolio_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"safemode/engine/portfolio"
	"safemode/servicerequests"
	"safemode/servicerequests/heaptest"
)

// Whatever the file, errors are the package's own, the last is the last, and
// what is accepted keeps every rule of a row.
func FuzzRead(f *testing.F) {
	f.Add(header + esme + gsme)
	f.Add("\ufeff" + strings.ReplaceAll(header+esme, "\n", "\r\n"))
	f.Add(header + esme + `"`)
	f.Add(strings.Replace(header, "source", "source,history,originator,x", 1) + strings.Replace(esme, "cscp", "cscp,disabled_by_supplier;,,", 1))
	f.Fuzz(func(t *testing.T, text string) {
		ended := false
		seen := map[servicerequests.EUI]bool{}
		heaptest.Limit(t, len(text), func() {
			for range portfolio.Read(strings.NewReader(text), portfolio.Options{CarryColumns: []string{"x"}}) {
			}
		})
		for row, err := range portfolio.Read(strings.NewReader(text), portfolio.Options{CarryColumns: []string{"x"}}) {
			if ended {
				t.Fatal("something followed the last error")
			}
			if err != nil {
				_, one := errors.AsType[*portfolio.RowError](err)
				ended = !one
				if !one && !errors.Is(err, portfolio.ErrHeader) && !errors.Is(err, portfolio.ErrUnreadable) {
					t.Fatalf("foreign error %v", err)
				}
				continue
			}
			if row.Device == 0 || row.Hub == 0 || row.Region == servicerequests.UnknownRegion || row.Line < 2 ||
				row.Priority < 0 || row.Priority > 9 || seen[row.Device] || !utf8.ValidString(row.Source) ||
				row.Type != servicerequests.ESME && row.Type != servicerequests.GSME {
				t.Fatalf("accepted %+v", row)
			}
			seen[row.Device] = true
		}
	})
}
