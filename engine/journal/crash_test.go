package journal_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"safemode/engine/journal"
)

// childRole makes the test binary play one part of a test in a process of its own.
const childRole = "SAFEMODE_JOURNAL_CHILD"

func TestMain(m *testing.M) {
	role, path, isChild := strings.Cut(os.Getenv(childRole), ":")
	if !isChild {
		_ = flag.Set("rapid.checks", "20") // each step of a machine waits for the disk; the command line may ask for more
		os.Exit(m.Run())
	}
	if err := play(role, path); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func child(t *testing.T, role, path string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childRole+"="+role+":"+path)
	return cmd
}

func play(role, path string) error {
	if role == "full" {
		// The nearest thing to a full disk that needs no privilege: no file
		// of this process may grow beyond 2 MiB.
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 2 << 20, Max: 2 << 20}); err != nil {
			return err
		}
	}
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		return err
	}
	switch role {
	case "open":
		return j.Close()
	case "kill":
		return commitForEver(j)
	case "full":
		return commitUntilFull(j)
	}
	if name, ok := strings.CutPrefix(role, "fault="); ok {
		return commitUntilFault(j, name)
	}
	return fmt.Errorf("no part for %s", role)
}

// commitForEver prints the counter of the first of each pair of records once
// the pair is acknowledged.
func commitForEver(j *journal.Journal) error {
	const workers = 4
	base := j.Tip().Seq * 1000 // so that no two children use a counter twice
	var group sync.WaitGroup
	var stdout sync.Mutex
	for w := range uint64(workers) {
		group.Go(func() {
			for c := base + w*2 + 1; ; c += 2 * workers {
				if err := j.Commit(context.Background(), sent(c), sent(c+1)); err != nil {
					return
				}
				stdout.Lock()
				fmt.Println(c)
				stdout.Unlock()
			}
		})
	}
	group.Wait()
	return j.Err()
}

// commitUntilFull prints how many pairs were acknowledged before the journal failed.
func commitUntilFull(j *journal.Journal) error {
	c, big := uint64(1), make([]byte, 10_000)
	rand.Read(big) // what cannot be packed
	for ; c < 10_000; c += 2 {
		first, second := sent(c), sent(c+1)
		first.Body, second.Body = big, big
		if err := j.Commit(context.Background(), first, second); err != nil {
			break
		}
	}
	select {
	case <-j.Failed():
	default:
		return errors.New("Failed is not closed")
	}
	failure := j.Err()
	if failure == nil {
		return errors.New("Err says nothing")
	}
	j.Append(sent(1))
	if err := j.Commit(context.Background(), sent(2)); !errors.Is(err, failure) {
		return fmt.Errorf("a Commit after the failure: %w", err)
	}
	if err := j.Close(); !errors.Is(err, failure) {
		return fmt.Errorf("Close does not tell of the failure: %w", err)
	}
	fmt.Println((c - 1) / 2)
	return nil
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	out, err := child(t, "full", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	acknowledged, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || acknowledged == 0 {
		t.Fatalf("%q: %v", out, err)
	}
	j := open(t, path)
	if err := j.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A pair that was refused may be there, half a pair may not.
	if n := len(read(t, j, 1)); n != 2*acknowledged && n != 2*acknowledged+2 {
		t.Errorf("%d records after %d acknowledged pairs", n, acknowledged)
	}
	commit(t, j, sent(1)) // the disk has room again
}

func TestKilledWhileCommitting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.db")
	acknowledged := map[uint64]bool{}
	for round := range 4 {
		killAfter(t, path, 50+37*round, acknowledged)

		j := open(t, path) // recovery is the ordinary way of opening
		if err := j.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		found := map[uint64]bool{}
		for _, r := range read(t, j, 1) {
			found[r.ID.Counter] = true
		}
		for c := range acknowledged {
			if !found[c] || !found[c+1] {
				t.Errorf("round %d: acknowledged pair %d: found %t and %t", round, c, found[c], found[c+1])
			}
		}
		for c := range found {
			if c%2 == 1 && !found[c+1] || c%2 == 0 && !found[c-1] {
				t.Errorf("round %d: half of the pair of %d", round, c)
			}
		}
		j.Close()
	}
}

// killAfter starts a child that commits, kills it after so many lines, and
// notes all that it has printed.
func killAfter(t *testing.T, path string, lines int, acknowledged map[uint64]bool) {
	t.Helper()
	cmd := child(t, "kill", path)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(stdout)
	for n := 1; scanner.Scan(); n++ {
		counter, err := strconv.ParseUint(scanner.Text(), 10, 64)
		if err != nil {
			t.Fatalf("the child says %q", scanner.Text())
		}
		acknowledged[counter] = true
		if n == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}
