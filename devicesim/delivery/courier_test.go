package delivery_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"safemode/devicesim/delivery"
	"safemode/devicesim/schedule"
	"safemode/servicerequests/clock"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a courier on a clock that is a thousand times too fast.
func start(t *testing.T, inbox http.HandlerFunc, o delivery.Options) *delivery.Courier {
	t.Helper()
	o.Clock = clock.Clock{Anchor: time.Now(), Speed: 1000}
	o.Agenda = schedule.New(o.Clock)
	c := delivery.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { o.Agenda.Run(ctx) })
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	if inbox != nil {
		server := httptest.NewServer(inbox)
		t.Cleanup(server.Close)
		c.SetURL(server.URL + "/smartdcc/duis")
	}
	return c
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for range 60_000 {
		if holds() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("not within a minute: " + what)
}

func TestDeliveredOnce(t *testing.T) {
	const messages = 200
	var got atomic.Int64
	c := start(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method == http.MethodPost && r.Header.Get("Content-Type") == "application/xml" &&
			r.URL.Path == "/smartdcc/duis" && string(body) == "<a/>" {
			got.Add(1)
		}
		w.WriteHeader(http.StatusNoContent)
	}, delivery.Options{})
	for range messages {
		c.Send([]byte("<a/>"), nil)
	}
	await(t, "all delivered", func() bool { return c.Counts().Delivered == messages })
	if got.Load() != messages {
		t.Errorf("the inbox saw %d good messages, want %d", got.Load(), messages)
	}
}

func TestRepeatedUntilTaken(t *testing.T) {
	var posts atomic.Int64
	c := start(t, func(w http.ResponseWriter, r *http.Request) {
		switch posts.Add(1) {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			panic(http.ErrAbortHandler) // the connection breaks
		case 3:
			_, _ = io.Copy(io.Discard, r.Body) // the server hears of the end after the body only
			<-r.Context().Done()               // too late
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}, delivery.Options{TimeOut: time.Second}) // far over what a busy machine needs for the others
	c.Send([]byte("<a/>"), nil)
	await(t, "delivered", func() bool { return c.Counts().Delivered == 1 })
	if got := c.Counts().Repeated; got != 3 {
		t.Errorf("repeated %d times, want 3", got)
	}
}

func TestRefusalIsFinal(t *testing.T) {
	var posts atomic.Int64
	c := start(t, func(w http.ResponseWriter, _ *http.Request) {
		posts.Add(1)
		w.WriteHeader(http.StatusBadRequest)
	}, delivery.Options{})
	c.Send([]byte("<a/>"), nil)
	await(t, "refused", func() bool { return c.Counts().Refused == 1 })
	time.Sleep(20 * time.Millisecond)
	if posts.Load() != 1 {
		t.Errorf("%d POSTs, want 1", posts.Load())
	}
}

func TestGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, nil, delivery.Options{GiveUp: time.Minute})
		begun := time.Now()
		c.Send([]byte("<a/>"), nil)
		await(t, "given up", func() bool { return c.Counts().GivenUp == 1 })
		// A minute of this clock is 60 ms: it is not over for an inbox before a real one is.
		if real := time.Since(begun); real < 50*time.Second || real > 70*time.Second {
			t.Errorf("given up after %v, want about a minute", real)
		}
		if got := c.Counts().Repeated; got < 10 || got > 25 {
			t.Errorf("repeated %d times, want 10 to 25", got)
		}
	})
}

// An inbox that is slower than the fast clock is not drowned in repeats.
func TestSlowInbox(t *testing.T) {
	const messages = 40
	var posts atomic.Int64
	var one sync.Mutex
	c := start(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		posts.Add(1)
		one.Lock()
		defer one.Unlock()
		if r.Context().Err() != nil {
			return // nobody waits any more
		}
		time.Sleep(10 * time.Millisecond)
		w.WriteHeader(http.StatusNoContent)
	}, delivery.Options{TimeOut: 200 * time.Millisecond, Workers: messages})
	for range messages {
		c.Send([]byte("<a/>"), nil)
	}
	await(t, "all delivered", func() bool { return c.Counts().Delivered == messages })
	if n := posts.Load(); n > 5*messages {
		t.Errorf("%d POSTs of %d messages", n, messages)
	}
}

// As many messages travel at a time as the setting says, and no more.
func TestParallelDeliveries(t *testing.T) {
	const messages, parallel = 30, 3
	var now, most atomic.Int64
	c := start(t, func(w http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		w.WriteHeader(http.StatusNoContent)
	}, delivery.Options{Workers: parallel})
	for range messages {
		c.Send([]byte("<a/>"), nil)
	}
	await(t, "all delivered", func() bool { return c.Counts().Delivered == messages })
	if n := most.Load(); n != parallel {
		t.Errorf("%d at a time, want %d", n, parallel)
	}
}

func TestAddressMayComeLater(t *testing.T) {
	c := start(t, nil, delivery.Options{})
	c.Send([]byte("<a/>"), nil)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	c.SetURL(server.URL)
	await(t, "delivered", func() bool { return c.Counts().Delivered == 1 })
}
