package gateway

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// netFault is what a network does to one POST, before the peer has taken the request
// (not applied) or after it (applied, and reported failed).
type netFault struct {
	name string
	do   func(t *testing.T, conn *net.TCPConn)
}

var netFaults = []netFault{
	{"reset", func(_ *testing.T, conn *net.TCPConn) {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}},
	{"half-open", func(_ *testing.T, conn *net.TCPConn) { _ = conn.CloseWrite() }},
	{"black hole", func(t *testing.T, _ *net.TCPConn) { <-t.Context().Done() }},
	{"slow-loris", func(t *testing.T, conn *net.TCPConn) {
		for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: 4\r\n\r\n<a/>") {
			if _, err := conn.Write([]byte{b}); err != nil {
				return // the gateway has given up
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
	}},
}

// TestNetworkFaults has each fault befall one POST in both forms. It is in doubt each
// time (or was certainly not written), within the time-out, and the next POST of the
// same bytes goes through: the gateway goes on.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range netFaults {
		for form, applied := range map[string]bool{"not applied": false, "applied, reported failed": true} {
			t.Run(fault.name+", "+form, func(t *testing.T) {
				t.Parallel()
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				taken := make(chan string, 2)
				go func() {
					for first := true; ; first = false {
						conn, err := listener.Accept()
						if err != nil {
							return // closed
						}
						go serveOnce(t, conn.(*net.TCPConn), fault, first, applied, taken)
					}
				}()
				const timeout = time.Second // less than the slow reply takes
				g := newGateway(t, Options{URL: "http://" + listener.Addr().String(), Timeout: timeout})
				post, start := readPost(t), time.Now()
				_, err = g.Post(t.Context(), post)
				outcome := err
				if !errors.Is(err, ErrInDoubt) && !(errors.Is(err, ErrNotWritten) && !applied) {
					t.Fatalf("%v, want in doubt", err)
				}
				if took := time.Since(start); took > 20*timeout {
					t.Errorf("given up after %v", took)
				}
				if applied {
					if body := <-taken; body != string(post.Body) {
						t.Errorf("the DCC took %q", body)
					}
				}
				if _, err := g.Post(t.Context(), post); err != nil {
					t.Fatalf("the same bytes once more: %v", err)
				}
				if body := <-taken; body != string(post.Body) {
					t.Errorf("the DCC took %q", body)
				}
				t.Logf("%s, %s: %v; the same bytes went through afterwards", fault.name, form, outcome)
			})
		}
	}
}

// serveOnce takes one request, with the fault if it is the first.
func serveOnce(t *testing.T, conn *net.TCPConn, fault netFault, first, applied bool, taken chan<- string) {
	defer conn.Close()
	if !first || applied {
		request, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return // a connection that was made and not used
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		taken <- string(body)
	}
	if first {
		fault.do(t, conn)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nConnection: close\r\n\r\n"+ack)
}
