package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/engine/signing"
)

// latestSignatures is how many of the journal's last records are searched for signatures that
// the signer must have in its log, and at most how many signatures it is asked for.
const latestSignatures, mostKnown = 4096, 256

// signerPatience is how long a start waits for a signer that does not answer.
const signerPatience = 10 * time.Second

// askSigner has the signer decide on this start, from the engine's evidence and the signer's
// own copies. The error wraps [ErrRefused], or says that the signer cannot be asked.
func (e *Engine) askSigner(ctx context.Context) error {
	s, j := e.o.Signer, &e.claimed
	if s == nil {
		return nil
	}
	var about signing.About
	err := askPatiently(ctx, func() (err error) {
		about, err = s.About(ctx)
		return err
	})
	switch {
	case err != nil:
		return err
	case about.PlanSHA256 != e.o.Plan.SHA256:
		return fmt.Errorf("%w: the signer has plan %.12s..., and this is %.12s...: give it this one", ErrRefused, about.PlanSHA256, e.o.Plan.SHA256)
	}
	ev := signing.Evidence{Look: e.looks, Approvals: e.o.Approvals, Journal: signing.Claims{
		ID: j.ID, Planned: j.Planned, Content: j.Content, Starts: j.Starts, Stop: j.Stop, Records: j.Records, Hashes: map[uint64]string{},
	}}
	if ev.Book, err = e.book.Text(); err != nil {
		return err
	}
	for _, entry := range e.book.Entries() {
		if entry.Journal == j.ID {
			ev.Journal.Hashes[entry.Records] = ""
		}
	}
	for _, seq := range []uint64{about.Remembers, j.Records} {
		ev.Journal.Hashes[seq] = ""
	}
	for seq := range ev.Journal.Hashes {
		if seq == 0 || seq > j.Records {
			delete(ev.Journal.Hashes, seq)
			continue
		}
		hash, err := j.HashAt(seq)
		if err != nil {
			return err
		}
		ev.Journal.Hashes[seq] = hex.EncodeToString(hash[:])
	}
	if ev.Signed, err = e.latestSigned(ctx, j.Records); err != nil {
		return err
	}
	return askPatiently(ctx, func() error {
		_, err := s.Open(ctx, ev)
		return err
	})
}

// askPatiently asks the signer until it answers, for up to [signerPatience]: it may just be
// starting. The error wraps [ErrRefused], or [ErrUnreachable] if there was no answer.
func askPatiently(ctx context.Context, ask func() error) error {
	for deadline := time.Now().Add(signerPatience); ; {
		err := ask()
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, signer.ErrUnavailable):
			return fmt.Errorf("%w: %w", ErrRefused, err)
		case time.Now().After(deadline):
			return fmt.Errorf("signer %w: %w", ErrUnreachable, err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// latestSigned returns the latest signatures in the journal.
func (e *Engine) latestSigned(ctx context.Context, records uint64) (known []signing.Known, err error) {
	if records == 0 {
		return nil, nil
	}
	for r, err := range e.journal.Records(ctx, max(1, records-min(records, latestSignatures))) {
		if err != nil {
			return nil, err
		}
		if r.Kind != record.Request && r.Kind != record.SignedCommand {
			continue
		}
		k, err := signing.KnownOf(r)
		if err != nil {
			return nil, err
		}
		known = append(known, k)
	}
	return known[max(0, len(known)-mostKnown):], nil
}

// signerTrouble says why the signer does not sign; empty: it does, or there is no signer.
func (e *Engine) signerTrouble() string {
	if e.o.Signer == nil {
		return ""
	}
	since, why := e.o.Signer.Trouble()
	if why == nil {
		return ""
	}
	return fmt.Sprintf("no signatures since %s: %v", since.UTC().Format(time.TimeOnly), why)
}

// watchSigner logs when the signer is gone and when it is back, until ctx ends.
func (e *Engine) watchSigner(ctx context.Context) {
	if e.o.Signer == nil {
		return
	}
	gone := false
	every(ctx, time.Second, func() {
		why := e.signerTrouble()
		switch {
		case why != "" && !gone:
			e.o.Log.Warn("the sweep waits for its signer", zap.String("why", why))
		case why == "" && gone:
			e.o.Log.Info("the signer is back")
		}
		gone = why != ""
	})
}

// registerSigner registers the metric of whether the signer signs.
func (e *Engine) registerSigner() {
	e.registerFlag("safemode_signer_troubled", "1 while the signer's process gives no signatures; 0 where there is none.", nil,
		func() bool { return e.signerTrouble() != "" })
}

// registerFlag registers a metric that is 1 while something is so, as of the moment of the scrape.
func (e *Engine) registerFlag(name, help string, labels prometheus.Labels, is func() bool) {
	e.o.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, func() float64 {
		if is() {
			return 1
		}
		return 0
	}))
}
