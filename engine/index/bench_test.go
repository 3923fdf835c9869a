package index_test

import (
	"path/filepath"
	"testing"

	"safemode/engine/index"
	"safemode/engine/journal"
)

// BenchmarkCatchUp measures what it costs, for each record, to keep up
// with the journal.
func BenchmarkCatchUp(b *testing.B) {
	path := filepath.Join(b.TempDir(), "journal.db")
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	fill(b, j, 100)
	records := int(j.Tip().Seq)
	for b.Loop() {
		x, err := index.Open(b.Context(), filepath.Join(b.TempDir(), "index"), j.ID(), j)
		if err != nil {
			b.Fatal(err)
		}
		for more := true; more; {
			if more, err = x.CatchUp(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}
