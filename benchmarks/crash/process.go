package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"safemode/engine/console"
)

// process is a running safemode.
type process struct {
	command  *exec.Cmd
	out, log output        // standard output and standard error
	ended    chan struct{} // closed once err and at are set
	err      error
	at       time.Time
}

// output collects what a process writes while others read it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String is all of it so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (s *scene) start(env []string, args ...string) (*process, error) {
	p := &process{command: exec.Command(s.binary, args...), ended: make(chan struct{})} //nolint:noctx // it is killed by its own end, or by close
	p.command.Env = append(os.Environ(), env...)
	p.command.Stdout, p.command.Stderr = &p.out, &p.log
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		p.err = p.command.Wait()
		p.at = time.Now()
	}()
	return p, nil
}

// kill ends a process that may have ended, or none.
func (p *process) kill() {
	if p != nil {
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

// until waits until something holds while the process runs.
func (p *process) until(ctx context.Context, every time.Duration, holds func() (bool, error)) error {
	return poll(ctx, time.Hour, every, func() (bool, error) {
		select {
		case <-p.ended:
			return false, fmt.Errorf("%s ended: %w: %s", p.command.Args[1], p.err, &p.log)
		default:
			return holds()
		}
	})
}

// untilSaid waits until the process has said something.
func (p *process) untilSaid(ctx context.Context, words string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("%s has not said %q within a minute", p.command.Args[1], words))
	defer cancel()
	return p.until(ctx, 5*time.Millisecond, func() (bool, error) { return strings.Contains(p.log.String(), words), nil })
}

// poll asks again and again until something holds.
func poll(ctx context.Context, longest, every time.Duration, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("not after %v", longest))
	defer cancel()
	for {
		if is, err := holds(); is || err != nil {
			return err
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// killed says whether a process ended by SIGKILL.
func killed(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// ask sends a request, in a person's name if there is one, and returns the reply.
func ask(ctx context.Context, method, url, by string, body []byte) (status int, reply []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if by != "" {
		request.Header.Set(console.PersonHeader, by)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	reply, err = io.ReadAll(response.Body)
	return response.StatusCode, reply, err
}

func get(ctx context.Context, url string) ([]byte, error) {
	status, reply, err := ask(ctx, http.MethodGet, url, "", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s: %d", url, status)
	}
	return reply, err
}
