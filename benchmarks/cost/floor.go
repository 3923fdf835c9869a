package main

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// operation is a kind of public-key operation on P-256, as the standard library
// does it.
type operation int

// The operations.
const (
	sign    operation = iota // ECDSA
	verify                   // ECDSA
	agree                    // ECDH
	makeKey                  // an ECDSA key from its scalar
	operations
)

var operationNames = [operations]string{"sign", "verify", "agree", "make a key"}

// floor is what one operation of each kind costs.
type floor [operations]time.Duration

// of is the floor of so many operations.
func (f floor) of(n count) (sum time.Duration) {
	for op, times := range n {
		sum += time.Duration(times * float64(f[op]))
	}
	return sum
}

// count is how many operations of each kind.
type count [operations]float64

func (n count) plus(more count, times float64) count {
	for op := range n {
		n[op] += times * more[op]
	}
	return n
}

// The cryptography that cannot be left out, on each side.
var (
	// A critical request. The engine signs the request, the Pre-Command and the
	// request that carries it, and verifies the DCC's Pre-Command and Response and
	// the device's. The simulator verifies both requests and, for its device, the
	// Pre-Command, and signs its two answers and the device's. (The device relies on the
	// DCC's check of the Pre-Command.)
	criticalEngine    = count{sign: 3, verify: 3}
	criticalSimulator = count{sign: 3, verify: 3}

	// A read: a signed request and a signed Response, with a MAC inside.
	readEngine    = count{sign: 1, verify: 1}
	readSimulator = count{sign: 1, verify: 1}

	// A meter, once. The engine proves the device's two certificates. The simulator
	// makes the device's two keys and issues the certificates.
	contactEngine    = count{verify: 2}
	contactSimulator = count{makeKey: 2, sign: 2}

	// A meter's shared secrets, once: broker and device have one, and the simulator is
	// both of them; where there are reads, supplier and device have one as well.
	secret = count{agree: 1}
)

// sampler times the operations on a thread of its own while the process works.
type sampler struct {
	mu      sync.Mutex
	samples [operations][]time.Duration // since the last take
	used    time.Duration               // CPU of the thread
}

// between two rounds, so that the thread takes some hundredths of one core.
const samplePause = 12 * time.Millisecond

// startSampler samples until the process ends.
func startSampler() (*sampler, error) {
	do, err := primitives()
	if err != nil {
		return nil, err
	}
	s := &sampler{}
	first := make(chan error, 1) // of the first round
	go func() {
		runtime.LockOSThread() // its CPU clock is the thread's
		for err := error(nil); err == nil; {
			err = s.round(do)
			select {
			case first <- err:
			default:
			}
			time.Sleep(samplePause)
		}
	}()
	return s, <-first
}

func (s *sampler) round(do [operations]func() error) error {
	for op, f := range do {
		took, err := timed(f)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.samples[op] = append(s.samples[op], took)
		s.mu.Unlock()
	}
	used, err := cpuClock(unix.CLOCK_THREAD_CPUTIME_ID)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.used = used
	s.mu.Unlock()
	return nil
}

// timed is the CPU time that f takes on this thread.
func timed(f func() error) (time.Duration, error) {
	before, err := cpuClock(unix.CLOCK_THREAD_CPUTIME_ID)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := cpuClock(unix.CLOCK_THREAD_CPUTIME_ID)
	return after - before, err
}

// take returns the medians since the last take, and the thread's CPU so far.
func (s *sampler) take() (f floor, used time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for op := range f {
		f[op] = median(s.samples[op])
		s.samples[op] = s.samples[op][:0]
	}
	return f, s.used
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// primitives are the operations, each on a key of its own.
func primitives() (do [operations]func() error, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return do, err
	}
	digest := sha256.Sum256([]byte("floor"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return do, err
	}
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return do, err
	}
	public := private.PublicKey()
	scalar := private.Bytes()
	return [operations]func() error{
		sign: func() error { _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); return err },
		verify: func() error {
			if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
				return errors.New("a signature does not verify")
			}
			return nil
		},
		agree:   func() error { _, err := private.ECDH(public); return err },
		makeKey: func() error { _, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); return err },
	}, nil
}
