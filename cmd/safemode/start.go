package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"safemode/config"
	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/plan"
)

// beginning is what a sweep begins with: a configuration, a plan, the files that they name,
// and what has been made of them. sweep and preflight read it by the same steps; sweep stops
// at the first that fails.
type beginning struct {
	conf       *config.Config
	plan       *plan.Plan // without a hash: none is given
	configPath string
	planDir    string
	journal    string
	looks      bool // it is a preflight: nothing is written
	log        *zap.Logger
	options    engine.Options
}

// stamp changes when the configuration's file is written, or the plan's, or an approval comes in.
// A machine that stands by writes files, too, maybe in the same folder: they do not count.
func (b *beginning) stamp() (stamp string) {
	paths, _ := direction.ApprovalFiles(b.planDir) // only a pattern could be wrong
	for _, path := range append(paths, filepath.Join(b.planDir, plan.FileName), b.configPath) {
		if info, err := os.Stat(path); err == nil { // a file that is being replaced is there in a moment
			stamp += fmt.Sprintln(path, info.Size(), info.ModTime())
		}
	}
	return stamp
}

// reread reads the configuration once nobody writes into it, or into the plan's folder, any more.
func (b *beginning) reread(ctx context.Context) (*config.Config, error) {
	for last := ""; b.stamp() != last; {
		last = b.stamp()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, failWith(exitInterrupted, ctx.Err())
		}
	}
	return loadConfig(b.configPath)
}

// reading is one of the things that are read.
type reading struct {
	name string
	read func(*beginning) error
	plan bool // it is the plan's
}

// readings are what a sweep reads before its engine begins, in order. Each error has its exit
// code.
var readings = []reading{
	{name: "limits", read: func(b *beginning) error { return failWith(exitRefused, fitsPlan(b.conf, b.plan)) }, plan: true},
	{name: "files", read: func(b *beginning) (err error) {
		b.options, err = engineOptions(b.conf, b.plan, b.journal, b.log)
		return err
	}},
	{name: "roster", read: func(b *beginning) (err error) {
		b.options.Roster, err = loadRoster(b.conf)
		return err
	}},
	{name: "approvals", read: func(b *beginning) (err error) {
		b.options.Approvals, err = direction.LoadApprovals(b.planDir)
		return failWith(exitRefused, err)
	}, plan: true},
}

// read reads it all, and stops where heard says so.
func (b *beginning) read(heard func(s *reading, err error) (goOn bool)) {
	for i := range readings {
		if readings[i].plan && b.plan.SHA256 == "" {
			continue
		}
		if !heard(&readings[i], readings[i].read(b)) {
			return
		}
	}
	o := &b.options
	o.Gates, _ = gatesOf(b.conf, o, b.looks) // the files say what is wrong with the custody
	o.Drain = b.conf.Gates.Drain
	o.ApprovalsAtMost = b.conf.Roster.ApprovalsAtMost
	if b.plan.SHA256 != "" {
		o.Wider = fitsPlan(b.conf, b.plan)
	}
}

// readBeginning reads it all for a sweep.
func readBeginning(b beginning) (engine.Options, error) {
	var first error
	was := b.stamp() // what changes while it is read is read again
	b.read(func(_ *reading, err error) bool { first = err; return err == nil })
	b.options.Changed = func() bool { return b.stamp() != was }
	return b.options, first
}
