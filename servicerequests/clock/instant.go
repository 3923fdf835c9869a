package clock

import (
	"errors"
	"fmt"
	"time"
)

// ErrNoInstant says that a text names no instant.
var ErrNoInstant = errors.New("want an instant with its zone")

// ParseInstant reads an instant as people write it into files: RFC 3339, with its zone. A
// time without a zone may be an hour off, and a date a day: both are refused, and the
// error, which wraps [ErrNoInstant], says what to write for them in British time.
func ParseInstant(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), nil
	}
	like := func(t time.Time) string { return t.Format(time.RFC3339) }
	if day, err := time.ParseInLocation(time.DateOnly, text, British()); err == nil {
		return time.Time{}, fmt.Errorf("%w: %s is the beginning of that day in Britain, %s its end",
			ErrNoInstant, like(day), like(day.AddDate(0, 0, 1).Add(-time.Second)))
	}
	for _, layout := range []string{"2006-01-02T15:04:05", time.DateTime, "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, British()); err == nil {
			return time.Time{}, fmt.Errorf("%w: %s, if that is British time", ErrNoInstant, like(t))
		}
	}
	return time.Time{}, fmt.Errorf("%w, like 2026-11-23T18:00:00Z", ErrNoInstant)
}

// ParseDay reads a date, like 2026-11-30, as the day that it is in Great Britain: the
// instant at which it begins there.
func ParseDay(text string) (time.Time, error) {
	t, err := time.ParseInLocation(time.DateOnly, text, British())
	if err != nil {
		return time.Time{}, errors.New("want a date like 2026-11-30")
	}
	return t.UTC(), nil
}
