package servicerequests_test

import (
	"testing"

	"pgregory.net/rapid"

	"safemode/servicerequests"
)

func TestParsePounds(t *testing.T) {
	for text, want := range map[string]servicerequests.Millipence{
		"0": 0, "2.00": 200_000, "-0.5": -50_000, "0.00001": 1, "999999999.99999": 99_999_999_999_999,
	} {
		if got, err := servicerequests.ParsePounds(text); err != nil || got != want {
			t.Errorf("ParsePounds(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", ".5", "1.", "+1", "1.000001", "1e3", "£2", " 1", "--1", "1000000000"} {
		if got, err := servicerequests.ParsePounds(text); err == nil {
			t.Errorf("ParsePounds(%q) = %d; want an error", text, got)
		}
	}
}

func TestMillipenceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := servicerequests.Millipence(rapid.Int64Range(-99_999_999_999_999, 99_999_999_999_999).Draw(t, "m"))
		if got, err := servicerequests.ParsePounds(m.String()); err != nil || got != m {
			t.Fatalf("%s reads back as %d, %v", m, got, err)
		}
	})
}
