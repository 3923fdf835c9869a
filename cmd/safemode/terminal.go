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
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"safemode/engine/record"
)

const plainUsage = "plain lines, also on a terminal"

// terminal is a standard error that a full-screen view may fill: text that is written
// meanwhile is kept, shown in the view, and written when the view has gone.
type terminal struct {
	io.Writer          // what lines are written to
	file      *os.File // the terminal itself
	in        io.Reader

	mu     sync.Mutex
	filled bool
	kept   strings.Builder
	lost   uint64 // writes for which kept had no room
}

// fillable lets a view fill the terminal that a command talks to. Where it talks to a
// file or a pipe, to a terminal that knows no screen or that another program has in the
// foreground (a shell, where a command was started with &), or plain lines are asked for,
// it changes nothing.
func fillable(streams stdio, plain bool) stdio {
	f := fileOf(streams.err)
	if plain || f == nil || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == "" || !foreground(f) {
		return streams
	}
	streams.err = &terminal{Writer: streams.err, file: f, in: streams.in}
	return streams
}

// foreground says whether this process has a terminal to itself; false if that cannot be known.
func foreground(tty *os.File) bool {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// Write keeps what comes while the terminal is filled.
func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.filled {
		return t.Writer.Write(b)
	}
	if t.kept.Len()+len(b) > mostTalkWaiting/2 { // half: all of it must go out when the view goes
		t.lost++
		return len(b), nil
	}
	return t.kept.Write(b)
}

// Dropped is how many writes were lost.
func (t *terminal) Dropped() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lost + droppedBy(t.Writer)
}

func (t *terminal) flush(limit time.Duration) bool { return flushed(t.Writer, limit) }

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
	_, err := io.WriteString(t.Writer, t.kept.String())
	t.kept.Reset()
	if t.lost > 0 {
		fmt.Fprintf(t.Writer, "safemode: %d messages were dropped while the view was up\n", t.lost)
	}
	return err
}

// show fills the terminal with a view until ctx ends or the view does.
func (t *terminal) show(ctx context.Context, s screen) error {
	if err := t.fill(true); err != nil {
		return err
	}
	s.talk, s.ours = t.talk, func() bool { return foreground(t.file) }
	options := []tea.ProgramOption{tea.WithOutput(t.file), tea.WithoutSignalHandler(), tea.WithInput(nil)}
	if in, ok := t.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		options[2] = tea.WithInput(in)
	}
	restore := func() {}
	if in, ok := t.in.(*os.File); ok {
		if was, err := term.GetState(int(in.Fd())); err == nil {
			restore = func() { _ = term.Restore(int(in.Fd()), was) }
		}
	}
	p := tea.NewProgram(s, options...)
	ended := make(chan error, 1)
	go func() {
		_, err := p.Run()
		ended <- err
	}()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		go p.Quit() // waits where the view is stuck in a write
		select {
		case err = <-ended:
		case <-time.After(viewEnds):
			restore()
			err = errors.New("the terminal takes nothing in: the view is left as it is")
		}
	}
	return errors.Join(err, t.fill(false))
}

// viewEnds is how long a view may take to clear the terminal.
const viewEnds = 2 * time.Second

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
	switch {
	case err != nil:
		fmt.Fprintf(w, "the terminal cannot be filled, lines follow: %v\n", err)
	case ctx.Err() == nil:
		fmt.Fprintln(w, "in the background: lines follow")
	default:
		return
	}
	showLines(ctx, w, status)
}
