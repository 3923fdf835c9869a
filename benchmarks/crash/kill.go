package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
)

// points are where the program can be told to kill itself.
var points = [...]string{
	"before commit", "after commit", "before append", "after append",
	"before counter", "after counter", "before post", "after post", "before keep", "after keep",
}

// postsPerMeter is how many POSTs one meter takes at least, so that the work lasts for
// all kills.
const postsPerMeter = 7

// killAll kills the sweep so many times, and lets it then come to its end.
func (s *scene) killAll(ctx context.Context, kills int, random *rand.Rand, r *Result) error {
	for r.Kills < kills {
		// The rest of the work, shared among the rest of the kills.
		share := max(4, (s.meters*postsPerMeter-s.wire.different())/(kills-r.Kills))
		ended, at, err := s.killOnce(ctx, share, random)
		switch {
		case errors.Is(err, errUnbelieved):
			if err := s.goOn(ctx, s.machine[0]); err != nil {
				return err
			}
			r.Halts++
			continue
		case err != nil:
			return fmt.Errorf("kill %d of %d (%s): %w", r.Kills+1, kills, at, err)
		case ended:
			return fmt.Errorf("the sweep ended after %d of %d kills: take more meters", r.Kills, kills)
		}
		r.Kills++
		r.At[at]++
		fmt.Fprintf(os.Stderr, "kill %d: %s, %d messages on the wire\n", r.Kills, at, s.wire.different())
	}
	if err := s.renewBy(ctx); err != nil {
		return err
	}
	p, err := s.sweep(s.machine[0], "")
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(20 * time.Minute):
		_ = p.command.Process.Kill()
		<-p.ended
	case <-ctx.Done():
		_ = p.command.Process.Kill()
		<-p.ended
		return ctx.Err()
	}
	if p.err != nil {
		return fmt.Errorf("the last run: %w: %s", p.err, p.text(&p.log))
	}
	return nil
}

// renewBy waits until the configuration may know all certificates.
func (s *scene) renewBy(ctx context.Context) error {
	select {
	case <-time.After(time.Until(s.renewed)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errUnbelieved marks a sweep that has halted because it lacks the DCC's second certificate:
// it ran for longer with it than a kill should let it.
var errUnbelieved = errors.New("halted: the DCC is not believed")

// goOn does what a sweep that has halted so advises: the configuration learns of the
// certificate, and two approve. A machine that stood by since may not have known it yet.
func (s *scene) goOn(ctx context.Context, n *node) error {
	if n.certain {
		return fmt.Errorf("%w, with all its certificates", errUnbelieved)
	}
	if !s.renewed.IsZero() {
		s.renewed = time.Now()
		if err := s.renew(); err != nil {
			return err
		}
	}
	return s.approve(ctx, "--config", s.machine[0].config, "--journal", s.journal())
}

// killOnce lets the sweep run for about a share of POSTs and kills it. ended says
// that it came to its end before.
func (s *scene) killOnce(ctx context.Context, share int, random *rand.Rand) (ended bool, at string, err error) {
	hook := ""
	nth := 1 + random.IntN(2*share)
	if random.IntN(2) == 0 {
		at = points[random.IntN(len(points))]
		if strings.HasSuffix(at, " keep") {
			nth = 1 + random.IntN(3) // a few times a second
		}
		hook = fmt.Sprintf("%s:%d", at, nth)
	} else {
		at = "any instant"
	}
	p, err := s.sweep(s.machine[0], hook)
	if err != nil {
		return false, at, err
	}
	if hook == "" {
		if random.IntN(8) != 0 { // now and then it dies while it starts
			if err := p.until(ctx, time.Minute, "answers come to"); err != nil {
				return false, at, halted(p, err)
			}
		}
		time.Sleep(time.Duration(random.Int64N(int64(2 * time.Second * time.Duration(share) / time.Duration(s.pace())))))
		_ = p.command.Process.Kill() // it may have ended
	}
	select {
	case <-p.ended:
	case <-time.After(2*time.Second*time.Duration(share)/time.Duration(s.pace()) + 5*time.Second):
		at = "any instant" // the point was not passed so often
		_ = p.command.Process.Kill()
		<-p.ended
	case <-ctx.Done():
		_ = p.command.Process.Kill()
		<-p.ended
		return false, at, ctx.Err()
	}
	if p.err == nil {
		return true, at, nil
	}
	if !killed(p.err) {
		return false, at, halted(p, fmt.Errorf("the sweep ended by itself: %w: %s", p.err, p.text(&p.log)))
	}
	return false, at, nil
}

// halted is errUnbelieved if a sweep has ended for that, in this run or when it was killed
// in the one before; else it is err.
func halted(p *process, err error) error {
	if strings.Contains(p.text(&p.log), "messages of the DCC are not believed") {
		return errUnbelieved
	}
	return err
}
