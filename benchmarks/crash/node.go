package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"safemode/engine/journal/store/pgtest"
)

// node is one machine that the sweep may run on.
type node struct {
	name       string
	config     string // file
	journal    string // as its command line has it
	custody    string
	answers    string // where it takes the DCC's answers, host:port
	operations string
	sends      string // where it sends requests
	line       *line  // to the database; nil: the journal is in a file

	run atomic.Int64 // number of its process among all; the wire looks at it

	certain bool // its process was started with all the DCC's certificates

	// Only the director uses these.
	now       *process
	crashAt   string    // where the process kills itself; empty: nowhere
	again     time.Time // when it is started again
	died      time.Time // when it killed itself
	disturbed bool      // its way to the database was cut or held since it was started
}

func (n *node) close() {
	n.line.close()
	n.now.kill()
}

// machines makes the nodes' addresses, and the database if there is one.
func (s *scene) machines(ctx context.Context) (err error) {
	if s.database {
		if s.cluster, err = pgtest.Make(); err != nil {
			return err
		}
	}
	for i := range s.nodes {
		n := &node{name: string(rune('A' + i)), config: s.path("safemode.yaml"), journal: s.path("journal.db"), custody: s.path("custody")}
		if i > 0 {
			n.config = s.path("safemode-" + strings.ToLower(n.name) + ".yaml")
		}
		for _, address := range []*string{&n.answers, &n.operations} {
			if *address, err = freeAddress(ctx); err != nil {
				return err
			}
		}
		if n.sends, err = s.wire.listen(ctx, func() int { return int(n.run.Load()) }, func() string { return s.duis }); err != nil {
			return err
		}
		if s.cluster != nil {
			if n.line, err = newLine(ctx, filepath.Join(s.cluster.Dir, ".s.PGSQL.5432")); err != nil {
				return err
			}
			database := fmt.Sprintf("postgres://safemode@%s/postgres?sslmode=disable", n.line.address)
			n.journal, n.custody = database+"&sweep=crash", database+"&custody=crash"
		}
		s.machine = append(s.machine, n)
	}
	// As a balancer does that asks which one is ready: where none is, to any.
	s.deliver, err = s.inbox.listen(ctx, func() int { return 0 }, func() string { return cmp.Or(s.acts(), s.machine[0]).answers })
	return err
}

// journal is where the record is, for who judges it.
func (s *scene) journal() string {
	if s.cluster != nil {
		return s.cluster.Address("crash")
	}
	return s.machine[0].journal
}

// custody is where the counters are, likewise.
func (s *scene) custody() string {
	if s.cluster != nil {
		return s.cluster.Database() + "&custody=crash"
	}
	return s.machine[0].custody
}

// acts is the machine that acts, or the only one; nil: nobody knows.
func (s *scene) acts() *node {
	if len(s.machine) == 1 {
		return s.machine[0]
	}
	return s.acting.Load()
}

// operations is where the operator finds the machine that acts; empty: nobody knows.
func (s *scene) operations() string {
	if n := s.acts(); n != nil {
		return n.operations
	}
	return ""
}
