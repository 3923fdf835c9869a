package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// wire is a proxy between processes that keeps the digests of all messages.
type wire struct {
	taken    int           // the status that means so
	patience time.Duration // with who takes connections, and answers nothing; 0: without end
	servers  []*http.Server

	mu       sync.Mutex
	bodies   map[[32]byte]int       // what was sent on, and how often
	last     map[[32]byte]time.Time // when it was last
	accepted map[[32]byte]int       // of these, what was answered with the status that means taken
	sent     []sending              // all, in their order
}

// sending is one message that went by.
type sending struct {
	at  time.Time
	by  int  // the run of a sweep that sent it
	new bool // nobody had sent it before
}

func newWire(taken int, patience time.Duration) *wire {
	return &wire{taken: taken, patience: patience, bodies: map[[32]byte]int{}, last: map[[32]byte]time.Time{}, accepted: map[[32]byte]int{}}
}

// listen passes connections on from an address of its own to another. by says which process
// sends now, and to which one takes them.
func (w *wire) listen(ctx context.Context, by func() int, to func() string) (address string, err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	type key struct{}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", to() },
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, ResponseHeaderTimeout: w.patience},
		ModifyResponse: func(r *http.Response) error {
			if digest, ok := r.Request.Context().Value(key{}).([32]byte); ok && r.StatusCode == w.taken {
				w.mu.Lock()
				w.accepted[digest]++
				w.mu.Unlock()
			}
			return nil
		},
		// A peer that is down or dies: the other side sees its connection break.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.Method != http.MethodPost { // no message: it looks whether somebody is there
			proxy.ServeHTTP(rw, r)
			return
		}
		digest := sha256.Sum256(body)
		w.mu.Lock()
		now := time.Now()
		w.bodies[digest]++
		w.last[digest] = now
		w.sent = append(w.sent, sending{now, by(), w.bodies[digest] == 1})
		w.mu.Unlock()
		r = r.WithContext(context.WithValue(r.Context(), key{}, digest))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(rw, r)
	})}
	w.servers = append(w.servers, server)
	go func() { _ = server.Serve(l) }() // ends with close
	return l.Addr().String(), nil
}

func (w *wire) close() {
	for _, s := range w.servers {
		_ = s.Close()
	}
}

// different is how many different messages went by.
func (w *wire) different() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.bodies)
}

// posts is how many messages went by, each time they did.
func (w *wire) posts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent)
}

// firstOther is when a run of a sweep other than one first sent something after a time.
func (w *wire) firstOther(run int, after time.Time) (at time.Time, sent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.sent) - 1; i >= 0 && w.sent[i].at.After(after); i-- {
		if w.sent[i].by != run {
			at, sent = w.sent[i].at, true
		}
	}
	return at, sent
}

// overtaken counts the new messages that a run sent after a later one had sent its first:
// it did not know that it was fenced.
func overtaken(sent []sending) (n int) {
	latest := 0 // of those that have sent something, the last that began to
	begun := map[int]bool{}
	for _, s := range sent {
		if !begun[s.by] {
			begun[s.by], latest = true, s.by
		}
		if s.new && s.by != latest {
			n++
		}
	}
	return n
}

// excess is by how many messages the worst window exceeds a limit of so many a second after
// a burst: a bucket that would have had to be so much larger.
func excess(sent []sending, perSecond, burst float64) (worst float64) {
	level, last := 0.0, time.Time{}
	for _, s := range sent {
		if !last.IsZero() {
			level = max(0, level-perSecond*s.at.Sub(last).Seconds())
		}
		level++
		last = s.at
		worst = max(worst, level-burst)
	}
	return worst
}
