package pgtest

import (
	"errors"
	"testing"
)

// Start makes a cluster that is removed with the test.
func Start(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := Make(settings...)
	if errors.Is(err, ErrNone) {
		t.Skipf("%v: left out", err)
	}
	return c.with(t, err)
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

func (c *Cluster) with(t testing.TB, err error) *Cluster {
	t.Helper()
	if err != nil {
		t.Fatal(err)
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
	if err := c.run("createdb", "-h", c.Dir, "-U", "safemode", name); err != nil {
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
