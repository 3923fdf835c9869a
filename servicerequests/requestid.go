package servicerequests

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxCounter is the largest originator counter: GBCS limits it to 63 bits.
const MaxCounter = 1<<63 - 1

// RequestID names a Service Request: originator, target and originator
// counter. The same three fields stand in the Grouping Header of the GBCS
// message that the request becomes, so the counter is also the one by which
// the meter refuses replays. A ResponseID has the same form with originator
// and target changed about.
type RequestID struct {
	Originator EUI
	Target     EUI
	Counter    uint64 // 1 to MaxCounter
}

// ParseRequestID reads "originator:target:counter", with the counter in
// decimal without leading zeros. EUIs may be of either case (DUIS RequestIDType).
func ParseRequestID(text string) (RequestID, error) {
	var id RequestID
	originator, rest, ok := strings.Cut(text, ":")
	target, counter, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return id, fmt.Errorf("request ID %q: want originator:target:counter", text)
	}
	if len(originator) != 23 || len(target) != 23 {
		return id, fmt.Errorf("request ID %q: EUIs must be hyphenated", text)
	}
	var err error
	if id.Originator, err = ParseEUI(originator); err != nil {
		return id, fmt.Errorf("request ID: originator: %w", err)
	}
	if id.Target, err = ParseEUI(target); err != nil {
		return id, fmt.Errorf("request ID: target: %w", err)
	}
	if id.Counter, err = ParseCounter(counter); err != nil {
		return id, fmt.Errorf("request ID: %w", err)
	}
	return id, nil
}

// ParseCounter reads an originator counter: decimal, no sign, no leading
// zeros, 1 to MaxCounter.
func ParseCounter(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 || text[0] == '0' || text[0] == '+' {
		return 0, fmt.Errorf("counter %q: want a decimal number from 1 to %d", text, uint64(MaxCounter))
	}
	return n, nil
}

// AppendText appends "originator:target:counter".
func (id RequestID) AppendText(b []byte) ([]byte, error) {
	b, _ = id.Originator.AppendText(b)
	b, _ = id.Target.AppendText(append(b, ':'))
	return strconv.AppendUint(append(b, ':'), id.Counter, 10), nil
}

// String returns "originator:target:counter".
func (id RequestID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 68))
	return string(b)
}

// MarshalText returns "originator:target:counter".
func (id RequestID) MarshalText() ([]byte, error) { return id.AppendText(nil) }

// UnmarshalText reads what [ParseRequestID] reads.
func (id *RequestID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseRequestID(string(text))
	return err
}

// Reversed changes originator and target about: from a request's ID to the ID
// of the response, and back.
func (id RequestID) Reversed() RequestID {
	return RequestID{Originator: id.Target, Target: id.Originator, Counter: id.Counter}
}
