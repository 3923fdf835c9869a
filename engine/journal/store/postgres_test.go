package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"safemode/engine/journal/store/pgtest"
)

// The server crashes and comes back while a writer appends: the writer waits, and goes on;
// nothing that was acknowledged is missing, and nothing is there twice.
func TestServerCrashesUnderAWriter(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	s := openStore(t, c.Address("crash"), true)
	defer s.Close()
	l := under(s, grow(t, s, 2))
	for range 2 {
		l.more(t, 20)
		c.Stop(t)
		c.Serve(t)
	}
	l.more(t, 20)
	l.ends(t, s)
}

// A holder that cannot renew gives the journal up before its lease ends, and another takes
// it over; the first appends nothing when the database is back.
func TestLeaseLapses(t *testing.T) {
	t.Parallel()
	const length = 2 * time.Second
	c := pgtest.Start(t)
	at := c.Address("lease")
	s := leased(t, at, length)
	defer s.Close()
	all := grow(t, s, 1)
	began := time.Now()
	c.Stop(t)
	select {
	case <-s.Lost():
	case <-time.After(length + 5*time.Second):
		t.Fatal("it believes that it holds the journal")
	}
	if took := time.Since(began); took > length {
		t.Errorf("given up after %v: its lease of %v may be another's", took, length)
	}
	if err := s.Held(); !errors.Is(err, ErrLapsed) {
		t.Errorf("held: %v", err)
	}
	c.Serve(t)
	if err := s.Append(segment(all[1].Tip(), 1), State{}); !errors.Is(err, ErrLapsed) {
		t.Errorf("append: %v", err)
	}
	var second Store
	patient(t, "the lease ends", func() bool {
		var err error
		if second, err = Open(context.Background(), at, Options{Write: true, Holder: "the second"}); err != nil && !errors.Is(err, ErrInUse) {
			t.Fatal(err)
		}
		return err == nil
	})
	defer second.Close()
	if err := second.Append(segment(all[1].Tip(), 1), State{}); err != nil {
		t.Error(err)
	}
}

// A holder is told when another has its lease, and by whom, at its next renewal or append.
func TestLeaseTaken(t *testing.T) {
	t.Parallel()
	const length = 2 * time.Second
	c := pgtest.Start(t, "fsync=off")
	at := c.Address("taken")
	first := leased(t, at, length)
	defer first.Close()
	all := grow(t, first, 1)
	if _, err := first.pool.Exec(t.Context(), "UPDATE safemode.sweep SET until = NULL"); err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), at, Options{Write: true, Holder: "the second"})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := first.Append(segment(all[1].Tip(), 1), State{}); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "the second holds the sweep since") {
		t.Errorf("append: %v", err)
	}
	select {
	case <-first.Lost():
	case <-time.After(length):
		t.Fatal("it is not told")
	}
	if err := first.Held(); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "the second") {
		t.Errorf("held: %v", err)
	}
	if err := second.Append(segment(all[1].Tip(), 1), State{}); err != nil {
		t.Error(err)
	}
}

// leased opens a store for writing with a lease of a length.
func leased(t testing.TB, at string, length time.Duration) *Postgres {
	t.Helper()
	s, err := Open(context.Background(), at, Options{Write: true, Holder: "the test", Lease: length})
	must(t, err)
	return s.(*Postgres)
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "fsync=off")
	at := c.Address("one")
	if _, err := Open(t.Context(), at, Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("a database without tables: %v", err)
	}
	if err := Vacant(t.Context(), at); err != nil {
		t.Errorf("a database without tables is vacant: %v", err)
	}
	// All at once: one of them makes the tables.
	errs := make(chan error, 8)
	for i := range cap(errs) {
		go func() {
			s, err := Open(context.Background(), c.Address("many-"+string(rune('a'+i))), Options{Write: true})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(t.Context(), at, Options{}); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), `no sweep "one"`) {
		t.Errorf("no such sweep: %v", err)
	}
	s := openStore(t, at, true).(*Postgres)
	if _, err := s.pool.Exec(t.Context(), "INSERT INTO safemode.migration (number) VALUES ($1)", len(migrations)+1); err != nil {
		t.Fatal(err)
	}
	s.Close()
	for _, write := range []bool{false, true} {
		if _, err := Open(t.Context(), at, Options{Write: write}); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "a newer program") {
			t.Errorf("of a newer program: %v", err)
		}
	}
}

func TestAddress(t *testing.T) {
	for at, want := range map[string]string{
		"postgres://srp@db/sweeps?sweep=winter-1":                      "winter-1",
		"postgresql://srp@a,b/sweeps":                                  "sweep",
		"postgresql://srp:secret@a,b/sweeps":                           "",
		"postgresql://srp@a,b/sweeps?password=secret":                  "",
		"postgres://srp:secret@db/sweeps?sweep=":                       "",
		"postgres://srp:secret@db/sweeps?sweep=Winter":                 "",
		"postgres://srp:secret@db:x/sweeps?sweep=winter":               "",
		"postgres://srp@db/sweeps?sslmode=verify-full;sweep=winter":    "", // else it would be without the first
		"postgres://srp@db/sweeps?sslmode=verify-full;password=secret": "",
		"postgres://srp@db/sweeps?sslrootcert=%zz&sweep=winter":        "",
	} {
		address, sweep, err := split(at)
		if sweep != want || want == "" && err == nil || strings.Contains(address, "sweep=") {
			t.Errorf("%s: %s, %q, %v", at, address, sweep, err)
		}
		if text := Shown(at); !IsAddress(at) || strings.Contains(text, "secret") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s shows a password: %s, %v", at, text, err)
		}
	}
	if IsAddress("journal.db") || IsAddress("/tmp/postgres:/x") || Shown("a b.db") != "a b.db" {
		t.Error("a path is no address")
	}
}

// patient waits until something is so.
func patient(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%s: it is not so after a minute", what)
		}
	}
}
