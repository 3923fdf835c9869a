package journal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"safemode/engine/journal"
	"safemode/engine/record"
)

// faults are what a disk does to the journal's writes: the kernel's own errors, got
// by putting another file under the descriptor of the write-ahead log, or by a filter of
// the process's system calls.
var faults = map[string]struct {
	begin func() error
	says  string
	there bool // what was refused is there all the same
}{
	"ENOSPC on write": {func() error { return underLog("/dev/full") }, "full", false},
	"EIO on write":    {func() error { return underLog("/proc/self/mem") }, "I/O", false}, // nothing is mapped at such low addresses
	// /dev/null takes every write and has no fsync.
	"error on fsync, not applied": {func() error { return underLog("/dev/null") }, "I/O", false},
	"EIO on fsync, applied":       {refuseSync, "I/O", true},
}

// refuseSync has every fsync of this process end with EIO from now on. The writes before
// it are the file's: the kernel has them, and a process that opens the file finds them.
func refuseSync() error {
	const number = 0 // offset of the call's number in what a filter looks at
	answer := func(code uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: code} }
	isCall := func(call uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: skip}
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		isCall(unix.SYS_FSYNC, 2),
		isCall(unix.SYS_FDATASYNC, 1),
		answer(unix.SECCOMP_RET_ALLOW),
		answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)),
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

// commitUntilFault commits pairs, lets the fault happen, and prints how many pairs
// were acknowledged and what was said of the next.
func commitUntilFault(j *journal.Journal, name string) error {
	const acknowledged = 50
	for c := uint64(1); c <= 2*acknowledged; c += 2 {
		if err := j.Commit(context.Background(), sent(c), sent(c+1)); err != nil {
			return err
		}
	}
	runtime.LockOSThread() // a filter is set by one thread, for all
	if err := faults[name].begin(); err != nil {
		return err
	}
	failure := j.Commit(context.Background(), sent(1001), sent(1002))
	if failure == nil {
		return errors.New("acknowledged all the same")
	}
	select {
	case <-j.Failed():
	default:
		return errors.New("Failed is not closed")
	}
	if err := j.Commit(context.Background(), sent(1003)); err == nil || !errors.Is(err, j.Err()) {
		return fmt.Errorf("a Commit after the failure: %w", err)
	}
	fmt.Printf("%d\n%v\n", acknowledged, failure)
	os.Exit(0) // as a process that halts, but without a word to the file that lies
	return nil
}

// underLog puts a file under every descriptor of the write-ahead log.
func underLog(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || !strings.HasSuffix(to, "-wal") {
			continue
		}
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return err
		}
		found = true
		if err := syscall.Dup3(int(f.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			return err
		}
	}
	if !found {
		return errors.New("the write-ahead log is not open")
	}
	return nil
}

func TestDiskFaults(t *testing.T) {
	t.Parallel()
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			out, err := child(t, "fault="+name, path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			count, said, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			acknowledged, err := strconv.Atoi(count)
			if err != nil || !strings.Contains(said, f.says) || !strings.Contains(said, path) {
				t.Fatalf("%q", out)
			}
			n := whole(t, path, acknowledged)
			if there := n > 2*acknowledged; there != f.there {
				t.Errorf("%d records after %d acknowledged pairs", n, acknowledged)
			}
			t.Logf("%s: %s; %d acknowledged pairs are there, and the journal goes on", name, said, acknowledged)
		})
	}
}

// whole opens a journal of pairs after a fault: what was acknowledged is there, and
// of what was refused all or nothing.
func whole(t *testing.T, path string, acknowledged int) (n int) {
	t.Helper()
	j := open(t, path)
	defer j.Close()
	if err := j.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n = len(read(t, j, 1)); n != 2*acknowledged && n != 2*acknowledged+2 {
		t.Errorf("%d records after %d acknowledged pairs", n, acknowledged)
	}
	commit(t, j, sent(2001))
	return n
}

// clone copies a journal's files as a crash leaves them.
func clone(t interface{ Fatal(...any) }, path, to string) {
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A write-ahead log that was cut or garbled at any place, as a power cut leaves it, is
// a journal that ends earlier, with whole batches.
func TestTornLog(t *testing.T) {
	t.Parallel()
	const sector, frame, header = 512, 4096 + 24, 32
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	j := open(t, path)
	ends := map[int]bool{0: true}
	for c := uint64(1); c <= 24; c += 3 {
		commit(t, j, sent(c), sent(c+1), sent(c+2))
		ends[int(c)+2] = true
	}
	torn := filepath.Join(dir, "torn.db")
	clone(t, path, torn)
	log, err := os.ReadFile(torn + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	database, err := os.ReadFile(torn)
	if err != nil {
		t.Fatal(err)
	}
	cuts := map[int]bool{}
	for at := 0; at <= len(log); at += 4 * sector {
		cuts[at] = true
	}
	for at := header; at <= len(log); at += frame { // each frame's edges, and a byte beside them
		cuts[at], cuts[max(at-1, 0)], cuts[min(at+1, len(log))] = true, true, true
	}
	last, opened, full := -1, 0, 0
	for _, at := range sorted(cuts) {
		for _, tail := range []string{"cut", "zeros", "old"} {
			b := slices.Clone(log[:at])
			switch tail {
			case "zeros":
				b = append(b, make([]byte, len(log)-at)...)
			case "old": // what stood there before: frames of an earlier log, of another salt
				b = append(b, bytes.Repeat([]byte{0xA5}, len(log)-at)...)
			}
			os.Remove(torn + "-shm")
			for name, content := range map[string][]byte{torn: database, torn + "-wal": b} {
				if err := os.WriteFile(name, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := journal.Open(torn, journal.Options{})
			if err != nil {
				t.Fatalf("%s at %d: %v", tail, at, err)
			}
			if err := c.Verify(t.Context()); err != nil {
				t.Fatalf("%s at %d: %v", tail, at, err)
			}
			n := int(c.Tip().Seq)
			if !ends[n] || n < last {
				t.Errorf("%s at %d: %d records, %d with less of the log", tail, at, n, last)
			}
			c.Close()
			opened++
			full = max(full, n)
			if tail == "cut" {
				last = n
			}
		}
	}
	if full != 24 {
		t.Errorf("the whole log gives %d records", full)
	}
	t.Logf("%d torn logs of %d bytes: each ends with a whole batch", opened, len(log))
}

func sorted(set map[int]bool) (all []int) {
	for k := range set {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// A checkpoint that was cut off leaves the database partly new: the log, which is
// still whole, mends it.
func TestTornCheckpoint(t *testing.T) {
	const page = 4096
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	j := open(t, path)
	for c := uint64(1); c <= 600; c += 50 {
		for i := range uint64(50) {
			j.Append(sent(c + i))
		}
		commit(t, j)
	}
	commit(t, j, sent(601))
	crashed := filepath.Join(dir, "crashed.db")
	clone(t, path, crashed)
	before, err := os.ReadFile(crashed)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(crashed + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	j.Close() // checkpoints
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at <= len(after); at += page / 2 { // also in the middle of a page
		b := slices.Clone(after[:at])
		if len(before) > at {
			b = append(b, before[at:]...)
		}
		os.Remove(crashed + "-shm")
		for name, content := range map[string][]byte{crashed: b, crashed + "-wal": log} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := journal.Open(crashed, journal.Options{})
		if err != nil {
			t.Fatalf("at %d: %v", at, err)
		}
		if err := c.Verify(t.Context()); err != nil || c.Tip().Seq != 601 {
			t.Fatalf("at %d: %d records, %v", at, c.Tip().Seq, err)
		}
		c.Close()
	}
}

// TestJournalMachine walks through commits, appends, reads, ends, crashes, second
// processes and backups. Acknowledged calls are there, in order; of the others the
// first ones may be there, each as a whole.
func TestJournalMachine(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(base, strconv.Itoa(n))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path, generation := filepath.Join(dir, "0.db"), 0
		var j *journal.Journal
		var calls [][]record.Record // in order
		acknowledged := 0           // calls of which all before are durable
		next := uint64(1)
		reopen := func() {
			var err error
			if j, err = journal.Open(path, journal.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		reopen()
		defer func() { j.Close() }()
		draw := func() []record.Record {
			var records []record.Record
			for range rapid.IntRange(1, 3).Draw(t, "records") {
				records = append(records, sent(next))
				next++
			}
			calls = append(calls, records)
			return records
		}
		counters := func(j *journal.Journal) (all []uint64) {
			for r, err := range j.Records(context.Background(), 1) {
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, r.ID.Counter)
			}
			return all
		}
		// check says how many calls are there, and that they are whole.
		check := func(j *journal.Journal) int {
			have := counters(j)
			for i, call := range calls {
				if len(have) == 0 {
					return i
				}
				for _, r := range call {
					if len(have) == 0 || have[0] != r.ID.Counter {
						t.Fatalf("call %d is there in part, or not in its place", i)
					}
					have = have[1:]
				}
			}
			if len(have) > 0 {
				t.Fatalf("records that nobody wrote: %v", have)
			}
			return len(calls)
		}
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(*rapid.T) {
				if err := j.Commit(context.Background(), draw()...); err != nil {
					t.Fatal(err)
				}
				acknowledged = len(calls)
			},
			"append": func(*rapid.T) { j.Append(draw()...) },
			"read": func(*rapid.T) {
				if there := check(j); there < acknowledged {
					t.Fatalf("%d calls of %d that were acknowledged", there, acknowledged)
				}
			},
			"end": func(*rapid.T) {
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				acknowledged = len(calls)
				reopen()
			},
			"crash": func(*rapid.T) {
				generation++
				to := filepath.Join(dir, strconv.Itoa(generation)+".db")
				clone(t, path, to)
				j.Close()
				path = to
				reopen()
				there := check(j)
				if there < acknowledged {
					t.Fatalf("%d calls of %d that were acknowledged", there, acknowledged)
				}
				calls, acknowledged = calls[:there], there
			},
			"second process": func(*rapid.T) {
				if _, err := journal.Open(path, journal.Options{}); !errors.Is(err, journal.ErrInUse) {
					t.Fatal(err)
				}
			},
			"backup": func(*rapid.T) {
				generation++
				to := filepath.Join(dir, strconv.Itoa(generation)+".db")
				if _, err := journal.Backup(context.Background(), path, to); err != nil {
					t.Fatal(err)
				}
				b, err := journal.OpenReadOnly(to)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				if there := check(b); there < acknowledged {
					t.Fatalf("a backup of %d calls of %d", there, acknowledged)
				}
			},
		})
	})
}
