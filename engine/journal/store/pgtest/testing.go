package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// M runs the tests of a package that starts clusters: initdb runs once, and each cluster of
// a test begins as a copy of what it made. They do not write through to the disk: a server
// that crashes loses nothing by that, a machine that does would.
type M struct{ *testing.M }

// of the tests that run; set by [M].
var (
	template func() (*Cluster, error) // never started
	shared   func() (*Cluster, error) // the one of [Fresh]
	made     []*Cluster               // of these two
	fresh    atomic.Int64
)

// frugal has servers start few processes, and each of them touch little memory: a test makes many.
var frugal = []string{
	"fsync = off", "max_connections = 300", "shared_buffers = 8MB", "jit = off",
	"autovacuum = off", "max_logical_replication_workers = 0", "max_parallel_workers = 0",
}

// Run implements the method of [testing.M].
func (m M) Run() int {
	template = sync.OnceValues(func() (*Cluster, error) {
		c, err := folder()
		if err != nil {
			return nil, err
		}
		made = append(made, c)
		return c, errors.Join(c.create(), c.configure(frugal...))
	})
	shared = sync.OnceValues(func() (*Cluster, error) {
		c, err := run((*Cluster).copied, nil)
		if err == nil {
			made = append(made, c)
		}
		return c, err
	})
	code := m.M.Run()
	for _, c := range made {
		if err := c.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// copied makes the data of a cluster out of the template.
func (c *Cluster) copied() error {
	if template == nil {
		return errors.New("the package's TestMain does not run its tests with pgtest.M")
	}
	from, err := template()
	if err != nil {
		return err
	}
	return c.run("/bin/cp", "-a", from.data(), c.data())
}

// configure adds lines to the configuration of a cluster that does not run.
func (c *Cluster) configure(lines ...string) error {
	f, err := os.OpenFile(filepath.Join(c.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// Start makes a cluster that is removed with the test: one that it may crash, or that has a
// standby.
func Start(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := run((*Cluster).copied, settings)
	return c.with(t, err)
}

// Fresh is an empty database of the cluster that a package's tests share. It is not crashed.
func Fresh(t testing.TB) *Cluster {
	t.Helper()
	if shared == nil {
		t.Fatal("the package's TestMain does not run its tests with pgtest.M")
	}
	c, err := shared()
	if err != nil {
		skip(t, err)
	}
	name := fmt.Sprintf("test%d", fresh.Add(1))
	c.MakeDatabase(t, name)
	return &Cluster{Dir: c.Dir, name: name}
}

// Standby makes a synchronous standby of the cluster, which is removed with the test.
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	s, err := c.MakeStandby("second")
	s.with(t, err)
	if err := c.Set("synchronous_standby_names", "second"); err != nil {
		t.Fatal(err)
	}
	return s
}

// skip ends a test for want of a cluster: without programs for one it is left out.
func skip(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrNone) {
		t.Skipf("%v: left out", err)
	}
	t.Fatal(err)
}

func (c *Cluster) with(t testing.TB, err error) *Cluster {
	t.Helper()
	if err != nil {
		skip(t, err)
	}
	t.Cleanup(func() {
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// MakeDatabase makes a database in the cluster.
func (c *Cluster) MakeDatabase(t testing.TB, name string) {
	t.Helper()
	if _, err := c.Query("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
}

// Serve is [Cluster.Run] for a test.
func (c *Cluster) Serve(t testing.TB, settings ...string) {
	t.Helper()
	if err := c.Run(settings...); err != nil {
		t.Fatal(err)
	}
}

// Stop is [Cluster.Crash] for a test.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	if err := c.Crash(); err != nil {
		t.Error(err)
	}
}
