package duis_test

import (
	"os"
	"testing"

	"safemode/servicerequests/outside"
)

// seedSamples adds the outside vectors of a pattern, where they are, as they came
// and as a signature check would hand them over.
func seedSamples(f *testing.F, pattern string) {
	f.Helper()
	if !outside.HasVectors(f) {
		return
	}
	for _, file := range outside.Files(f, pattern) {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(outside.Unsigned(f, b))
	}
}
