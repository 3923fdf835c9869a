package main

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"safemode/engine/record"
)

// A sweep whose standard error nobody reads, whose reader goes away, whose terminal is
// stopped by Ctrl-S or is closed, goes on or drains: nothing it knew is lost, and the same
// command goes on with it.
func TestSweepOutlivesItsTerminal(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("SIGHUP is ignored where the tests were started (nohup), and what they start inherits that")
	}
	long(t)
	s := newScene(t, ofWhole(50, 150), 6, 600)
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	s.sim(t)
	more := func(p *process, what string) {
		t.Helper()
		was := s.requests(t)
		p.until(what, func() bool { return s.requests(t) > was+5 })
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	args := append(s.sweepArgs("safemode.yaml", "plan", "journal.db"), "--verbose", "--plain")

	// A pipe that is full from the first, and then one without a reader.
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fill(t, write)
	sweep := startOn(t, exec.Command(path, args...), write)
	more(sweep, "sending though nobody reads what it says")
	steers := func() {
		t.Helper()
		for _, order := range [...]string{"pause", "resume"} {
			if r := safemode(t, "", order, "--operations", s.operations); r.code != exitDone {
				t.Fatalf("%s: %+v", order, r)
			}
		}
	}
	steers()
	if lost := scrape(t, s.operations)["safemode_log_dropped_total"]; lost != 0 {
		t.Errorf("%g messages are lost, and there is room", lost)
	}
	if err := read.Close(); err != nil {
		t.Fatal(err)
	}
	more(sweep, "sending though the reader is gone")
	sweep.until("counting what cannot be written", func() bool { return scrape(t, s.operations)["safemode_log_dropped_total"] > 0 })
	if r := sweep.signal(syscall.SIGHUP); r.code != exitInterrupted {
		t.Fatalf("SIGHUP ended it with %d", r.code)
	}
	if end := lastClosed(journalRecords(t, s.path("journal.db"))); end.Code != record.ClosedInterrupted {
		t.Errorf("the journal ends with %q", end.Code)
	}

	// A terminal: Ctrl-S, then it is closed.
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, args...)
	command.Stdin, command.Stdout = slave, slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	sweep = startOn(t, command, slave)
	if _, err := io.ReadAtLeast(master, make([]byte, 1), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := master.Write([]byte{'S' - '@'}); err != nil {
		t.Fatal(err)
	}
	more(sweep, "sending though Ctrl-S was pressed")
	steers()
	if err := master.Close(); err != nil {
		t.Fatal(err)
	}
	if r := sweep.wait(); r.code != exitInterrupted {
		t.Fatalf("a closed terminal ended it with %d", r.code)
	}

	// Started to outlive its terminal, it does.
	quiet := exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, path}, args...)...)
	sweep = startCommand(t, quiet)
	more(sweep, "sending")
	if err := quiet.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	more(sweep, "sending though its terminal is gone")
	if r := sweep.signal(syscall.SIGINT); r.code != exitInterrupted {
		t.Fatalf("SIGINT ended it with %d", r.code)
	}
	summary, lines := s.report(t, "journal.db")
	if summary.Counters.Reused != 0 || summary.Counters.Used == 0 || len(lines) != s.meters {
		t.Errorf("%+v", summary)
	}
	must(t, "", "audit", "--journal", s.path("journal.db"), "--custody-dir", s.path("custody"))
}

// fill fills a pipe, so that the next write to it would wait.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	if err := w.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, strings.Repeat(".\n", 1<<20)); !os.IsTimeout(err) {
		t.Fatalf("the pipe is not full: %v", err)
	}
}

// startOn starts a command whose standard error is a file of its own, which it closes here.
func startOn(t *testing.T, command *exec.Cmd, stderr *os.File) *process {
	t.Helper()
	command.Stderr = stderr
	p := &process{t: t, line: strings.Join(command.Args, " "), command: command, ended: make(chan struct{})}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if err := stderr.Close(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		if err := command.Wait(); err != nil {
			p.code = command.ProcessState.ExitCode()
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // has ended as a rule
		<-p.ended
	})
	return p
}
