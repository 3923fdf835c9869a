package clock_test

import (
	"errors"
	"strings"
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

// FuzzParse: what is taken for an instant names its zone, and comes back as the same instant;
// a day begins at midnight of British time.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"2026-12-21T23:59:59Z", "2026-06-21T23:59:59+01:00", "2026-06-21", "2026-03-29 01:30", "2026-10-25T01:30:00", "", "21/12/2026"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		switch at, err := clock.ParseInstant(text); {
		case err != nil:
			if !errors.Is(err, clock.ErrNoInstant) || !at.IsZero() {
				t.Fatalf("%v, %v", at, err)
			}
		case !strings.HasSuffix(text, "Z") && !strings.ContainsAny(text[max(0, len(text)-6):], "+-"):
			t.Fatalf("%q names no zone and is taken for %v", text, at)
		default:
			if again, err := clock.ParseInstant(at.Format(time.RFC3339Nano)); err != nil || !again.Equal(at) {
				t.Fatalf("%q is %v, and again %v, %v", text, at, again, err)
			}
		}
		if day, err := clock.ParseDay(text); err == nil {
			if local := day.In(clock.British()); local.Hour() != 0 || local.Minute() != 0 || local.Format(time.DateOnly) != text {
				t.Fatalf("the day %q begins at %v", text, local)
			}
		}
	})
}
