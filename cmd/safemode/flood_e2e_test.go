package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// How large the flood is. With -flood.pace the sweep without it is timed as well, and the
// other must be no more than 5 % slower.
var (
	floodIdle   = flag.Int("flood.idle", 600, "connections on which nothing is said")
	floodSlow   = flag.Int("flood.slow", 60, "readers of news who read nothing")
	floodMeters = flag.Int("flood.meters", 20, "meters of the sweep")
	floodFiles  = flag.Int("flood.files", 320, "descriptors that the sweep may have")
	floodPace   = flag.Bool("flood.pace", false, "hold the pace to that of a sweep without a flood")
)

// flood holds connections to an address until it ends, and opens each again that is closed,
// after a while: all together open no more than 2,000 a second, for who floods takes the
// machine from the sweep as well.
type flood struct {
	again  time.Duration
	ended  chan struct{} // closed by end
	held   sync.WaitGroup
	opened atomic.Int64
}

// hold opens a connection, says something on it, and never reads.
func (f *flood) hold(address, say string) {
	f.held.Go(func() {
		for {
			select {
			case <-f.ended:
				return
			default:
			}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				select {
				case <-f.ended:
				case <-time.After(f.again): // it has no descriptor left itself, say
				}
				continue
			}
			f.opened.Add(1)
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			_, _ = io.WriteString(conn, say)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				if say == "" {
					_, _ = conn.Read(make([]byte, 1)) // ends when the other side closes, or with Close
				} else {
					<-f.ended
				}
			}()
			select {
			case <-closed:
			case <-f.ended:
			}
			_ = conn.Close()
			<-closed
			select {
			case <-f.ended:
				return
			case <-time.After(f.again):
			}
		}
	})
}

func (f *flood) end() {
	close(f.ended)
	f.held.Wait()
}

// underFlood runs a sweep of its own scene, and returns how long it took.
func underFlood(t *testing.T, idle, slow int) time.Duration {
	s := newScene(t, *floodMeters, 5, hasty)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	s.sim(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	limited := append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, *floodFiles), path},
		append(s.sweepArgs("safemode.yaml", "plan", "journal.db"), "--stay", "1m")...)
	begun := time.Now()
	p := startCommand(t, exec.Command("sh", limited...))
	p.until("listening", func() bool { _, err := tryGet("http://" + s.operations + "/healthz"); return err == nil })
	f := &flood{ended: make(chan struct{}), again: time.Duration(idle+slow) * time.Second / 2000}
	for range slow {
		f.hold(s.operations, "GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	}
	for range idle {
		f.hold(s.operations, "")
	}
	p.until("under the flood", func() bool { return f.opened.Load() >= int64(idle+slow) })
	said := make(chan commandResult, 1)
	go func() { // beside the sweep: it waits for some seconds, on a busy machine for more than it has patience
		r := safemode(t, "", "status", "--operations", s.operations)
		for tries := 1; r.code != exitDone && tries < 3; tries++ {
			r = safemode(t, "", "status", "--operations", s.operations)
		}
		said <- r
	}()
	s.untilDone(t, p, *floodMeters)
	took := time.Since(begun)
	if r := <-said; r.code != exitDone || !strings.Contains(r.out, "SIMULATOR") {
		t.Errorf("under the flood status says, exit %d: %s%s", r.code, r.out, r.err)
	}
	f.end()
	r := p.signal(syscall.SIGINT)
	if r.code != exitDone {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if summary, _ := s.report(t, "journal.db"); summary.Meters != *floodMeters {
		t.Errorf("%d of %d meters in the report", summary.Meters, *floodMeters)
	}
	t.Logf("%d idle connections and %d slow readers (%d opened in all): %v for %d meters", idle, slow, f.opened.Load(), took.Round(10*time.Millisecond), *floodMeters)
	return took
}

// Strangers who connect to the operations address, and readers who do not read, take
// neither the descriptors nor the time that the sweep needs; and who asks is answered.
func TestFloodOfTheOperationsAddress(t *testing.T) {
	long(t)
	alone := time.Duration(0)
	if *floodPace {
		alone = underFlood(t, 0, 0)
	}
	if flooded := underFlood(t, *floodIdle, *floodSlow); *floodPace && flooded > alone*105/100 {
		t.Errorf("%v under the flood, %v without", flooded, alone)
	}
}
