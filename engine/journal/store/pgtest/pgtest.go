// Package pgtest starts PostgreSQL clusters for tests and benchmarks, from the programs
// that are installed on the machine. Where there are none, a test skips and says so.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNone says that PostgreSQL cannot be run on this machine.
var ErrNone = errors.New("PostgreSQL cannot be started")

// Cluster is one server with a data directory and a socket of its own. It listens at no
// port. Its methods are for one goroutine.
type Cluster struct {
	Dir string // of the socket; the data lie below

	name   string // of the database that is asked
	bin    string
	runAs  *syscall.SysProcAttr
	server *exec.Cmd
	log    bytes.Buffer

	idle atomic.Pointer[pgconn.PgConn] // for the next query: the server starts a process for each connection
}

// Make makes a cluster and starts it. settings are of its configuration, like "fsync=off".
// The error wraps [ErrNone] where there are no programs for it. [Cluster.Remove] ends it.
func Make(settings ...string) (*Cluster, error) { return run((*Cluster).create, settings) }

// MakeStandby makes a cluster that follows this one, and starts it. This one's
// configuration names it by its name. It has this one's settings, and may have others.
func (c *Cluster) MakeStandby(name string, settings ...string) (*Cluster, error) {
	return run(func(s *Cluster) error {
		from := fmt.Sprintf("host=%s user=safemode application_name=%s", c.Dir, name)
		return s.run("pg_basebackup", "--pgdata", s.data(), "--dbname", from, "--write-recovery-conf", "--checkpoint", "fast", "--no-sync")
	}, settings)
}

// run has a new cluster filled, and starts it.
func run(fill func(c *Cluster) error, settings []string) (*Cluster, error) {
	c, err := folder()
	if err != nil {
		return nil, err
	}
	if err = fill(c); err == nil {
		err = c.Run(settings...)
	}
	if err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

// create makes the data of a cluster. Its log is in small files: few bytes are to be copied.
func (c *Cluster) create() error {
	return c.run("initdb", "--pgdata", c.data(), "--username", "safemode", "--auth", "trust", "--no-sync", "--no-locale", "--encoding", "UTF8", "--wal-segsize", "1")
}

// folder makes the place of a cluster.
func folder() (*Cluster, error) {
	bin := programs()
	if bin == "" {
		return nil, fmt.Errorf("%w: initdb was not found in PATH or /usr/lib/postgresql", ErrNone)
	}
	dir, err := os.MkdirTemp("", "pg-") // a socket's path is short
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, name: "postgres", bin: bin}
	if err := c.become(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: it does not run as root, and there is no other user for it: %w", ErrNone, err), os.RemoveAll(dir))
	}
	return c, nil
}

// Installed says whether there are programs of PostgreSQL on this machine.
func Installed() bool { return programs() != "" }

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
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.bin, name)
	}
	cmd := exec.CommandContext(context.Background(), name, args...)
	attributes := *c.runAs
	cmd.SysProcAttr, cmd.Dir = &attributes, c.Dir
	return cmd
}

// run runs a program to its end, by its path or one of PostgreSQL's by its name.
func (c *Cluster) run(name string, args ...string) error {
	if out, err := c.command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// Run starts the server, and returns when it answers.
func (c *Cluster) Run(settings ...string) error {
	args := []string{"-D", c.data(), "-k", c.Dir, "-c", "listen_addresses="}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	c.server = c.command("postgres", args...)
	c.log.Reset()
	c.server.Stdout, c.server.Stderr = &c.log, &c.log
	if err := c.server.Start(); err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, err := c.Query(""); err == nil {
			return nil
		}
		if time.Since(began) > time.Minute {
			return errors.Join(c.Crash(), fmt.Errorf("the server does not answer: %s", c.log.String()))
		}
	}
}

// Crash ends the server at once, as a crash does: what was committed is in its log. It
// does nothing where none runs.
func (c *Cluster) Crash() error {
	if c.server == nil {
		return nil
	}
	c.hangUp()
	c.each(syscall.SIGCONT)
	err := c.server.Process.Signal(syscall.SIGQUIT) // an immediate shutdown
	_ = c.server.Wait()                             // it was told to end so
	c.server = nil
	return err
}

// Freeze suspends the server: it takes connections, and answers nothing, until a Crash.
func (c *Cluster) Freeze() {
	c.hangUp()
	c.each(syscall.SIGSTOP)
}

// hangUp closes the connection that would be used again.
func (c *Cluster) hangUp() {
	if conn := c.idle.Swap(nil); conn != nil {
		_ = conn.Conn().Close() // nothing is under way
	}
}

// each sends a signal to the server and to the processes that it has started, each of which
// leads a session of its own.
func (c *Cluster) each(signal syscall.Signal) {
	server := c.server.Process.Pid
	_ = syscall.Kill(server, signal) // the first: it starts no more of them
	tasks, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ") // after the name: state, parent
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(server) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				_ = syscall.Kill(pid, signal) // may have ended
			}
		}
	}
}

// Promote makes a standby a primary, and returns when it is one.
func (c *Cluster) Promote() error {
	done, err := c.Query("SELECT pg_promote()")
	// The standby may cancel a statement that is in the way of its recovery. It is promoted all the same.
	for end := time.Now().Add(time.Minute); conflicts(err) && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if done, err = c.Query("SELECT NOT pg_is_in_recovery()"); err == nil && done != "t" {
			err = errRecovering
		}
	}
	if err == nil && done != "t" {
		err = errors.New("the standby was not promoted")
	}
	return err
}

var errRecovering = errors.New("the standby is not promoted yet")

// conflicts says whether a standby has not been promoted so far.
func conflicts(err error) bool {
	said, ok := errors.AsType[*pgconn.PgError](err)
	return ok && said.Code == "40001" || errors.Is(err, errRecovering)
}

// Query returns the one value that a query finds; empty: it finds none.
func (c *Cluster) Query(query string) (value string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	conn := c.idle.Swap(nil)
	if conn == nil {
		if conn, err = pgconn.Connect(ctx, c.Database()); err != nil {
			return "", err
		}
	}
	defer func() {
		if err != nil || !c.idle.CompareAndSwap(nil, conn) {
			_ = conn.Close(ctx) // the answer is here, or the error
		}
	}()
	results, err := conn.Exec(ctx, query).ReadAll()
	for _, r := range results {
		for _, row := range r.Rows {
			value = string(row[0])
		}
	}
	return value, err
}

// Set changes a setting of the running server.
func (c *Cluster) Set(name, value string) error {
	_, err := c.Query(fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value))
	if err == nil {
		_, err = c.Query("SELECT pg_reload_conf()")
	}
	return err
}

// Remove ends the server and removes all that it has.
func (c *Cluster) Remove() error { return errors.Join(c.Crash(), os.RemoveAll(c.Dir)) }

// Address is that of a sweep in the cluster; others are where its server may be instead.
func (c *Cluster) Address(sweep string, others ...*Cluster) string {
	return c.Database(others...) + "&sweep=" + url.QueryEscape(sweep)
}

// Database is the address of the database that has the sweeps.
func (c *Cluster) Database(others ...*Cluster) string {
	hosts := c.Dir
	for _, o := range others {
		hosts += "," + o.Dir
	}
	return "postgres:///" + c.name + "?" + url.Values{"host": {hosts}, "user": {"safemode"}}.Encode()
}
