package listen

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// serve answers at a bounded address: whoever asks under a name is admitted by it, and is told
// whether there was a place.
func serve(t *testing.T, o Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ConnContext: Context, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if who := strings.TrimPrefix(r.URL.Path, "/"); who != "nobody" && !Admit(r.Context(), who) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(New(l, o)) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// caller is a connection to an address.
type caller struct {
	net.Conn
	in *bufio.Reader
}

func call(t *testing.T, address string) caller {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return caller{conn, bufio.NewReader(conn)}
}

// ask returns the answer's status; 0: the connection is closed.
func (c caller) ask(who string) int {
	if _, err := io.WriteString(c, "GET /"+who+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return 0
	}
	reply, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0
	}
	reply.Body.Close()
	return reply.StatusCode
}

// Where newcomers come first the oldest of a full pool goes: of the same peer, or of who has
// the most; nobody pushes out who has few.
func TestNewcomersComeFirst(t *testing.T) {
	var turned atomic.Int64
	address := serve(t, Options{Known: 4, KnownPerPeer: 3, Unknown: 3, UnknownPerPeer: 3, Yield: true, Turned: func(string) { turned.Add(1) }})
	operator := call(t, address)
	if operator.ask("operator") != 200 {
		t.Fatal("not let in")
	}
	var crowd []caller
	for range 5 {
		c := call(t, address)
		if c.ask("crowd") != 200 {
			t.Fatal("a newcomer was not let in")
		}
		crowd = append(crowd, c)
	}
	for i, c := range crowd {
		if open := c.ask("crowd") == 200; open != (i >= 2) {
			t.Errorf("connection %d of the crowd is open: %t", i, open)
		}
	}
	if operator.ask("operator") != 200 {
		t.Error("the crowd pushed the operator out")
	}
	if call(t, address).ask("third") != 200 { // all four are taken: the crowd gives one
		t.Error("a third was not let in")
	}
	if operator.ask("operator") != 200 || crowd[2].ask("crowd") != 0 || crowd[4].ask("crowd") != 200 {
		t.Error("another than the crowd's oldest gave its place")
	}
	var silent []caller
	for range 5 {
		silent = append(silent, call(t, address))
	}
	if silent[4].ask("nobody") != 200 {
		t.Error("the newest of those who say nothing was not let in")
	}
	if silent[0].ask("nobody") != 0 {
		t.Error("the oldest of those who say nothing kept its place")
	}
	if turned.Load() == 0 {
		t.Error("nobody was told")
	}
}

// Where those who were admitted keep their places, newcomers are turned away.
func TestAdmittedKeepTheirPlaces(t *testing.T) {
	address := serve(t, Options{Known: 2, KnownPerPeer: 2, Unknown: 4, UnknownPerPeer: 4})
	first, second := call(t, address), call(t, address)
	if first.ask("") != 200 || second.ask("") != 200 {
		t.Fatal("not let in")
	}
	if status := call(t, address).ask(""); status != 0 {
		t.Errorf("a third: %d", status)
	}
	if first.ask("") != 200 || second.ask("") != 200 {
		t.Error("a newcomer took a place")
	}
	if !Admit(context.Background(), "anybody") {
		t.Error("what came through no listener needs no place")
	}
}

// A loan that ends before anybody has accepted on it, or while somebody does, leaves an
// address that answers.
func TestLoanEnds(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := New(inner, Options{Known: 4, KnownPerPeer: 4, Unknown: 4, UnknownPerPeer: 4})
	defer l.Close()
	accepted := make(chan error)
	accept := func(l net.Listener) {
		c, err := l.Accept()
		if err == nil {
			err = c.Close()
		}
		accepted <- err
	}
	for range 2 {
		if err := l.Lend().Close(); err != nil {
			t.Fatal(err)
		}
		lent := l.Lend()
		go accept(lent)
		call(t, l.Addr().String())
		if err := <-accepted; err != nil {
			t.Errorf("the next loan: %v", err)
		}
		go accept(lent)
		if err := lent.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a loan that has ended: %v", err)
		}
		go accept(lent)
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a loan that had ended: %v", err)
		}
	}
	if err := l.Lend().Close(); err != nil {
		t.Fatal(err)
	}
	go accept(l)
	call(t, l.Addr().String())
	if err := <-accepted; err != nil {
		t.Errorf("the listener itself: %v", err)
	}
}

// The addresses share what is left over, and where nothing is the remedy is said.
func TestSpare(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	files := int(min(limit.Cur, 1<<20))
	if spare, err := Spare(100); err != nil || spare > files-100 && files < 1<<20 {
		t.Errorf("%d of %d, %v", spare, files, err)
	}
	if _, err := Spare(int(min(limit.Cur, 1<<40))); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("nothing is left: %v", err)
	}
}

func TestPeer(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:80":                 "192.0.2.7",
		"[::ffff:192.0.2.7]:80":        "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:80":    "2001:db8:1:2::",
		"[fe80::1%eth0]:80":            "fe80::",
		"@":                            "invalid IP",
		"pipe":                         "invalid IP",
		"[2001:db8:1:2:ffff::]:123456": "invalid IP",
	} {
		if got := PeerOf(remote).String(); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}
