package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"go.uber.org/zap"
)

// errNoAddress marks a message that has nowhere to go yet.
var errNoAddress = errors.New("no inbox address")

// deliver tries once and sees to what follows.
func (c *Courier) deliver(ctx context.Context, m message) {
	m.tries++
	c.posting.RLock()
	defer c.posting.RUnlock()
	status, err := c.post(ctx, m.body)
	switch {
	case err == nil && status == http.StatusNoContent:
		c.delivered.Add(1)
		if m.arrived != nil {
			m.arrived(c.options.Clock.Now())
		}
		return
	case ctx.Err() != nil:
		return
	case err == nil && status < http.StatusInternalServerError:
		c.refused.Add(1)
		c.options.Log.Warn("inbox refused a message", zap.Int("status", status))
		return
	}
	doublings := min(m.tries-1, 16)
	clock := c.options.Clock
	again := clock.Now().Add(max(
		min(firstPause<<doublings, longestPause),
		clock.Span(min(firstRealPause<<doublings, longestRealPause)),
	))
	if again.Sub(m.first) > max(c.options.GiveUp, clock.Span(leastGiveUp)) {
		c.givenUp.Add(1)
		c.options.Log.Warn("message given up", zap.Int("tries", m.tries), zap.Error(err))
		return
	}
	c.repeated.Add(1)
	c.options.Agenda.At(again, func() { c.put(m) })
}

// post returns the inbox's status. An error means that there was none.
func (c *Courier) post(ctx context.Context, body []byte) (status int, err error) {
	url := *c.url.Load()
	if url == "" {
		return 0, errNoAddress
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.TimeOut)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("inbox address: %w", err)
	}
	request.Header.Set("Content-Type", "application/xml")
	response, err := c.transport.RoundTrip(request) // not a Client's Do: it would follow redirects
	if err != nil {
		return 0, fmt.Errorf("post to inbox: %w", err)
	}
	defer response.Body.Close()
	// A connection is used again only when its answer was read to the end. Only
	// the status of the answer matters.
	_, _ = io.CopyN(io.Discard, response.Body, 4096)
	return response.StatusCode, nil
}
