package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/devicesim"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/smki"
)

// addresses are where the simulator listens.
type addresses struct{ DUIS, SMKI string }

// playSimulator runs the simulated DCC and its meters until the end of input.
func playSimulator(ctx context.Context, o options, l line) error {
	population, err := population(o)
	if err != nil {
		return err
	}
	pki, err := smki.LoadFolder(os.DirFS(filepath.Join(o.Dir, "pki")))
	if err != nil {
		return err
	}
	sim, err := devicesim.New(devicesim.Options{
		Fleet: population, PKI: pki, Clock: clock.Clock{Anchor: time.Now(), Speed: 1},
		Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- sim.Run(ctx) }()
	err = answer(o, l, sim)
	cancel()
	return errors.Join(err, <-ended)
}

// answer follows the orders.
func answer(o options, l line, sim *devicesim.Simulator) error {
	m, err := newMeter(o, "simulator")
	if err != nil {
		return err
	}
	if err := l.out.Encode(addresses{"http://" + sim.DUISAddr(), "http://" + sim.SMKIAddr()}); err != nil {
		return err
	}
	for {
		var next order
		if err := l.in.Decode(&next); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var said any
		switch {
		case next.RespondTo != "":
			sim.SetRespondTo(next.RespondTo)
		case next.Mark:
			said, err = m.mark()
		case next.Peak:
			said, err = peakRSS()
		}
		if err != nil {
			return err
		}
		if err := l.out.Encode(said); err != nil {
			return err
		}
	}
}

// population grows a fleet in which the plan's meters are all there, registered and
// within reach: what is measured are requests that are answered.
func population(o options) (*fleet.Fleet, error) {
	// 96 in 166 meters of a fleet are electricity's.
	return fleet.Generate(fleet.Options{
		Meters: o.Meters*166/90 + 100, Seed: o.Seed, Supplier: smki.TestSupplier, AllAnswer: true,
	})
}

// electricity are the first n electricity meters of a fleet.
func electricity(f *fleet.Fleet, n int) []fleet.Meter {
	all := make([]fleet.Meter, 0, n)
	for i := 0; i < f.Len() && len(all) < n; i++ {
		if m := f.Meter(i); m.Type == servicerequests.ESME {
			all = append(all, m)
		}
	}
	return all
}
