package main

import (
	"context"
	"debug/elf"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"safemode/servicerequests/outside"
)

// host stands in for systemd: it takes what services tell.
type host struct {
	settings []string // of the environment of who is to tell it

	mu   sync.Mutex
	told []string
}

// newHost makes one, with a watchdog of so long.
func newHost(t *testing.T, watchdog time.Duration) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "host") // short: a socket's path has 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	h := &host{settings: []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=" + strconv.FormatInt(watchdog.Microseconds(), 10), "WATCHDOG_PID="}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1<<16)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			h.mu.Lock()
			h.told = append(h.told, strings.Split(string(b[:n]), "\n")...)
			h.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done; _ = os.RemoveAll(dir) })
	return h
}

// count is how many lines begin so.
func (h *host) count(prefix string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, line := range h.told {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// The watchdog is fed only while the core turns: a core that stands is a service that
// systemd starts again.
func TestWatchdogIsFedByTheCore(t *testing.T) {
	h := newHost(t, 300*time.Millisecond)
	for _, setting := range h.settings {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
	}
	var stands atomic.Bool
	stop := service{func() string { return "here" }, func() error {
		if stands.Load() {
			return errors.New("it has not turned")
		}
		return nil
	}}.run(context.Background())
	until := func(what string, holds func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("not %s: %q", what, h.told)
			}
		}
	}
	until("fed", func() bool { return h.count("READY=1") == 1 && h.count("WATCHDOG=1") > 2 && h.count("STATUS=here") > 2 })
	stands.Store(true)
	said := h.count("STATUS=")
	until("past what was under way", func() bool { return h.count("STATUS=") > said+1 })
	fed := h.count("WATCHDOG=1")
	said = h.count("STATUS=")
	until("telling", func() bool { return h.count("STATUS=") > said+3 })
	if more := h.count("WATCHDOG=1"); more != fed {
		t.Errorf("fed %d times more while the core stood", more-fed)
	}
	stop()
	until("stopping", func() bool { return h.count("STOPPING=1") == 1 })
}

// A sweep and a simulator tell systemd that they are ready, how they are and that they stop.
func TestServices(t *testing.T) {
	t.Parallel()
	h := newHost(t, 300*time.Millisecond)
	s := newScene(t, 20, 49, 300)
	s.settings = h.settings
	sim := s.sim(t)
	sim.until("ready", func() bool { return h.count("READY=1") == 1 && h.count("STATUS=SIMULATOR: 20 meters") > 0 })
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	sweep := s.sweep(t)
	fed := 0
	sweep.until("running", func() bool {
		if fed == 0 && h.count("STATUS=SIMULATOR, running") > 0 {
			fed = h.count("WATCHDOG=1")
		}
		return fed > 0 && h.count("WATCHDOG=1") > fed+8 // more than the simulator's alone
	})
	if r := safemode(t, "", "stop", "--operations", s.operations); r.code != exitDone {
		t.Errorf("stop: %+v", r)
	}
	sweep.wait()
	sim.until("heard that the sweep has stopped", func() bool { return h.count("STOPPING=1") == 1 && h.count("STATUS=SIMULATOR, interrupted") > 0 })
}

// systemd understands the units, and finds nothing in them to say.
func TestUnits(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not on the path (Debian: systemd)")
	}
	units, err := filepath.Glob("../../config/systemd/*.service")
	if err != nil || len(units) != 2 {
		t.Fatalf("%q: %v", units, err)
	}
	dir := t.TempDir()
	for _, unit := range units {
		text := strings.ReplaceAll(string(mustRead(t, unit)), "/usr/bin/safemode ", "/bin/true ") // the program need not be there
		text = strings.ReplaceAll(text, "Documentation=man:", "Documentation=https://example.invalid/")
		putFile(t, filepath.Join(dir, filepath.Base(unit)), []byte(text))
		command := exec.CommandContext(t.Context(), tool, "verify", "--man=no", filepath.Join(dir, filepath.Base(unit)))
		command.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		if out, err := command.CombinedOutput(); err != nil || strings.Contains(string(out), dir) {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		// A unit's score, of 10, says how much it could do if it were taken over: both have 1.4 or
		// less.
		command = exec.CommandContext(t.Context(), tool, "security", "--offline=yes", "--no-pager", "--threshold=14", filepath.Join(dir, filepath.Base(unit)))
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
		// The unit calls a command of this program, with flags that the command has.
		for line := range strings.Lines(string(mustRead(t, unit))) {
			call, is := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=/usr/bin/safemode ")
			if !is {
				continue
			}
			words := strings.Fields(call)
			command, rest, err := newRoot(stdio{}).Find(words)
			if err != nil {
				t.Fatalf("%s: %v", unit, err)
			}
			for _, word := range rest {
				if flag, is := strings.CutPrefix(word, "--"); is && command.Flag(flag) == nil {
					t.Errorf("%s: no flag %s", unit, word)
				}
			}
		}
	}
}

// The program of the image needs nothing beside it: it is static, and runs in an empty root.
func TestImage(t *testing.T) {
	long(t)
	text := string(mustRead(t, "../../config/Containerfile"))
	for _, line := range []string{"FROM scratch\n", "COPY safemode /safemode\n", "ENTRYPOINT [\"/safemode\"]\n", "CGO_ENABLED=0 go build -trimpath -o safemode ./cmd/safemode\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("the Containerfile lacks %q", line)
		}
	}
	onlyWhole(t) // it compiles all that the program is made of in another way
	root := t.TempDir()
	path := filepath.Join(root, "safemode")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it is not static: %v", p.Type)
		}
	}
	chroot := []string{"chroot", root, "/safemode", "--version"}
	if os.Geteuid() != 0 {
		chroot = append([]string{"unshare", "--user", "--map-root-user"}, chroot...)
	}
	out, err := exec.CommandContext(t.Context(), chroot[0], chroot[1:]...).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "safemode") {
		t.Skipf("no empty root can be made here: %v: %s", err, out)
	}
	if err != nil || !strings.HasPrefix(string(out), "safemode version ") {
		t.Errorf("in an empty root: %v: %s", err, out)
	}
	t.Run("built", func(t *testing.T) { builtImage(t, path) })
}

// builtImage builds the image, and runs a demo in it as its user: with nothing beside the
// program but a volume.
func builtImage(t *testing.T, program string) {
	buildah := outside.Program(t, "buildah", "buildah")
	if os.Geteuid() != 0 {
		t.Skip("only root can make a container everywhere")
	}
	context, store, night := t.TempDir(), t.TempDir(), t.TempDir()
	putFile(t, filepath.Join(context, "Containerfile"), mustRead(t, "../../config/Containerfile"))
	if err := errors.Join(os.Link(program, filepath.Join(context, "safemode")), os.Chown(night, 65532, 65532)); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), buildah, append([]string{"--root", filepath.Join(store, "root"), "--runroot", filepath.Join(store, "run"), "--storage-driver", "vfs"}, args...)...)
		var errors strings.Builder
		command.Stderr = &errors
		out, err := command.Output()
		if err != nil {
			t.Fatalf("%q: %v: %s", args, err, &errors)
		}
		return string(out)
	}
	run("build", "--isolation", "chroot", "--quiet", "--tag", "safemode", context)
	container := strings.TrimSpace(run("from", "safemode"))
	defer run("rm", container)
	out := run("run", "--isolation", "chroot", "--volume", night+":/night", "--workingdir", "/night", container, "--", "/safemode", "demo", "--meters", "20", "--out", "/night/demo", "--json")
	if summary := parseSummary(t, out); summary.Meters != 20 {
		t.Errorf("%+v", summary)
	}
	if info, err := os.Stat(filepath.Join(night, "demo", "summary.json")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 65532 {
		t.Errorf("the report: %+v, %v", info, err)
	}
}
