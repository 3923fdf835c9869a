package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"
)

// sim is one simulator in a process of its own, and its User.
type sim struct {
	*user
	process *exec.Cmd
	control string
	ready   time.Duration
	spent   spent
}

// spent is what the measured rounds took.
type spent struct {
	requests int
	wall     time.Duration
	cpu      float64 // seconds
}

func (s spent) rate() float64 { return float64(s.requests) / s.wall.Seconds() }
func (s spent) each() float64 { return s.cpu * 1e6 / float64(s.requests) }

func startSim(ctx context.Context, binary, dir string, meters int, seed uint64, living bool) (*sim, error) {
	u, err := newUser(dir, meters, seed)
	if err != nil {
		return nil, err
	}
	addresses := make([]string, 3)
	for i := range addresses {
		if addresses[i], err = free(ctx); err != nil {
			return nil, err
		}
	}
	u.duis = "http://" + addresses[0]
	s := &sim{user: u, control: "http://" + addresses[2]}
	s.process = exec.CommandContext(ctx, binary, "sim",
		"--meters", strconv.Itoa(meters), "--seed", strconv.FormatUint(seed, 10), "--pki", filepath.Join(dir, "pki"),
		"--listen", addresses[0], "--smki-listen", addresses[1], "--control", addresses[2],
		"--respond-to", u.inbox.URL, "--faults", filepath.Join(dir, "faults.yaml"), fmt.Sprintf("--living=%t", living))
	s.process.Cancel = func() error { return s.process.Process.Signal(os.Interrupt) }
	talk, err := s.process.StderrPipe()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(talk)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), "answers go to") {
			s.ready = time.Since(began)
			go func() {
				for lines.Scan() { // it must not block on what nobody reads
				}
			}()
			return s, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("sim with %d meters: %s", meters, strings.Join(said, "\n")), s.process.Wait())
}

func (s *sim) stop() error {
	_ = s.process.Process.Signal(os.Interrupt) // it may have ended
	err := s.process.Wait()
	s.close()
	return err
}

func free(ctx context.Context) (string, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// inFlight is how many exchanges are under way at once.
const inFlight = 32

// round does n exchanges.
func (s *sim) round(ctx context.Context, n int) error {
	before, err := s.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	var working sync.WaitGroup
	faults := make([]error, inFlight)
	for w := range inFlight {
		working.Go(func() {
			for range (n + w) / inFlight { // they sum to about n
				sent, err := s.exchange(ctx)
				if err != nil {
					faults[w] = err
					return
				}
				s.count(sent)
			}
		})
	}
	working.Wait()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	s.spent.wall += time.Since(began)
	after, err := s.cpu()
	s.spent.cpu += after - before
	s.spent.requests += s.counted()
	return err
}

// cpu returns the processor time of the process so far, in seconds.
func (s *sim) cpu() (float64, error) {
	p, err := procfs.NewProc(s.process.Process.Pid)
	if err != nil {
		return 0, err
	}
	used, err := p.Stat()
	return used.CPUTime(), err
}

// peak returns the most memory that the process ever had, in MB.
func (s *sim) peak() (float64, error) {
	p, err := procfs.NewProc(s.process.Process.Pid)
	if err != nil {
		return 0, err
	}
	status, err := p.NewStatus()
	return float64(status.VmHWM) / 1e6, err
}

// behind returns how late what meters do by themselves is.
func (s *sim) behind(ctx context.Context) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.control+"/sim/v1/summary", nil)
	if err != nil {
		return 0, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var summary struct {
		Behind float64 `json:"behind_seconds"`
	}
	return summary.Behind, json.NewDecoder(response.Body).Decode(&summary)
}
