package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"safemode/servicerequests/xmltree"
)

// Outcomes of a POST that brought no reply to read; see the package comment.
var (
	ErrNotWritten = errors.New("gateway: nothing was sent")
	ErrRejected   = errors.New("gateway: the DCC rejects these bytes")
	ErrInDoubt    = errors.New("gateway: the DCC may have these bytes")
)

// ThrottledError means that the DCC asks to send the request again later. It did not accept
// it.
type ThrottledError struct {
	Status     int           // 429 or 503
	RetryAfter time.Duration // real time from now; 0 where the DCC did not say
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("gateway: throttled: HTTP status %d, retry after %v", e.Status, e.RetryAfter)
}

// read returns the body of the reply, or the error of its class.
func (g *Gateway) read(resp *http.Response) ([]byte, error) {
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		drain(resp.Body)
		return nil, &ThrottledError{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	case resp.StatusCode == http.StatusRequestTimeout: // it took too long to arrive, which is no judgement of it
	case resp.StatusCode >= 400 && resp.StatusCode < 500:
		drain(resp.Body)
		return nil, fmt.Errorf("%w: HTTP status %d", ErrRejected, resp.StatusCode)
	}
	if resp.StatusCode != http.StatusOK {
		drain(resp.Body)
		return nil, fmt.Errorf("%w: HTTP status %d", ErrInDoubt, resp.StatusCode)
	}
	body, err := readAll(io.LimitReader(resp.Body, g.maxBody+1), min(resp.ContentLength, 16<<10))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: reply cut short: %w", ErrInDoubt, err)
	case int64(len(body)) > g.maxBody:
		return nil, fmt.Errorf("%w: reply over %d bytes", ErrInDoubt, g.maxBody)
	case !xmltree.IsMediaType(resp.Header.Get("Content-Type")) || !xmltree.Begins(body):
		// The page of a proxy or load balancer. Whether a reply is a good one is for package proof.
		return nil, fmt.Errorf("%w: reply is not XML", ErrInDoubt)
	}
	return body, nil
}

// readAll is io.ReadAll with room for as much as was announced, if that is a
// usual reply; -1: nothing was announced.
func readAll(r io.Reader, announced int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(max(announced, 0)) + bytes.MinRead) // and for the end to be seen
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// drain reads a little of a body that is not needed, so that the connection can be used
// again.
func drain(body io.Reader) { _, _ = io.CopyN(io.Discard, body, 16<<10) }

// maxRetryAfter bounds a Retry-After, so that an absurd one does not stop a service for good.
const maxRetryAfter = time.Hour

// retryAfter reads a Retry-After header in either form (RFC 9110, 10.2.3): whole
// seconds, or a date. It returns 0 for a header that cannot be read or lies in the past.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), maxRetryAfter)
}
