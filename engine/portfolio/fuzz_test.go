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

// For any file, errors are the package's own, nothing follows an error that is not a
// row's, and a row that is accepted keeps every rule.
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

// FuzzReadSuppressed: a list gives every device that stands on a line of its own, however
// lines end, or is refused as a whole. What is listed must never be left out.
func FuzzReadSuppressed(f *testing.F) {
	f.Add("00-DB-12-E0-81-5F-B8-B8\n# leave\r00-DB-12-E0-81-5F-B8-B9 # a note\r\n")
	f.Add("\ufeff00db12e0815fb8b8\v00db12e0815fb8b9\u2028")
	f.Add("# none\n")
	f.Add("00-DB-12-E0-81-5F-B8-B8;00-DB-12-E0-81-5F-B8-B9")
	f.Fuzz(func(t *testing.T, text string) {
		var devices map[servicerequests.EUI]struct{}
		var err error
		heaptest.Limit(t, len(text), func() { devices, err = portfolio.ReadSuppressed(strings.NewReader(text)) })
		if err != nil {
			if devices != nil {
				t.Fatalf("refused, and yet %d devices: %v", len(devices), err)
			}
			return
		}
		if len(devices) == 0 {
			t.Fatal("a list without devices is taken")
		}
		for line := range strings.FieldsFuncSeq(strings.TrimPrefix(text, "\ufeff"), func(r rune) bool { return strings.ContainsRune("\n\r\v\f\u0085\u2028\u2029", r) }) {
			entry, _, _ := strings.Cut(line, "#")
			if eui, err := servicerequests.ParseEUI(strings.TrimSpace(entry)); err == nil {
				if _, listed := devices[eui]; !listed {
					t.Fatalf("%v stands in the list and is left out", eui)
				}
			}
		}
	})
}
