package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"safemode/cmd/rehearsal"
)

var longStalls = flag.Bool("long-stalls", false, "stop the process for ten seconds where a test of the door stops it")

// The limits hold at the receiver, and the gate does, whatever becomes of the process: it
// stands still for some seconds, it is killed and begins again at once, it is interrupted
// and goes on, and it stands still while the gate closes.
func TestDoorHoldsThoughTheProcessStandsStill(t *testing.T) {
	long(t)
	still := 2 * time.Second
	if *longStalls {
		still = 10 * time.Second
	}
	s := newScene(t, 40, 5, 1)
	var mu sync.Mutex
	var at []time.Time // when each POST had arrived as a whole
	arrived := func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.SortedFunc(slices.Values(at), time.Time.Compare)
	}
	target := &url.URL{Scheme: "http", Host: s.duis}
	front := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ErrorHandler: func(http.ResponseWriter, *http.Request, error) {}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if r.Method == http.MethodPost { // a start looks with a HEAD whether the DCC is there
			mu.Lock()
			at = append(at, time.Now())
			mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		front.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	user := rehearsal.Config(s.speed).Limits.User
	s.configure(t, "safemode.yaml", "url: http://"+s.duis, "url: "+proxy.URL,
		fmt.Sprintf("user: {per_second: %g, burst: %d}", user.PerSecond, user.Burst), "user: {per_second: 2, burst: 1}",
		"custody_dir: custody\n", "custody_dir: custody\ngates: {mpids_file: mpids.yaml, drain: 2s}\n")
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	putFile(t, s.path("mpids.yaml"), []byte("mpids: [{mpid: TEST, source: registration data}]\n"))
	s.sim(t)
	slow := starved(t)

	sweep := s.sweep(t)
	more := func(n int) {
		t.Helper()
		before := len(arrived())
		sweep.until("sending", func() bool { return len(arrived()) >= before+n })
	}
	stand := func(meanwhile func()) (woken time.Time) {
		t.Helper()
		if err := sweep.command.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		meanwhile()
		time.Sleep(still)
		woken = time.Now()
		if err := sweep.command.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		return woken
	}
	more(2)
	stand(func() {})
	more(3)
	for _, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		more(1)
		sweep.signal(how)
		sweep = s.sweep(t)
		more(2)
	}
	woken := stand(func() {
		putFile(t, s.path("mpids.yaml"), []byte("mpids: [{mpid: TEST, transferred_at: 2026-01-01T00:00:00Z, to: SOLR, source: the SoLR's letter}]\n"))
	})
	sweep.wait().says(t, exitHalted, "gate mpids is closed")

	all := arrived()
	closest := time.Hour
	for i := range all[1:] {
		closest = min(closest, all[i+1].Sub(all[i]))
	}
	late := all[len(all)-1].Sub(woken)
	t.Logf("%d POSTs, the closest two %v apart; the last %v after the process went on with a closed gate; this machine was late by %v", len(all), closest, late, slow())
	if closest < time.Second/2-slow()-5*time.Millisecond {
		t.Errorf("two POSTs in %v, where two a second are let", closest)
	}
	if late > time.Second+slow() {
		t.Errorf("a POST %v after the gate closed", late)
	}
}
