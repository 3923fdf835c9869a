package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"safemode/engine/durable"
	"safemode/engine/journal/store/pgtest"
	"safemode/engine/record"
	"safemode/servicerequests/safefile"
)

// shelf makes empty files of one kind.
type shelf struct {
	at    func(t *testing.T) string // a new place
	files func(t *testing.T, at string) durable.Files
	// other are the same files as another process has them.
	other func(t *testing.T, at string) durable.Files
}

// TestFiles checks that each kind of files does what custody, checkpoints and the memory of
// revocation lists need.
func TestFiles(t *testing.T) {
	t.Parallel()
	suite := []struct {
		name string
		test func(t *testing.T, s shelf)
	}{
		{"replace", replace},
		{"append", appendTo},
		{"append behind a torn line", appendBehindTornLine},
		{"lock", lockFile},
		{"two at once", twoAtOnce},
	}
	t.Run("folder", func(t *testing.T) {
		open := func(_ *testing.T, at string) durable.Files { return durable.Folder(at) }
		for _, c := range suite {
			t.Run(c.name, func(t *testing.T) {
				c.test(t, shelf{func(t *testing.T) string { return t.TempDir() }, open, open})
			})
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		c := pgtest.Fresh(t)
		n := 0
		writer := func(sweep string) func(t *testing.T, at string) durable.Files {
			return func(t *testing.T, at string) durable.Files {
				s := openStore(t, c.Address(fmt.Sprintf("%s-%d", sweep, n)), true)
				t.Cleanup(func() { s.Close() })
				f, err := s.Files(at)
				if err != nil {
					t.Fatal(err)
				}
				return f
			}
		}
		for _, test := range suite {
			t.Run(test.name, func(t *testing.T) {
				test.test(t, shelf{func(t *testing.T) string {
					n++
					at := fmt.Sprintf("%s&custody=c%d", c.Database(), n)
					if err := MakeFiles(t.Context(), at); err != nil {
						t.Fatal(err)
					}
					return at
				}, writer("one"), writer("two")})
			})
		}
	})
}

func wantText(t *testing.T, f durable.Files, name, want string) {
	t.Helper()
	text, err := f.Read(name, safefile.Small, safefile.Own)
	if want == "" && errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil || string(text) != want {
		t.Fatalf("%s holds %q, want %q: %v", f.Path(name), text, want, err)
	}
}

func replace(t *testing.T, s shelf) {
	at := s.at(t)
	f, other := s.files(t, at), s.other(t, at)
	for _, step := range []struct {
		was, now []byte
		fails    bool
	}{
		{[]byte("x"), []byte("y"), true},
		{nil, []byte("one"), false},
		{nil, []byte("two"), true},
		{[]byte("one"), []byte("two"), false},
		{[]byte("one"), []byte("three"), true},
		{[]byte("two"), nil, false},
		{nil, nil, false},
		{nil, bytes.Repeat([]byte("long "), 10_000), false},
	} {
		before, _ := f.Read("a.json", safefile.Small, safefile.Own)
		err := f.Replace("a.json", step.was, step.now)
		if (err != nil) != step.fails || err != nil && !errors.Is(err, durable.ErrChanged) {
			t.Fatalf("%.10q to %.10q: %v", step.was, step.now, err)
		}
		if want := step.now; step.fails {
			wantText(t, other, "a.json", string(before))
		} else {
			wantText(t, other, "a.json", string(want))
		}
	}
	if names, err := other.Names(); err != nil || len(names) != 1 || names[0] != "a.json" {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := f.Read("a.json", 100, safefile.Own); !errors.Is(err, safefile.ErrTooLong) {
		t.Errorf("a long file: %v", err)
	}
	if _, err := f.Read("b.json", 100, safefile.Own); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func appendTo(t *testing.T, s shelf) {
	at := s.at(t)
	f, other := s.files(t, at), s.other(t, at)
	if err := f.Append("book", -1, 0, nil); err != nil {
		t.Fatal(err)
	}
	mark, err := f.Mark("book")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append("book", 0, 0, []byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if err := other.Append("book", 4, 4, []byte("two\n")); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{-1, 0, 4, 9} { // it has eight bytes
		if err := f.Append("book", size, max(size, 0), []byte("three\n")); !errors.Is(err, durable.ErrChanged) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	wantText(t, f, "book", "one\ntwo\n")
	if again, err := other.Mark("book"); err != nil || again != mark {
		t.Errorf("the file's mark was %d, is %d: %v", mark, again, err)
	}
}

// Bytes behind the complete lines are dropped: a crash or a copy has left them.
func appendBehindTornLine(t *testing.T, s shelf) {
	at := s.at(t)
	f, other := s.files(t, at), s.other(t, at)
	if err := f.Replace("book", nil, []byte("one\ntw")); err != nil {
		t.Fatal(err)
	}
	if err := f.Append("book", 6, 4, nil); err != nil {
		t.Fatal(err)
	}
	wantText(t, other, "book", "one\n")
	for _, piece := range []string{"two\n", "three\n", "fo"} {
		text, err := other.Read("book", safefile.Small, safefile.Own)
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Append("book", int64(len(text)), int64(len(text)), []byte(piece)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Append("book", 16, 6, []byte("2\n")); err != nil { // over more than one piece
		t.Fatal(err)
	}
	wantText(t, other, "book", "one\ntw2\n")
}

func lockFile(t *testing.T, s shelf) {
	at := s.at(t)
	f, other := s.files(t, at), s.other(t, at)
	l, err := f.Lock("a.json")
	if err != nil {
		t.Fatal(err)
	}
	for who, f := range map[string]durable.Files{"itself": f, "another": other} {
		if _, err := f.Lock("a.json"); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("%s: %v", who, err)
		}
	}
	if err := other.Free("a.json"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("free: %v", err)
	}
	if b, err := other.Lock("b.json"); err != nil {
		t.Errorf("another file: %v", err)
	} else if err := b.Release(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(f.Replace("a.json", nil, []byte("x")), l.Release(), other.Free("a.json")); err != nil {
		t.Fatal(err)
	}
	if l, err = other.Lock("a.json"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Discard(), f.Free("a.json")); err != nil {
		t.Error(err)
	}
}

// Two append to one file: each knows who was first, and nothing is lost.
func twoAtOnce(t *testing.T, s shelf) {
	at := s.at(t)
	files := []durable.Files{s.files(t, at), s.other(t, at)}
	if err := files[0].Append("book", -1, 0, []byte("begin\n")); err != nil {
		t.Fatal(err)
	}
	const each = 20
	var both sync.WaitGroup
	for i, f := range files {
		both.Go(func() {
			for done := 0; done < each; {
				text, err := f.Read("book", safefile.Small, safefile.Own)
				if err != nil {
					t.Error(err)
					return
				}
				switch err := f.Append("book", int64(len(text)), int64(len(text)), fmt.Appendf(nil, "%d %d\n", i, done)); {
				case err == nil:
					done++
				case !errors.Is(err, durable.ErrChanged):
					t.Error(err)
					return
				}
			}
		})
	}
	both.Wait()
	text, err := files[0].Read("book", safefile.Small, safefile.Own)
	if err != nil || bytes.Count(text, []byte("\n")) != 1+2*each {
		t.Errorf("%d lines: %v", bytes.Count(text, []byte("\n")), err)
	}
}

// A process whose lease another has taken over writes nothing more, and its locks end with the
// lease. A process that writes no journal is kept out of locked files, and of no others.
func TestFilesAreFenced(t *testing.T) {
	t.Parallel()
	c := pgtest.Fresh(t)
	at := c.Database() + "&custody=northern"
	if _, err := mustFiles(t, at).Names(); !errors.Is(err, ErrNone) {
		t.Errorf("a database without tables: %v", err)
	}
	first := openStore(t, c.Address("winter"), true).(*Postgres)
	defer first.Close()
	if _, err := mustFiles(t, at).Names(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such custody: %v", err)
	}
	if err := MakeFiles(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if err := MakeFiles(t.Context(), at); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	old, err := first.Files(at)
	if err != nil {
		t.Fatal(err)
	}
	held, err := old.Lock("a.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Replace("a.json", nil, []byte("1")); err != nil {
		t.Fatal(err)
	}
	nobody := mustFiles(t, at)
	if err := nobody.Replace("a.json", []byte("1"), []byte("2")); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("a file that is locked: %v", err)
	}
	if err := nobody.Replace("b.json", nil, []byte("2")); err != nil {
		t.Errorf("another file: %v", err)
	}
	if _, err := first.pool.Exec(t.Context(), "UPDATE safemode.sweep SET until = NULL"); err != nil {
		t.Fatal(err)
	}
	second := openStore(t, c.Address("winter"), true)
	defer second.Close()
	if err := old.Replace("a.json", []byte("1"), []byte("2")); !errors.Is(err, ErrTaken) {
		t.Errorf("after the takeover: %v", err)
	}
	if err := old.Append("a.json", 1, 1, []byte("2")); !errors.Is(err, ErrTaken) {
		t.Errorf("after the takeover: %v", err)
	}
	now, err := second.Files(at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := now.Lock("a.json"); err != nil {
		t.Errorf("the lock of the one before: %v", err)
	}
	if err := held.Release(); err != nil {
		t.Errorf("it has ended: %v", err)
	}
	if err := nobody.Free("a.json"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("the second's lock has gone with the first's: %v", err)
	}
	wantText(t, now, "a.json", "1")

	if err := CheckFiles("journal.db", at); err == nil {
		t.Error("a custody in a database goes with a journal in a file")
	}
	if err := CheckFiles("postgres://srp@elsewhere/sweeps?sweep=winter", at); err == nil {
		t.Error("a custody goes with a journal in another database")
	}
}

func mustFiles(t *testing.T, at string) durable.Files {
	t.Helper()
	f, err := OpenFiles(at)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A database that cannot be reached is not one without the file, whatever was not found on the
// way there.
func TestNoWayIsNoMissingFile(t *testing.T) {
	for _, query := range []string{"host=/none", "host=127.0.0.1&sslmode=verify-full&sslrootcert=/none.pem", "service=none&servicefile=/none.conf"} {
		begun := time.Now()
		_, err := mustFiles(t, "postgres:///sweeps?"+query+"&custody=northern").Read("a.json", safefile.Small, safefile.Own)
		if took := time.Since(begun); err == nil || errors.Is(err, fs.ErrNotExist) || took > patience/2 {
			t.Errorf("%s: after %v: %v", query, took, err)
		}
	}
}

// The server crashes again and again under who appends and replaces: each change is made
// once, though nobody may have heard of it.
func TestServerCrashesUnderFiles(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	at := c.Database() + "&custody=northern"
	s := openStore(t, c.Address("crash"), true)
	defer s.Close()
	if err := MakeFiles(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	f, err := s.Files(at)
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	var book []byte
	var done atomic.Int64
	go func() {
		stopped <- func() error {
			var was []byte
			for n := done.Load(); ; n = done.Add(1) {
				select {
				case <-stop:
					return nil
				default:
				}
				now := fmt.Appendf(nil, "high water %d", n)
				if err := f.Replace("a.json", was, now); err != nil {
					return err
				}
				was = now
				line := fmt.Appendf(nil, "%d\n", n)
				if err := f.Append("book", int64(len(book)), int64(len(book)), line); err != nil {
					return err
				}
				book = append(book, line...)
			}
		}()
	}()
	more := func() {
		before := done.Load()
		patient(t, "changes are made", func() bool { return done.Load() >= before+20 || len(stopped) > 0 })
	}
	for range 3 {
		more()
		c.Stop(t)
		c.Serve(t)
	}
	more()
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	wantText(t, f, "book", string(book))
	wantText(t, f, "a.json", fmt.Sprintf("high water %d", done.Load()-1))
	t.Logf("%d changes over three crashes", 2*done.Load())
}

// One that stands by says for whom, is seen, and goes on when the lease was given back.
func TestStandBy(t *testing.T) {
	t.Parallel()
	c := pgtest.Fresh(t)
	at := c.Address("winter")
	if _, err := StandBy(t.Context(), at, Options{Holder: "second"}, nil); !errors.Is(err, ErrNone) {
		t.Errorf("no such sweep: %v", err)
	}
	first := openStore(t, at, true)
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 10)
	interrupted := make(chan error, 1)
	go func() {
		_, err := StandBy(ctx, at, Options{Holder: "third"}, tellTo(heard))
		interrupted <- err
	}()
	if who := <-heard; who != "the test" {
		t.Errorf("it stands by for %q", who)
	}
	listed := func() (names []string) {
		all, err := first.Standby(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range all {
			names = append(names, h.Name)
		}
		return names
	}
	if all := listed(); len(all) != 1 || all[0] != "third" {
		t.Errorf("%v stand by", all)
	}
	cancel()
	if err := <-interrupted; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if all := listed(); len(all) != 0 {
		t.Errorf("%v stand by", all)
	}
	type end struct {
		from   string
		handed bool
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		last, err := StandBy(t.Context(), at, Options{Holder: "second"}, tellTo(heard))
		ended <- end{last.Name, last.Until.IsZero(), err}
	}()
	<-heard
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if e := <-ended; e.err != nil || e.from != "the test" || !e.handed {
		t.Errorf("%+v", e)
	}
}

// A sweep that was begun in vain is taken out of the database: who stood by for it is free to
// begin it.
func TestStandByForWhatIsDiscarded(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "fsync=off")
	at := c.Address("winter")
	first := openStore(t, at, true)
	heard := make(chan string, 10)
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		_, err := StandBy(ctx, at, Options{Holder: "second"}, tellTo(heard))
		ended <- err
	}()
	<-heard
	if err := first.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	second := openStore(t, at, true)
	defer second.Close()
}

// A process that stands by notices a database that has lost segments, or the sweep, and takes
// nothing over there: counters that were given out could be given out again.
func TestStandByForWhatIsLost(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "fsync=off")
	for sweep, lose := range map[string]string{
		"segments": "UPDATE safemode.sweep SET number = number - 1, until = NULL WHERE name = 'segments'",
		"all":      "UPDATE safemode.sweep SET number = NULL, until = NULL WHERE name = 'all'",
		"sweep":    "DELETE FROM safemode.sweep WHERE name = 'sweep'",
	} {
		at := c.Address(sweep)
		first := openStore(t, at, true)
		grow(t, first, 3)
		heard := make(chan string, 10)
		ended := make(chan error, 1)
		go func() {
			_, err := StandBy(t.Context(), at, Options{Holder: "second"}, tellTo(heard))
			ended <- err
		}()
		<-heard
		if _, err := c.Query(lose); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, ErrLacking) {
			t.Errorf("%s: %v", sweep, err)
		}
		_ = first.Close() // what it had is lost
	}
}

func tellTo(heard chan<- string) func(record.Holder, error) {
	return func(h record.Holder, err error) {
		if err == nil {
			heard <- h.Name
		}
	}
}

// An engine whose database lacks records, and cannot be reached any more, does not take a socket
// that is missing for a missing file.
func TestFilesThatCannotBeReachedAreNotMissing(t *testing.T) {
	pool, err := newPool(t.Context(), "postgres://safemode@/safemode?host="+t.TempDir(), "winter", Options{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	defer closePool(pool)
	l := &lease{pool: pool, lost: make(chan struct{})}
	l.give(ErrLacking)
	f := &files{at: "winter", custody: "northern", pool: pool, lease: l}
	if _, err := f.Read("book", 1, safefile.Own); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if err := f.Append("book", -1, 0, nil); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("append: %v", err)
	}
}
