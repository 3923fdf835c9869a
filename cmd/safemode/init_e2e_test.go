package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// nextOf is the command that a text names as the next one: the last such line.
func nextOf(text string) (command string) {
	for line := range strings.Lines(text) {
		if next, found := strings.CutPrefix(strings.TrimSpace(line), nextPrefix); found {
			command = next
		}
	}
	return command
}

// typist gives command lines at a terminal, as an operator pastes them, and types a sweep's
// id where it is asked for.
type typist struct {
	t      *testing.T
	folder string // anywhere: what is named can be pasted in any folder
	sweep  string
}

// begin starts a command line on a terminal of its own.
func (y *typist) begin(line string) (c *exec.Cmd, terminal *os.File, shown *output, read chan struct{}) {
	y.t.Helper()
	c = exec.Command("sh", "-c", "exec 2>&1; "+line)
	c.Dir = y.folder
	c.Env = append(os.Environ(), "TERM=xterm")
	terminal, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		y.t.Fatalf("%s: %v", line, err)
	}
	y.t.Cleanup(func() {
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // a session of its own; has ended as a rule
		_ = terminal.Close()
	})
	shown, read = &output{}, make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(shown, terminal) // until its other end is closed
	}()
	return c, terminal, shown, read
}

// paste gives a command line, waits for its end and returns what the terminal showed.
func (y *typist) paste(line string) string {
	y.t.Helper()
	c, terminal, shown, read := y.begin(line)
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	typed := false
	deadline := time.After(longest)
	for {
		select {
		case err := <-ended:
			<-read
			if err != nil {
				y.t.Fatalf("%s: %v\n%s", line, err, shown)
			}
			return shown.String()
		case <-deadline:
			y.t.Fatalf("%s: it does not end\n%s", line, shown)
		case <-time.After(20 * time.Millisecond):
			if !typed && strings.Contains(shown.String(), "type the sweep's id") {
				typed = true
				fmt.Fprintln(terminal, y.sweep)
			}
		}
	}
}

// leave gives a command line in a terminal that stays open, until it names the next one.
func (y *typist) leave(line string) string {
	y.t.Helper()
	_, _, shown, _ := y.begin(line)
	for end := time.Now().Add(longest); nextOf(shown.String()) == "" || !strings.HasSuffix(shown.String(), "\n"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			y.t.Fatalf("%s: it names no next command\n%s", line, shown)
		}
	}
	return shown.String()
}

// From an empty folder to the pack for the next supplier, by nothing but pasting what each
// command names next, on a terminal.
func TestEachCommandNamesTheNext(t *testing.T) {
	long(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	y := &typist{t: t, folder: t.TempDir()}
	folder := filepath.Join(t.TempDir(), "the night's folder") // which a shell must be told apart
	line := fmt.Sprintf("%s init %q --rehearsal --meters 30 --speed 2400 --dcc %s --smki %s --control %s --inbox %s --operations %s",
		path, folder, freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t))
	var given []string
	for sim := false; line != ""; {
		words := strings.Fields(line[strings.LastIndex(line, "safemode ")+len("safemode "):])
		given = append(given, words[0])
		if len(given) > 20 {
			t.Fatalf("the way has no end: %q", given)
		}
		var said string
		if sim {
			said = y.leave(line)
		} else {
			said = y.paste(line)
		}
		sim = strings.Contains(said, "in a terminal of its own")
		if found := sweepID.FindStringSubmatch(said); found != nil && y.sweep == "" {
			y.sweep = found[1]
		}
		line = nextOf(said)
	}
	want := []string{"init", "check-config", "portfolio", "plan", "approve", "approve", "sim", "preflight", "sweep", "report", "audit"}
	if !slices.Equal(given, want) {
		t.Errorf("the way is\n%q, want\n%q", given, want)
	}
	for _, name := range []string{"handover.html", "SHA256SUMS", "calls.csv"} {
		if _, err := os.Stat(filepath.Join(folder, "report", "handover", name)); err != nil {
			t.Error(err)
		}
	}
}

var sweepID = regexp.MustCompile(`, sweep ([0-9a-f]{12}), prepared by`)
