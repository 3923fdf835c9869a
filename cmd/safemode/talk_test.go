package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is the far end of a standard error: it may not read, or be gone.
type reader struct {
	mu    sync.Mutex
	text  bytes.Buffer
	gone  bool
	reads chan struct{} // each write takes one; nil: it reads at once
}

func (r *reader) Write(b []byte) (int, error) {
	if r.reads != nil {
		<-r.reads
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return 0, errors.New("broken pipe")
	}
	return r.text.Write(b)
}

func TestTalkNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &reader{reads: make(chan struct{})}
		talk := newTalk(far)
		line := strings.Repeat("x", 1023) + "\n"
		const all = 3000 // more than there is room for
		for range all {
			if n, err := io.WriteString(talk, line); n != len(line) || err != nil {
				t.Fatalf("wrote %d, %v", n, err)
			}
		}
		kept := mostTalkWaiting / len(line)
		if lost := talk.Dropped(); lost != uint64(all-kept) {
			t.Errorf("%d dropped, want %d", lost, all-kept)
		}
		if talk.flush(time.Second) {
			t.Error("flushed, and nobody reads")
		}
		close(far.reads) // it reads again
		if !talk.flush(time.Second) {
			t.Error("not flushed")
		}
		synctest.Wait()
		text := far.text.String()
		if n := strings.Count(text, line); n != kept || strings.Count(text, "1976 messages were dropped here") != 1 {
			t.Errorf("%d lines came of %d, then %q", n, kept, text[max(0, len(text)-200):])
		}
		// Who has gone is no reason to stop; who comes back hears how much was lost.
		far.mu.Lock()
		far.gone = true
		far.mu.Unlock()
		for range 3 {
			_, _ = io.WriteString(talk, line)
			synctest.Wait()
		}
		far.mu.Lock()
		far.gone = false
		far.text.Reset()
		far.mu.Unlock()
		_, _ = io.WriteString(talk, line)
		synctest.Wait()
		if text := far.text.String(); !strings.HasPrefix(text, line) || !strings.Contains(text, "3 messages were dropped here") {
			t.Errorf("after it came back: %q", text)
		}
		close(talk.wake)
	})
}
