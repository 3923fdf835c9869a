package engine

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/servicerequests/safefile"
)

// Transfers says where the list of homes lies that leave the supplier, each on its day (package
// portfolio has the format). It is read at the start and whenever the file changes.
type Transfers struct {
	Path   string        // empty: there is none
	Margin time.Duration // how long before its day a home is left alone
}

// ForeseenTransfers are the plan's meters in a list of transfers.
type ForeseenTransfers struct {
	Homes   []record.Transfer // planned meters, the next to leave first
	Unknown int               // MPxNs of no planned meter
}

// String describes it in a few words.
func (f ForeseenTransfers) String() string {
	text := fmt.Sprintf("%d transfers, %d of them planned, %d unknown", len(f.Homes)+f.Unknown, len(f.Homes), f.Unknown)
	now := time.Now()
	for _, home := range f.Homes {
		if home.Leave.After(now) {
			return text + ", the next left alone from " + home.Leave.UTC().Format(time.RFC3339)
		}
	}
	return text
}

// Foresee reads the list and finds the plan's meters in it.
func (t Transfers) Foresee(p *plan.Plan) (f ForeseenTransfers, err error) {
	if t.Path == "" {
		return f, nil
	}
	in, err := safefile.Open(t.Path, safefile.List, safefile.Own)
	if err != nil {
		return f, err
	}
	defer in.Close()
	listed, err := portfolio.ReadTransfers(in)
	if err != nil {
		return f, fmt.Errorf("%s: %w", t.Path, err)
	}
	f.Unknown = len(listed)
	known := map[string]bool{}
	err = p.Each(func(target *plan.Target) error {
		mpxn, err := portfolio.PlainMPxN(target.MPxN)
		home, ok := listed[mpxn]
		if err != nil || !ok {
			return nil //nolint:nilerr // a plan of an older program may have an invalid MPxN: no list names it
		}
		if !known[mpxn] {
			known[mpxn] = true
			f.Unknown--
		}
		f.Homes = append(f.Homes, record.Transfer{
			Device: target.Device, MPxN: target.MPxN, Effective: home.Effective, Leave: home.Effective.Add(-t.Margin),
			Incoming: home.Incoming, Source: home.Source, AsOf: home.AsOf,
		})
		return nil
	}, func(*plan.Rejected) error { return nil })
	slices.SortFunc(f.Homes, func(a, b record.Transfer) int { return a.Leave.Compare(b.Leave) })
	return f, err
}

// transfersPoll is how often the list is checked, in real time.
const transfersPoll = 2 * time.Second

// watchTransfers gives the sweep the list again whenever it changes, until ctx ends. If it
// cannot be read, the last good one stays in force.
func (e *Engine) watchTransfers(ctx context.Context) {
	t := e.o.Transfers
	if t.Path == "" {
		return
	}
	was := e.transfersRead
	every(ctx, transfersPoll, func() {
		is, f, err := t.read(e.o.Plan, was)
		switch {
		case err != nil && is == nil && was == nil: // it was logged already
		case err != nil:
			e.o.Log.Error("the list of transfers cannot be read: the last good one stays in force", zap.Error(err))
		case is != was:
			e.o.Log.Info("the list of transfers has changed", zap.Int("planned", len(f.Homes)), zap.Int("unknown", f.Unknown))
			e.runner.Transfers(f.Homes)
		}
		was = is
	})
}

// read reads the list, unless the file is the same as before. Without a file, is is nil.
func (t Transfers) read(p *plan.Plan, was fs.FileInfo) (is fs.FileInfo, f ForeseenTransfers, err error) {
	is, err = os.Stat(t.Path)
	switch {
	case err != nil:
		return nil, f, err
	case was != nil && os.SameFile(is, was) && is.ModTime().Equal(was.ModTime()) && is.Size() == was.Size():
		return was, f, nil
	}
	f, err = t.Foresee(p)
	return is, f, err
}

// firstTransfers reads the list as the sweep starts. If it cannot be read the start is refused.
func (e *Engine) firstTransfers(context.Context) error {
	t := e.o.Transfers
	if t.Path == "" {
		return nil
	}
	is, f, err := t.read(e.o.Plan, nil)
	if err != nil {
		return fmt.Errorf("%w: transfers: %w", ErrRefused, err)
	}
	e.transfersRead, e.leaving = is, f
	return nil
}
