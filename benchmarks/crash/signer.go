package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// signers are the one signer of the scene, which is killed and started again.
type signers struct {
	scene  *scene
	random *rand.Rand

	mu    sync.Mutex
	now   *process
	kills int
}

// startSigner starts the signer that has the sweep's keys.
func (s *scene) startSigner(ctx context.Context, seed uint64) (*signers, error) {
	all := &signers{scene: s, random: rand.New(rand.NewPCG(seed, 17))}
	return all, all.start(ctx)
}

func (s *signers) start(ctx context.Context) error {
	p, err := s.scene.start(nil, "signer", "serve", "--config", s.scene.path("signer.yaml"))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.now = p
	s.mu.Unlock()
	return p.until(ctx, time.Minute, "answers at")
}

// run kills the signer every few seconds, and has it back soon after, until ctx ends.
func (s *signers) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second + time.Duration(s.random.Int64N(int64(4*time.Second)))):
		}
		_ = s.now.command.Process.Kill()
		<-s.now.ended
		if !killed(s.now.err) {
			return fmt.Errorf("the signer ended by itself: %w: %s", s.now.err, s.now.text(&s.now.log))
		}
		s.kills++
		time.Sleep(time.Duration(s.random.Int64N(int64(time.Second))))
		if err := s.start(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
}

func (s *signers) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.now.command.Process.Kill()
	<-s.now.ended
}
