package console

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// watchedSweep counts how often it is looked at.
type watchedSweep struct {
	fakeSweep
	looks atomic.Int64
}

func (s *watchedSweep) Status() any { s.looks.Add(1); return s.fakeSweep.Status() }

// serveDesk serves a console at an address of its own, and returns its host:port.
func serveDesk(t *testing.T, s Sweep, a Address, change func(*Options)) string {
	t.Helper()
	a.Listen = "127.0.0.1:0"
	l, err := Listen(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	server := Server(newConsole(t, s, change), zap.NewNop())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// connect opens a connection and asks something on it.
func connect(t *testing.T, address, ask string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, ask); err != nil {
		t.Fatal(err)
	}
	return conn
}

func request(path, token string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n\r\n", path, token)
}

// However many read, the sweep is looked at once a second; and after an order at once.
func TestOneLookASecondForAll(t *testing.T) {
	s := &watchedSweep{fakeSweep: fakeSweep{status: troubled()}}
	address := serveDesk(t, s, Address{}, nil)
	begun := time.Now()
	var readers sync.WaitGroup
	for range 50 {
		conn := connect(t, address, request("/live", ""))
		readers.Go(func() {
			events := 0
			for lines := bufio.NewScanner(conn); events < 3 && lines.Scan(); {
				if lines.Text() == "" {
					events++
				}
			}
			if events != 3 {
				t.Errorf("%d events came", events)
			}
		})
	}
	readers.Wait()
	if looks, most := s.looks.Load(), int64(time.Since(begun)/sheetAge)+1; looks > most {
		t.Errorf("%d looks in %v for 50 readers, want at most %d", looks, time.Since(begun), most)
	}

	h := newConsole(t, s, nil)
	for _, path := range []string{"/", "/note", "/api/v1/sweep", "/"} {
		ask(h, "GET", path)
	}
	before := s.looks.Load()
	ask(h, "POST", "/api/v1/sweep/pause")
	ask(h, "GET", "/api/v1/sweep")
	if n := s.looks.Load() - before; n != 1 {
		t.Errorf("%d looks after an order, want 1", n)
	}
}

// Readers and strangers keep no operator out, however many connections they have.
func TestCrowdKeepsNoOperatorOut(t *testing.T) {
	eye, hand := "eye's token, long enough to be one", "hand's token, long enough to be one"
	address := serveDesk(t, &fakeSweep{status: troubled()}, Address{Connections: 8, Unknown: 8}, func(o *Options) {
		o.People = []Person{{Name: "Eye", TokenSHA256: sha256.Sum256([]byte(eye)), Role: Looks}, {Name: "Hand", TokenSHA256: sha256.Sum256([]byte(hand)), Role: Orders}}
	})
	answered := func(conn net.Conn) bool {
		reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err == nil && reply.StatusCode == http.StatusOK
	}
	kept := connect(t, address, request("/healthz", hand))
	if !answered(kept) {
		t.Fatal("the operator was not let in to begin with")
	}
	var streams []net.Conn
	for range 20 {
		stream := connect(t, address, request("/live", eye))
		if !answered(stream) {
			t.Fatal("a looker was not let in")
		}
		streams = append(streams, stream)
	}
	for range 20 {
		connect(t, address, "") // and says nothing
	}
	if !answered(connect(t, address, request("/api/v1/sweep", hand))) {
		t.Error("the operator's new connection was shut out")
	}
	io.WriteString(kept, request("/api/v1/sweep", hand))
	if !answered(kept) {
		t.Error("the operator's old connection was closed")
	}
	for i, stream := range streams[:16] { // the looker may hold four
		var timeout net.Error
		if _, err := io.Copy(io.Discard, stream); errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatalf("stream %d of the looker is still open", i)
		}
	}
}

// A peer that asks too often gets 429, and orders are taken all the same.
func TestWhoAsksTooOften(t *testing.T) {
	s := &fakeSweep{status: troubled()}
	h := newConsole(t, s, nil)
	put := 0
	for range asked.Burst + 50 {
		if w := ask(h, "GET", "/healthz"); w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") != "" {
			put++
		}
	}
	if put == 0 {
		t.Error("nobody was put off")
	}
	if w := ask(h, "POST", "/api/v1/sweep/stop"); w.Code != http.StatusNoContent {
		t.Errorf("an order: %d", w.Code)
	}
}
