package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"safemode/engine/record"
)

const plainUsage = "plain lines, also on a terminal"

// terminal is a standard error that a full-screen view may fill: what is written
// meanwhile is kept, shown in the view, and written when the view has gone.
type terminal struct {
	*os.File
	in io.Reader

	mu     sync.Mutex
	filled bool
	kept   strings.Builder
}

// fillable lets a view fill the terminal that a command talks to. Where it talks to a
// file or a pipe, to a terminal that knows no screen, or plain lines are asked for, it
// changes nothing.
func fillable(streams stdio, plain bool) stdio {
	f, ok := streams.err.(*os.File)
	if plain || !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" {
		return streams
	}
	streams.err = &terminal{File: f, in: streams.in}
	return streams
}

// Write keeps what comes while the terminal is filled.
func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.filled {
		return t.kept.Write(b)
	}
	return t.File.Write(b)
}

// WriteString is Write; that of the file would go past it.
func (t *terminal) WriteString(s string) (int, error) { return t.Write([]byte(s)) }

// mostTalk is how many lines of talk a view shows.
const mostTalk = 5

func (t *terminal) talk() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimRight(t.kept.String(), "\n"), "\n")
	if lines[0] == "" {
		return nil
	}
	return lines[max(0, len(lines)-mostTalk):]
}

func (t *terminal) fill(on bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.filled = on
	if on {
		return nil
	}
	_, err := t.File.WriteString(t.kept.String())
	t.kept.Reset()
	return err
}

// show fills the terminal with a view until ctx ends or the view does.
func (t *terminal) show(ctx context.Context, s screen) error {
	if err := t.fill(true); err != nil {
		return err
	}
	s.talk = t.talk
	options := []tea.ProgramOption{tea.WithOutput(t.File), tea.WithoutSignalHandler(), tea.WithInput(nil)}
	if in, ok := t.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		options[2] = tea.WithInput(in)
	}
	p := tea.NewProgram(s, options...)
	ended := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			p.Quit()
		case <-ended:
		}
	}()
	_, err := p.Run()
	close(ended)
	return errors.Join(err, t.fill(false))
}

// interruptSelf is what Ctrl-C does where the terminal does not turn it into a signal.
func interruptSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGINT) }

// showProgress shows a status until ctx ends: it fills the terminal where it may, and
// writes plain lines elsewhere.
func showProgress(ctx context.Context, w io.Writer, status func() record.Status) {
	t, ok := w.(*terminal)
	if !ok {
		showLines(ctx, w, status)
		return
	}
	err := t.show(ctx, screen{status: func() (record.Status, error) { return status(), nil }, interrupt: interruptSelf})
	if err != nil {
		fmt.Fprintf(w, "the terminal cannot be filled, lines follow: %v\n", err)
		showLines(ctx, w, status)
	}
}
