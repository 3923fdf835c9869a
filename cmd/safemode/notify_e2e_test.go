package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"safemode/engine/notice"
)

// receiver is a webhook's peer that takes notices, or hangs.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	hangs bool
	tries int
	taken []notice.Notice
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.tries++
		hangs := r.hangs
		r.mu.Unlock()
		if hangs {
			<-q.Context().Done()
			return
		}
		var n notice.Notice
		if err := json.Unmarshal(body, &n); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.taken = append(r.taken, n)
	}))
	t.Cleanup(r.Close)
	return r
}

// told are the causes of the notices that it took. One may come twice, with the same ID: who
// is killed does not know that it was taken.
func (r *receiver) told() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := map[string]bool{}
	for _, n := range r.taken {
		if !known[n.ID] {
			known[n.ID] = true
			all = append(all, strings.TrimSpace(n.Cause+" "+n.Scope))
		}
	}
	return all
}

// callsAt adds a webhook to a scene's configuration.
func callsAt(t *testing.T, s *scene, url string) {
	t.Helper()
	putFile(t, s.path("notices.key"), []byte(strings.Repeat("k", 40)+"\n"))
	if err := os.Chmod(s.path("notices.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := string(mustRead(t, s.path("safemode.yaml"))) + "notices: {webhook: {url: \"" + url + "\", key_file: notices.key}}\n"
	putFile(t, s.path("safemode.yaml"), []byte(text))
}

// A sweep whose notices go to a peer that hangs is as good as one without; what could not be
// said is said once the peer is well, by hand or by the next start, and once.
func TestNoticesOfASweep(t *testing.T) {
	long(t)
	s := newScene(t, 60, 47, 300)
	peer := newReceiver(t)
	peer.hangs = true
	callsAt(t, s, peer.URL+"/hook")
	sim := s.sim(t)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	sweep := s.sweep(t)
	sweep.until("running", func() bool { return s.requests(t) > 0 })
	desk := []string{"--operations", s.operations}
	order := func(words ...string) bool { return safemode(t, "", append(words, desk...)...).code == exitDone }
	sweep.until("paused", func() bool { return order("pause", "--reason", "home 1012345678901 called, says olga") })
	sweep.until("a notice", func() bool { peer.mu.Lock(); defer peer.mu.Unlock(); return peer.tries > 0 })
	at := time.Now()
	if !order("resume") {
		t.Error("it does not resume")
	}
	if took := time.Since(at); took > 5*time.Second {
		t.Errorf("an order took %v beside a peer that hangs", took)
	}
	order("stop")
	if r := sweep.wait(); r.code != exitInterrupted || !strings.Contains(r.err, "safemode notify send") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if told := peer.told(); len(told) > 0 {
		t.Fatalf("a peer that hangs took %q", told)
	}

	peer.mu.Lock()
	peer.hangs = false
	peer.mu.Unlock()
	send := []string{"notify", "send", "--config", s.path("safemode.yaml"), "--journal", s.path("journal.db")}
	for range 2 { // the second has nothing to say
		if out := must(t, "", send...); !strings.Contains(out, "nothing is left") {
			t.Error(out)
		}
	}
	if told := peer.told(); !slices.Equal(told, []string{"pause the sweep"}) {
		t.Fatalf("told %q", told)
	}
	n := peer.taken[0]
	all, _ := json.Marshal(n)
	if !n.Drill || n.Meters != 60 || n.Environment != "simulator" || !strings.HasPrefix(n.Subject(), "DRILL: ") || len(n.Commands) != 1 || !strings.Contains(n.Commands[0], "resume") ||
		strings.Contains(string(all), "1012345678901") || strings.Contains(string(all), "olga") {
		t.Errorf("%s", all)
	}

	// It goes on, and is held again: a pause that a kill cuts off is told of once.
	sweep = s.sweep(t)
	sweep.until("running again", func() bool { _, err := tryGet("http://" + s.operations + "/readyz"); return err == nil })
	sweep.until("paused", func() bool { return order("pause", "--region", "North") })
	sweep.until("told", func() bool { return len(peer.told()) == 2 })
	_ = sweep.command.Process.Kill()
	sweep.wait()
	sweep = s.sweep(t)
	sweep.until("running after the kill", func() bool {
		b, err := tryGet("http://" + s.operations + "/api/v1/sweep")
		return err == nil && strings.Contains(string(b), `"region North"`)
	})
	sweep.until("paused further", func() bool { return order("pause", "--region", "South") })
	sweep.until("told of that", func() bool { return len(peer.told()) > 2 })
	if told := peer.told(); !slices.Equal(told, []string{"pause the sweep", "pause region North", "pause region South"}) {
		t.Errorf("told %q", told)
	}
	order("stop")
	sweep.wait()
	_ = sim
}

func TestNotifyTest(t *testing.T) {
	s := newScene(t, 10, 48, 1)
	refuses(t, exitUsage, "nobody is told", "", "notify", "test", "--config", s.path("safemode.yaml"))
	peer := newReceiver(t)
	callsAt(t, s, peer.URL)
	if out := must(t, "", "notify", "test", "--config", s.path("safemode.yaml")); out != "webhook: taken\n" || !slices.Equal(peer.told(), []string{"test"}) {
		t.Errorf("%q, told %q", out, peer.told())
	}
	peer.Close()
	refuses(t, exitFailed, "webhook: ", "", "notify", "test", "--config", s.path("safemode.yaml"))
	if err := os.Chmod(s.path("notices.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	refuses(t, exitUsage, "notices.webhook.key_file", "", "notify", "test", "--config", s.path("safemode.yaml"))
	if _, err := net.Dial("tcp", peer.Listener.Addr().String()); err == nil {
		t.Error("the peer still listens")
	}
}
