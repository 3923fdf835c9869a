// Package pgtest starts PostgreSQL clusters for tests, from the programs that are installed
// on the machine. Where there are none, a test skips and says so.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Cluster is one server with a data directory and a socket of its own. It listens at no
// port.
type Cluster struct {
	Dir string // of the socket; the data lie below

	bin    string
	runAs  *syscall.SysProcAttr
	server *exec.Cmd
	log    bytes.Buffer
}

// Start makes a cluster and starts it. It is stopped and removed with the test. settings
// are of its configuration, like "fsync=off".
func Start(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	bin := programs()
	if bin == "" {
		t.Skip("PostgreSQL is not installed (initdb was not found in PATH or /usr/lib/postgresql): left out")
	}
	dir, err := os.MkdirTemp("", "pg-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{Dir: dir, bin: bin}
	t.Cleanup(func() {
		c.Stop(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := c.become(); err != nil {
		t.Skipf("PostgreSQL does not run as root, and there is no other user for it: %v: left out", err)
	}
	if out, err := c.command("initdb", "--pgdata", c.data(), "--username", "safemode", "--auth", "trust", "--no-sync", "--no-locale", "--encoding", "UTF8").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	c.Serve(t, settings...)
	return c
}

// programs is the folder of PostgreSQL's programs; empty: there is none.
func programs() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil { // the others lie beside it
			return filepath.Dir(path)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is a good one
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
}

// become has the programs run as the user postgres where this one is root, as whom they
// refuse to run.
func (c *Cluster) become() error {
	c.runAs = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	c.runAs.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.Dir, uid, gid)
}

func (c *Cluster) data() string { return filepath.Join(c.Dir, "data") }

func (c *Cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(c.bin, name), args...)
	attributes := *c.runAs
	cmd.SysProcAttr, cmd.Dir = &attributes, c.Dir
	return cmd
}

// Serve starts the server, and returns when it answers.
func (c *Cluster) Serve(t testing.TB, settings ...string) {
	t.Helper()
	args := []string{"-D", c.data(), "-k", c.Dir, "-c", "listen_addresses="}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	c.server = c.command("postgres", args...)
	c.log.Reset()
	c.server.Stdout, c.server.Stderr = &c.log, &c.log
	if err := c.server.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if c.command("pg_isready", "-h", c.Dir, "-q").Run() == nil {
			return
		}
		if time.Since(began) > time.Minute {
			c.Stop(t)
			t.Fatalf("the server does not answer: %s", c.log.String())
		}
	}
}

// Stop ends the server at once, as a crash does: what was committed is in its log.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	if c.server == nil {
		return
	}
	if err := c.server.Process.Signal(syscall.SIGQUIT); err != nil { // an immediate shutdown
		t.Error(err)
	}
	_ = c.server.Wait() // it was told to end so
	c.server = nil
}

// Address is that of a sweep in the cluster.
func (c *Cluster) Address(sweep string) string {
	return c.Database() + "&sweep=" + url.QueryEscape(sweep)
}

// Database is the address of the database that has the sweeps.
func (c *Cluster) Database() string {
	return "postgres:///postgres?" + url.Values{"host": {c.Dir}, "user": {"safemode"}}.Encode()
}
