package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// wire stands between two processes and keeps the digests of what went by.
type wire struct {
	address string
	server  *http.Server

	mu       sync.Mutex
	bodies   map[[32]byte]int       // what was sent on, and how often
	last     map[[32]byte]time.Time // when it was last
	accepted map[[32]byte]int       // of these, what was answered with the status that means taken
}

// newWire listens, and hands everything on to another address.
func newWire(ctx context.Context, to string, taken int) (*wire, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{address: l.Addr().String(), bodies: map[[32]byte]int{}, last: map[[32]byte]time.Time{}, accepted: map[[32]byte]int{}}
	type key struct{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: to}) },
		ModifyResponse: func(r *http.Response) error {
			if digest, ok := r.Request.Context().Value(key{}).([32]byte); ok && r.StatusCode == taken {
				w.mu.Lock()
				w.accepted[digest]++
				w.mu.Unlock()
			}
			return nil
		},
		// A peer that is down or dies: the other side sees its connection break.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	w.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
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
		w.bodies[digest]++
		w.last[digest] = time.Now()
		w.mu.Unlock()
		r = r.WithContext(context.WithValue(r.Context(), key{}, digest))
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(rw, r)
	})}
	go func() { _ = w.server.Serve(l) }() // ends with close
	return w, nil
}

func (w *wire) close() {
	if w != nil {
		_ = w.server.Close()
	}
}

// different is how many different messages went by.
func (w *wire) different() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.bodies)
}

// posts is how many messages went by, each time they did.
func (w *wire) posts() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, times := range w.bodies {
		n += times
	}
	return n
}
