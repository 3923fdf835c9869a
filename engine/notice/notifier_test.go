package notice_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/durable"
	"safemode/engine/notice"
	"safemode/engine/record"
)

// peer is a channel that takes notices, fails or hangs.
type peer struct {
	mu    sync.Mutex
	name  string
	fails error
	hangs bool
	tries int
	taken []notice.Notice
}

func (p *peer) Name() string { return p.name }

func (p *peer) Tell(ctx context.Context, n notice.Notice) error {
	p.mu.Lock()
	p.tries++
	fails, hangs := p.fails, p.hangs
	p.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if fails != nil {
		return fails
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = append(p.taken, n)
	return nil
}

func (p *peer) set(fails error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = fails
}

// tried is how often it was told, taken or not.
func (p *peer) tried() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tries
}

// told are the kinds and scopes that it took, in order.
func (p *peer) told() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.taken {
		all = append(all, strings.TrimSuffix(n.Cause+" "+n.Scope, " "))
	}
	return all
}

func open(t *testing.T, path string, peers ...notice.Channel) *notice.Notifier {
	t.Helper()
	d, err := notice.Open(notice.Options{Path: path, Channels: peers, Log: zap.NewNop(), Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// runs has a Notifier tell people until the test, or the function that it returns, ends it.
func runs(d *notice.Notifier) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	return func() {
		cancel()
		<-done
		_ = d.Close()
	}
}

var epoch = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)

// status is one with these causes.
func status(state string, causes ...record.Cause) *record.Status {
	st := &record.Status{Identity: record.Identity{Environment: record.Simulator, SweepID: "146ddd8158c5", Time: epoch}, State: state, Meters: 9}
	for _, c := range causes {
		if c.Says == "" {
			c.Says = "it is so"
		}
		st.ToDo = append(st.ToDo, record.Task{Says: "not for notices", Cause: &c})
	}
	return st
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

// A cause is said once for as long as it lasts; what comes and goes is one; what comes again
// after it was over is another.
func TestOncePerCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{name: "webhook"}
		d := open(t, filepath.Join(t.TempDir(), "j.notices"), p)
		defer runs(d)()
		breaker := record.Cause{Kind: record.NoticeBreaker}
		pause := record.Cause{Kind: record.NoticePause, Scope: "the sweep", Since: epoch}
		halt := record.Cause{Kind: record.NoticeHalt, Scope: "gate"}
		look := func(over time.Duration, st *record.Status) {
			for range int(over / time.Second) {
				d.Look(st)
				time.Sleep(time.Second)
			}
		}
		look(time.Minute, status("starting", breaker)) // it still reads its journal
		same(t, "starting", p.told())
		look(time.Hour, status("paused", breaker, pause))
		same(t, "an hour of it", p.told(), "breaker", "pause the sweep")
		look(4*time.Minute, status("running"))
		look(time.Minute, status("running", breaker))
		same(t, "the circuit was closed for minutes", p.told(), "breaker", "pause the sweep")
		look(6*time.Minute, status("running"))
		look(time.Minute, status("running", breaker))
		same(t, "the circuit was well", p.told(), "breaker", "pause the sweep", "breaker")
		again := pause
		again.Since = epoch.Add(time.Hour)
		look(time.Minute, status("paused", breaker, again))
		look(time.Minute, status("halted", halt))
		look(2*time.Second, status("running"))
		look(time.Minute, status("halted", halt))
		same(t, "a second pause, and two halts", p.told()[3:], "pause the sweep", "halt gate", "halt gate")
	})
}

// Nothing is lost over a kill, and nothing is said twice that was taken: what one process
// leaves in the file the next one tells, to the channel that has not taken it.
func TestOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "j.notices")
		takes, fails := &peer{name: "webhook"}, &peer{name: "smtp", fails: errors.New("no")}
		d := open(t, path, takes, fails)
		end := runs(d)
		halt := status("halted", record.Cause{Kind: record.NoticeHalt, Scope: "gate"})
		d.Look(halt)
		time.Sleep(time.Minute)
		same(t, "the one that takes", takes.told(), "halt gate")
		end()

		takes, fails = &peer{name: "webhook"}, &peer{name: "smtp"}
		d = open(t, path, takes, fails)
		end = runs(d)
		d.Look(halt) // the same halt, of a sweep that still ends
		time.Sleep(time.Minute)
		end()
		same(t, "the one that had taken it", takes.told())
		same(t, "the one that had not", fails.told(), "halt gate")

		// Before anybody is told it is in the file: nothing runs here.
		d = open(t, path, takes, fails)
		d.Look(status("paused", record.Cause{Kind: record.NoticePause, Scope: "region North", Since: epoch}))
		kept, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(kept), "region North") {
			t.Errorf("not durable before it is tried: %s, %v", kept, err)
		}
		_ = d.Close()
	})
}

// A peer that takes nothing is tried less and less often, for ever; what piles up meanwhile
// is bounded, and says how often it came. The other channel does not wait for it.
func TestPeerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well, ill := &peer{name: "smtp"}, &peer{name: "webhook", fails: errors.New("no")}
		path := filepath.Join(t.TempDir(), "j.notices")
		d := open(t, path, ill, well)
		defer runs(d)()
		for i := range 30 {
			d.Look(status("paused", record.Cause{Kind: record.NoticePause, Scope: "the sweep", Since: epoch.Add(time.Duration(i) * time.Minute)}))
			d.Look(status("running"))
		}
		synctest.Wait()
		if n := len(well.told()); n < 1 || n > 30 {
			t.Errorf("the channel that is well took %d", n)
		}
		before := ill.tried()
		time.Sleep(24 * time.Hour)
		if tries := ill.tried() - before; tries < 150 || tries > 600 {
			t.Errorf("%d tries in a day", tries)
		}
		ill.set(nil)
		time.Sleep(10 * time.Minute)
		if left := d.Settle(t.Context()); left != 0 {
			t.Errorf("%d are left", left)
		}
		total := 0
		ill.mu.Lock()
		defer ill.mu.Unlock()
		for _, n := range ill.taken {
			total += n.Times
		}
		if total != 30 {
			t.Errorf("%d of 30 pauses were told of", total)
		}
	})
}

// A peer that hangs keeps nobody: neither who looks, nor the end.
func TestPeerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &peer{name: "webhook", hangs: true}
		d := open(t, filepath.Join(t.TempDir(), "j.notices"), hangs)
		end := runs(d)
		at := time.Now()
		for i := range 100 {
			d.Look(status("paused", record.Cause{Kind: record.NoticePause, Since: epoch.Add(time.Duration(i) * time.Hour)}))
		}
		if took := time.Since(at); took != 0 {
			t.Errorf("looking took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if left := d.Settle(ctx); left == 0 || time.Since(at) > 6*time.Second {
			t.Errorf("%d left after %v", left, time.Since(at))
		}
		end()
		if time.Since(at) > 6*time.Second {
			t.Errorf("it ended after %v", time.Since(at))
		}
	})
}

// Where the file cannot be written people are told all the same.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := &peer{name: "webhook"}
	d := open(t, filepath.Join(dir, "j.notices"), p)
	defer runs(d)()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	d.Look(status("running", record.Cause{Kind: record.NoticeDisk}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if left := d.Settle(ctx); left != 0 {
		t.Errorf("%d are left", left)
	}
	same(t, "the disk", p.told(), "disk")
}

// A file that is damaged stops no sweep: it is moved aside, as it was. One that is in use is
// refused.
func TestFileThatCannotBeUsed(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":2}`, `{"version":1,"more":1}`} {
		path := filepath.Join(t.TempDir(), "j.notices")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &peer{name: "webhook"}
		d := open(t, path, p)
		if aside, _ := filepath.Glob(path + ".*.damaged"); len(aside) != 1 {
			t.Errorf("%q: moved aside: %q", text, aside)
		}
		if _, err := notice.Open(notice.Options{Path: path, Log: zap.NewNop(), Registry: prometheus.NewRegistry()}); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("opened twice: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A notice names no device, no home and no person, whatever a reason says; a drill says so
// first of all.
func TestNoPersonalData(t *testing.T) {
	p := &peer{name: "webhook"}
	d := open(t, filepath.Join(t.TempDir(), "j.notices"), p)
	defer runs(d)()
	said := "meter 00-DB-12-34-56-78-90-A0 and 00db1234567890a0, MPAN 1012345678901, MPRN 7654321\r\nSubject: 123456 meters"
	d.Look(status("halted", record.Cause{Kind: record.NoticeHalt, Says: said, Do: said}))
	if left := d.Settle(t.Context()); left != 0 {
		t.Fatal(left)
	}
	n := p.taken[0]
	all, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(all), n.Text(), n.Subject()} {
		for _, id := range []string{"90-A0", "90a0", "1012345678901", "7654321", "not for notices", "\r"} {
			if strings.Contains(text, id) {
				t.Errorf("%q is in %s", id, text)
			}
		}
	}
	if !strings.HasPrefix(n.Subject(), "DRILL: ") || !n.Drill || !strings.HasPrefix(n.Text(), "SIMULATOR") || !strings.Contains(n.Says, "123456 meters") {
		t.Errorf("%s\n%s", n.Subject(), n.Text())
	}
	for environment, want := range map[string]string{record.Live: "LIVE: ", "": "LIVE OR NOT IS NOT KNOWN: "} {
		n := notice.Test(environment, epoch)
		if !strings.HasPrefix(n.Subject(), want) || n.Drill {
			t.Errorf("%q: %s", environment, n.Subject())
		}
	}
}
