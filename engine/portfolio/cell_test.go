package portfolio_test

import (
	"strings"
	"testing"

	"safemode/engine/portfolio"
)

// A value that is too long to be kept is refused with its row; what follows is read, and
// what is dropped may be as long as it likes.
func TestLongValueIsRefusedWithItsRow(t *testing.T) {
	long := strings.Repeat("x", 900<<10)
	wide := strings.Replace(header, "source", "source,history,note,name", 1)
	row := func(line, source, history, note, name string) string {
		return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), ",cscp") + "," + strings.Join([]string{source, history, note, name}, ",") + "\n"
	}
	other := strings.Replace(esme, "-00-01,ESME", "-00-03,ESME", 1)
	for column, text := range map[string]string{
		"source":  row(esme, long, "", "", ""),
		"history": row(esme, "", long, "", ""),
		"note":    row(esme, "", "", long, ""),
		"":        row(esme, "", "", "", long),
	} {
		rows, refused, broken := read(t, wide+text+row(other, strings.Repeat("y", 4096), "", "", ""), portfolio.Options{CarryColumns: []string{"note"}})
		if broken != nil {
			t.Errorf("%q: %v", column, broken)
		}
		want := "line 2: " + column + ": 921600 bytes: want at most 4096"
		if column == "" {
			if len(rows) != 2 || refused != nil {
				t.Errorf("a dropped column: %d rows, refused %.200v", len(rows), refused)
			}
		} else if len(rows) != 1 || len(refused) != 1 || refused[0] != want {
			t.Errorf("%q: %d rows, refused %.200v, want %s", column, len(rows), refused, want)
		}
	}
}
