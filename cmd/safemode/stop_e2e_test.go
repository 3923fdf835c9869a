package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"safemode/engine/record"
)

// stop --now does not wait for a DCC that takes requests and does not reply: the POSTs
// under way are cut off, and what became of them is in doubt. The same command goes on
// with the same bytes, and nothing is done twice. A plain stop whose engine is killed while it
// drains still holds at the next start, which sends nothing and ends. Once more, when the verdicts have grown
// old, it reads again: who has pressed the button is on supply.
func TestStopNow(t *testing.T) {
	long(t)
	s := newScene(t, 50, 6, brisk)
	target := &url.URL{Scheme: "http", Host: s.duis}
	var silent atomic.Bool
	var kept atomic.Int64
	front := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			if silent.Load() && r.Request.ContentLength > 0 { // the DCC has it; nobody is told
				kept.Add(1)
				<-r.Request.Context().Done()
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {},
	}
	proxy := httptest.NewServer(front)
	defer proxy.Close()
	s.configure(t, "safemode.yaml", "url: http://"+s.duis, "url: "+proxy.URL+"\n  timeout: 1m", "policy:\n", "policy:\n  reread_after: 1h\n")
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	sim := s.sim(t)
	sweep := s.sweep(t)
	sweep.until("sending", func() bool { return s.requests(t) > 20 })
	silent.Store(true)
	sweep.until("waiting for replies", func() bool { return kept.Load() > 3 })
	stop := s.start(t, "stop", "--operations", s.operations)
	must(t, "", "wait", "--for", "stopping", "--operations", s.operations)
	sweep.signal(syscall.SIGKILL)
	sent := s.requests(t)
	s.sweep(t).wait().says(t, exitInterrupted, "interrupted and drained", "killed before it had drained")
	if again := s.requests(t); again != sent {
		t.Errorf("a start after a stop that was not drained sent %v requests", again-sent)
	}
	stop.wait()
	kept.Store(0)
	sweep = s.sweep(t)
	sweep.until("waiting for replies again", func() bool { return kept.Load() > 3 })
	asked := time.Now()
	if r := safemode(t, "", "stop", "--now", "--operations", s.operations); r.code != exitDone {
		t.Fatalf("stop --now: %+v", r)
	}
	sweep.wait().says(t, exitInterrupted, "interrupted and drained")
	if took := time.Since(asked); took > 20*time.Second {
		t.Errorf("it waited %v, for replies that have a minute", took)
	}
	all := journalRecords(t, s.path("journal.db"))
	if end := lastClosed(all); end.Kind != record.Closed || end.Code != record.ClosedInterrupted {
		t.Errorf("the journal ends with %v %s", end.Kind, end.Code)
	}
	silent.Store(false)
	s.sweep(t).succeeds()
	summary, lines := s.report(t, "journal.db")
	if summary.Counters.Reused != 0 || summary.ForbiddenCommands != 0 || summary.Verdicts.OnSupply == 0 {
		t.Errorf("%+v", summary)
	}
	armed := 0
	for _, line := range lines {
		if line["verdict"] == record.VerdictArmed {
			armed++
			reply, err := http.Post("http://"+s.control+"/sim/v1/devices/"+line["device_id"]+"/press", "", nil)
			if err != nil || reply.StatusCode != http.StatusOK {
				t.Fatalf("press: %v, %v", reply, err)
			}
			_ = reply.Body.Close()
		}
	}
	time.Sleep(time.Hour / brisk) // verdicts grow old by the sweep's clock
	s.sweep(t).succeeds()
	pressed, lines := s.report(t, "journal.db")
	if v := pressed.Verdicts; armed == 0 || v.Armed != 0 || v.OnSupply != summary.Verdicts.OnSupply+armed || pressed.Counters.Reused != 0 {
		t.Errorf("%d buttons pressed: %+v, were %+v", armed, v, summary.Verdicts)
	}
	must(t, "", "audit", "--journal", s.path("journal.db"), "--custody-dir", s.path("custody"))
	s.borneOut(t, sim, lines)
	t.Logf("%d replies were kept; of %d counters none was used twice", kept.Load(), summary.Counters.Used)
}
