package clock_test

import (
	"errors"
	"testing"
	"time"

	"safemode/servicerequests/clock"
)

func TestParseInstant(t *testing.T) {
	for text, want := range map[string]string{
		"2026-12-21T23:59:59Z":      "2026-12-21T23:59:59Z",
		"2026-06-21T23:59:59+01:00": "2026-06-21T22:59:59Z",
	} {
		if got, err := clock.ParseInstant(text); err != nil || got.Format(time.RFC3339) != want || got.Location() != time.UTC {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"2026-06-21":          "want an instant with its zone: 2026-06-21T00:00:00+01:00 is the beginning of that day in Britain, 2026-06-21T23:59:59+01:00 its end",
		"2026-12-21":          "want an instant with its zone: 2026-12-21T00:00:00Z is the beginning of that day in Britain, 2026-12-21T23:59:59Z its end",
		"2026-03-29":          "want an instant with its zone: 2026-03-29T00:00:00Z is the beginning of that day in Britain, 2026-03-29T23:59:59+01:00 its end",
		"2026-06-21 23:59:59": "want an instant with its zone: 2026-06-21T23:59:59+01:00, if that is British time",
		"2026-06-21T23:59":    "want an instant with its zone: 2026-06-21T23:59:00+01:00, if that is British time",
		"21/12/2026":          "want an instant with its zone, like 2026-11-23T18:00:00Z",
		"":                    "want an instant with its zone, like 2026-11-23T18:00:00Z",
	} {
		if _, err := clock.ParseInstant(text); !errors.Is(err, clock.ErrNoInstant) || err.Error() != want {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

func TestParseDay(t *testing.T) {
	for text, want := range map[string]string{"2026-06-21": "2026-06-20T23:00:00Z", "2026-12-21": "2026-12-21T00:00:00Z"} {
		if got, err := clock.ParseDay(text); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if _, err := clock.ParseDay("21/06/2026"); err == nil {
		t.Error("taken")
	}
}
