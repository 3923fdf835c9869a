package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"safemode/cmd/rehearsal"
	"safemode/engine/journal/store/pgtest"
	"safemode/engine/record"
)

// node is one of two machines with the same command.
type node struct {
	folder, config, inbox, operations string
	process                           *process
	wire                              *wire
}

// pair is two machines with one sweep in a database, and a balancer before their inboxes that
// asks /readyz.
type pair struct {
	scene   *scene
	sim     *process
	at      string // the journal's address
	custody string // likewise
	nodes   [2]*node
}

// Of a pair, in real time: the lease, the User's limit, and the threshold of 7.4.
const (
	pairLease     = 3 * time.Second
	pairPace      = 150 // POSTs a second
	pairBurst     = 10
	pairThreshold = 40
	pairMeters    = 40              // more reads than that within the period
	pairPer       = 6 * time.Second // longer than a takeover takes
)

// newPair makes two machines of a scene whose journal and custody are in a database. The
// simulated DCC serves. Others are where the database's server may be instead.
func newPair(t *testing.T, c *pgtest.Cluster, meters int, others ...*pgtest.Cluster) *pair {
	t.Helper()
	s := newScene(t, meters, referenceSeed, referenceSpeed)
	p := &pair{scene: s, at: c.Address("winter", others...), custody: c.Database(others...) + "&custody=northern"}
	must(t, "", "custody", "new", "--custody-dir", p.custody)
	user := rehearsal.Config(s.speed).Limits.User
	lease := pairLease
	if len(others) > 0 {
		lease = 10 * time.Second // a failover of the database fits into it
	}
	for i := range p.nodes {
		n := &node{folder: t.TempDir(), config: []string{"one.yaml", "two.yaml"}[i], inbox: freeAddress(t), operations: freeAddress(t), wire: tap(t, s.duis)}
		s.configure(t, n.config, "{listen: "+s.inbox+"}", "{listen: "+n.inbox+"}", "{listen: "+s.operations+"}", "{listen: "+n.operations+"}",
			"  url: http://"+s.duis, "  url: "+n.wire.url, "custody_dir: custody", fmt.Sprintf("custody_dir: '%s'\njournal: {lease: %v}", p.custody, lease),
			fmt.Sprintf("user: {per_second: %g, burst: %d}", user.PerSecond, user.Burst), fmt.Sprintf(`user: {per_second: %g, burst: %d}
  pace_to_fit: true
  anomaly_thresholds:
    "7.4": {count: %d, per: %v}`, pairPace/s.speed, pairBurst, pairThreshold, time.Duration(s.speed)*pairPer))
		p.nodes[i] = n
	}
	s.plan(t, "plan", "one.yaml", "direction.yaml")
	p.sim = s.sim(t)
	balance(t, s.inbox, p.nodes)
	return p
}

// start starts one of the machines.
func (p *pair) start(t *testing.T, i int) *process {
	t.Helper()
	n := p.nodes[i]
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "sweep", "--config", p.scene.path(n.config), "--plan", p.scene.path("plan"), "--journal", p.at)
	command.Dir = n.folder
	n.process = startCommand(t, command)
	return n.process
}

// untilSent waits until a machine has sent so many messages in all.
func (p *pair) untilSent(i, messages int) {
	n := p.nodes[i]
	n.process.t.Helper()
	n.process.until("sending", func() bool { return len(n.wire.posts()) >= messages })
}

// holds checks what must hold of a sweep that has ended, whoever carried it out: the verdicts,
// the audit, that nothing went on the wire that the journal does not have, each message under
// one counter, and the limits in every window.
func (p *pair) holds(t *testing.T) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "report")
	summary := parseSummary(t, must(t, "", "report", "--journal", p.at, "--out", out, "--json"))
	if summary.Counters.Reused != 0 {
		t.Errorf("%d counters were used twice", summary.Counters.Reused)
	}
	p.scene.borneOut(t, p.sim, readMeters(t, out))
	audited(t, exitDone, "--journal", p.at, "--custody-dir", p.custody, "--config", p.scene.path("one.yaml"))

	known := map[string]bool{}
	for _, r := range journalRecords(t, p.at) {
		if r.Kind == record.Request {
			known[r.ID.String()] = true
		}
	}
	all := slices.Concat(p.nodes[0].wire.posts(), p.nodes[1].wire.posts())
	slices.SortFunc(all, func(a, b posted) int { return a.at.Compare(b.at) })
	message := map[string]string{}
	for _, m := range all {
		if !known[m.id] {
			t.Errorf("%s was sent, and the journal does not have it", m.id)
		}
		if m.signed {
			continue
		}
		if before, again := message[m.id]; again && before != m.text {
			t.Errorf("%s was sent with other bytes", m.id)
		}
		message[m.id] = m.text
	}
	within(t, "the User's limit", all, func(a, b posted) bool { return true }, func(span time.Duration) int {
		return pairBurst + int(pairPace*(span+jitter).Seconds())
	})
	reads := slices.DeleteFunc(slices.Clone(all), func(m posted) bool { return m.srv != "7.4" })
	within(t, "the threshold of 7.4", reads, func(a, b posted) bool { return b.at.Sub(a.at) < pairPer-jitter }, func(time.Duration) int { return pairThreshold })
	if len(reads) <= pairThreshold {
		t.Errorf("%d times 7.4: the threshold of %d was never met", len(reads), pairThreshold)
	}
	t.Logf("%d and %d POSTs, %d of 7.4", len(p.nodes[0].wire.posts()), len(p.nodes[1].wire.posts()), len(reads))
}

// jitter is how much later a POST may be seen on the wire than it was let go.
const jitter = 250 * time.Millisecond

// within checks every window between two messages that are in one by a limit.
func within(t *testing.T, limit string, all []posted, in func(a, b posted) bool, most func(span time.Duration) int) {
	t.Helper()
	for i := range all {
		for j := i; j < len(all) && in(all[i], all[j]); j++ {
			if n, span := j-i+1, all[j].at.Sub(all[i].at); n > most(span) {
				t.Errorf("%s: %d within %v, want %d at most", limit, n, span, most(span))
				return
			}
		}
	}
}

// posted is a message on the wire.
type posted struct {
	at      time.Time
	id, srv string
	signed  bool // the second half of a critical request
	text    string
}

// wire is the way from one machine to the DCC, on which every message is seen.
type wire struct {
	url string

	mu  sync.Mutex
	all []posted
}

func (w *wire) posts() []posted {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}

var (
	requestID = regexp.MustCompile(`RequestID>([^<]*)<`)
	variant   = regexp.MustCompile(`ServiceReferenceVariant>([^<]*)<`)
)

// tap serves the way to the DCC at an address.
func tap(t *testing.T, duis string) *wire {
	t.Helper()
	w := &wire{}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: duis})
	proxy.ErrorLog = stdlog.New(io.Discard, "", 0) // a machine that is killed leaves its connections
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if id, srv := requestID.FindSubmatch(body), variant.FindSubmatch(body); id != nil && srv != nil {
			w.mu.Lock()
			w.all = append(w.all, posted{time.Now(), string(id[1]), string(srv[1]), strings.HasSuffix(r.URL.Path, "serviceS"), string(body)})
			w.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(out, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// ready is what a machine's /readyz answers.
func (n *node) ready() (code int, text string) {
	reply, err := http.Get("http://" + n.operations + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer reply.Body.Close()
	b, _ := io.ReadAll(reply.Body)
	return reply.StatusCode, string(b)
}

// untilStandby waits until a machine stands by.
func (p *pair) untilStandby(t *testing.T, i int) {
	t.Helper()
	p.nodes[i].process.until("standing by", func() bool {
		code, text := p.nodes[i].ready()
		return code == http.StatusServiceUnavailable && strings.Contains(text, "standing by for ")
	})
}

// balance takes connections at an address to the machine that is ready, as a TCP balancer
// does that asks /readyz; where none is, to either.
func balance(t *testing.T, address string, nodes [2]*node) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var ready atomic.Pointer[node]
	ready.Store(nodes[0])
	var running sync.WaitGroup
	stop := make(chan struct{})
	running.Go(func() {
		for {
			for _, n := range nodes {
				if code, _ := n.ready(); code == http.StatusOK {
					ready.Store(n)
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				there, err := net.Dial("tcp", ready.Load().inbox)
				if err != nil {
					return // the other side sees a connection that ends, and comes again
				}
				defer there.Close()
				running.Go(func() {
					_, _ = io.Copy(there, c)
					_ = there.(*net.TCPConn).CloseWrite()
				})
				_, _ = io.Copy(c, there)
			})
		}
	})
	t.Cleanup(func() {
		close(stop)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		running.Wait()
	})
}

// openings are the starts in a journal.
func openings(t *testing.T, at string) (all []record.Opening) {
	t.Helper()
	for _, r := range journalRecords(t, at) {
		if r.Kind != record.Opened {
			continue
		}
		body, err := record.Decode[record.Opening](r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, body)
	}
	return all
}

// tookOver checks that a sweep was begun once and taken over once, by one of the resumes that
// were given ahead.
func (p *pair) tookOver(t *testing.T, handedOver bool) {
	t.Helper()
	starts := openings(t, p.at)
	if len(starts) != 2 || starts[0].Takeover != nil || starts[1].Takeover == nil || starts[1].Takeover.HandedOver != handedOver || starts[1].Takeover.From == "" {
		t.Fatalf("starts: %+v", starts)
	}
	if starts[1].ResumesLeft != starts[0].ResumesLeft-1 {
		t.Errorf("%d resumes were left, and %d are after the takeover", starts[0].ResumesLeft, starts[1].ResumesLeft)
	}
}

// The machine that sweeps is killed: the one that stands by goes on within the lease and a
// moment, with no counter used twice, and what the last one sent counts within the limits.
func TestTakeover(t *testing.T) {
	long(t)
	p := newPair(t, pgtest.Fresh(t), pairMeters)
	first := p.start(t, 0)
	p.untilSent(0, 1)
	second := p.start(t, 1)
	p.untilStandby(t, 1)
	if reply, err := http.Post("http://"+p.nodes[1].inbox+"/smartdcc/duis", "application/xml", strings.NewReader("<x/>")); err != nil {
		t.Error(err)
	} else if reply.Body.Close(); reply.StatusCode != http.StatusServiceUnavailable || reply.Header.Get("Retry-After") == "" {
		t.Errorf("the inbox of the one that stands by: %s, %v", reply.Status, reply.Header)
	}
	if body, err := tryGet("http://" + p.nodes[1].operations + "/healthz"); err != nil {
		t.Errorf("%s, %v", body, err)
	}
	var st record.Status
	if err := json.Unmarshal(get(t, "http://"+p.nodes[1].operations+"/api/v1/sweep"), &st); err != nil || st.State != "standing_by" || st.Holder == nil || st.Holder.Name == "" {
		t.Errorf("%+v, %v", st, err)
	}
	p.untilSent(0, pairThreshold)
	if err := first.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-first.ended
	killed := time.Now()
	p.untilSent(1, 1)
	took := p.nodes[1].wire.posts()[0].at.Sub(killed)
	t.Logf("the first request came %v after the kill", took)
	if took > pairLease+5*time.Second {
		t.Errorf("the first request came %v after the kill", took)
	}
	second.succeeds()
	p.tookOver(t, false)
	p.holds(t)
}

// A person hands the sweep over: the machine that has it drains, gives it up and ends, and the
// one that stands by goes on at once. Where nobody stands by it is refused. The first one,
// started again, stands by until the sweep has finished.
func TestHandover(t *testing.T) {
	long(t)
	c := pgtest.Fresh(t)
	p := newPair(t, c, pairMeters)
	first := p.start(t, 0)
	p.untilSent(0, 1)
	order := []string{"handover", "--operations", p.nodes[0].operations, "--reason", "new kernel"}
	refuses(t, exitUsage, "nobody stands by", "", order...)
	second := p.start(t, 1)
	p.untilStandby(t, 1)
	refuses(t, exitUsage, "standing by for", "", "pause", "--operations", p.nodes[1].operations)
	first.until("knowing who stands by", func() bool {
		var st record.Status
		return json.Unmarshal(get(t, "http://"+p.nodes[0].operations+"/api/v1/sweep"), &st) == nil && len(st.Standby) == 1
	})
	var lines []sweepLine
	if err := json.Unmarshal([]byte(must(t, "", "sweeps", "--database", c.Database(), "--json")), &lines); err != nil || len(lines) != 1 || len(lines[0].Standby) != 1 {
		t.Errorf("%+v, %v", lines, err)
	}
	if r := safemode(t, "", order...); r.code != exitDone || !strings.Contains(r.err, "handover: done") {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	given := time.Now()
	first.wait().says(t, exitHandedOver, "handed over and drained")
	p.untilSent(1, 1)
	if took := p.nodes[1].wire.posts()[0].at.Sub(given); took > 8*time.Second {
		t.Errorf("the first request came %v after the handover", took)
	} else {
		t.Logf("the first request came %v after the handover", took)
	}
	sent := len(p.nodes[0].wire.posts())
	first = p.start(t, 0)
	p.untilStandby(t, 0)
	second.succeeds()
	if r := first.wait(); r.code != exitDone || !strings.HasSuffix(r.err, "it stood by, and the sweep has finished\n") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if n := len(p.nodes[0].wire.posts()) - sent; n != 0 {
		t.Errorf("the machine that stood by has sent %d messages", n)
	}
	p.tookOver(t, true)
	p.holds(t)
}

// The machine that sweeps is suspended for longer than its lease. When it comes back it sends
// nothing that is new, and ends with who has the sweep.
func TestSuspendedMachineSendsNothingNew(t *testing.T) {
	onlyWhole(t) // TestSweepInADatabase suspends the one machine that it has
	long(t)
	p := newPair(t, pgtest.Fresh(t), pairMeters)
	first := p.start(t, 0)
	p.untilSent(0, pairThreshold)
	second := p.start(t, 1)
	p.untilStandby(t, 1)
	if err := first.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.untilSent(1, 20)
	sent := len(p.nodes[0].wire.posts())
	r := first.signal(syscall.SIGCONT)
	if r.code != exitHalted || !strings.Contains(r.err, "holds the sweep since") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	late := p.nodes[0].wire.posts()[sent:]
	for _, m := range late {
		t.Logf("%s left after all: it was durable before", m.id)
	}
	if len(late) > 1 {
		t.Errorf("%d requests were sent after the machine came back", len(late))
	}
	second.succeeds()
	p.tookOver(t, false)
	p.holds(t)
}

// One that stands by ends with Ctrl-C, and when a person stops the sweep, and has taken
// nothing over. One that could not take over does not stand by.
func TestStandbyTakesNothingOver(t *testing.T) {
	long(t)
	p := newPair(t, pgtest.Fresh(t), 20)
	s := p.scene
	s.plan(t, "other", "one.yaml", "direction.yaml")
	first := p.start(t, 0)
	p.untilSent(0, 1)
	if r := safemode(t, "", "pause", "--operations", p.nodes[0].operations, "--reason", "it is not to finish"); r.code != exitDone {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	second := p.start(t, 1)
	p.untilStandby(t, 1)
	second.signal(syscall.SIGINT).says(t, exitInterrupted, "stood by")

	// In the evening it fails for the time: then it is late for the next morning.
	if r := safemode(t, "", "preflight", "--config", s.path("two.yaml"), "--plan", s.path("plan"), "--journal", p.at); !strings.Contains(r.out, "it would stand by") ||
		strings.Count(r.out, "FAIL ") != strings.Count(r.out, "FAIL time:") {
		t.Errorf("preflight: exit %d: %s%s", r.code, r.out, r.err)
	}
	start(t, "sweep", "--config", s.path("two.yaml"), "--plan", s.path("other"), "--journal", p.at).wait().says(t, exitRefused, "another plan")

	second = p.start(t, 1)
	p.untilStandby(t, 1)
	if r := safemode(t, "", "stop", "--operations", p.nodes[0].operations, "--reason", "enough"); r.code != exitDone {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	first.wait().says(t, exitInterrupted, "interrupted and drained")
	second.wait().says(t, exitInterrupted, "has stopped the sweep")
	if starts := openings(t, p.at); len(starts) != 1 {
		t.Errorf("%d starts", len(starts))
	}
	if n := len(p.nodes[1].wire.posts()); n != 0 {
		t.Errorf("the machine that stood by has sent %d messages", n)
	}
}
