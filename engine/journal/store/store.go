// Package store keeps the segments of a journal: in an SQLite file, which is the default and
// needs nothing else, or in a PostgreSQL database, which a second machine reaches, too. It
// owns durability and the order of segments: a segment is appended after the one that its
// writer knows as the last, or not at all. It refuses a second writer, a database of a newer
// program, and a segment where another writer has already appended one. It does not know what
// is in a segment; package journal does.
//
// # Fence
//
// [Store.Append] of segment n fails with [ErrTaken] if n exists, or if n-1 is not
// the last: the check and the write are one transaction. A writer that gets this error writes
// nothing more: another one has gone on with the journal.
//
// # SQLite
//
// One file (see [SQLite] for its schema) in WAL mode with synchronous FULL. A file beside
// it with the suffix .lock stays empty and carries the lock that keeps a second process
// out. After a crash the file with the suffix -wal belongs to it: a copy without it lacks
// the last segments. After a Close the journal is one file.
//
// # PostgreSQL
//
// Tables of the schema safemode, in one database for many sweeps (see [Postgres]). An
// address is that of the database with the sweep's name in it:
//
//	postgres://user@host1,host2/database?target_session_attrs=read-write&sweep=winter-2026
//
// sweep is 1 to 64 of a-z, 0-9, - and _; without it the name is "sweep". All else goes to
// the driver, which knows libpq's settings and environment. The password comes from there
// (PGPASSFILE, PGPASSWORD); one in the address is refused.
//
// The writer holds a lease: a row with its holder, a number that grows with each holder
// (the epoch), and an end by the database's clock. It is renewed at each third of its
// length. Each append names the epoch, so that the database refuses a writer that has lost the
// lease and does not know it. A holder that cannot renew stops by its own clock,
// which counts suspension (CLOCK_BOOTTIME) and is read before the renewal is sent: its end
// is never later than the database's, except for the drift between the two clocks during
// some seconds. One case is left: a machine that is suspended between its last look at that
// clock and the POST that follows may still send bytes. They were durable before.
//
// # A database of two servers
//
// If an address has several hosts, a writer finds the one that takes writes. If a server does
// not answer within a quarter of the lease, the writer tries another. A commit with an unknown
// outcome is made again; the tip then shows that it was there already, or that another writer
// has gone on.
//
// A writer's commits wait for the standbys that the server names (synchronous_standby_names),
// and preflight says whether it names any. A row in a table is not always on the standby: if
// the wait was cancelled, or the server started again, the table shows commits that nobody
// has acknowledged. So a commit that ends with a warning does not count. A commit that is found
// when it is made again counts only after another commit has been acknowledged, which comes
// later in the same log.
//
// If a standby is promoted that had not received everything, the database lacks a segment that
// was acknowledged, or the holder's own lease. The holder then fails with [ErrLacking] and
// writes no segment any more. It may still append to files once: so the custody records the
// halt, and nobody goes on before two people have approved. A process that stands by fails in
// the same way, because of the segments that it has seen. A process that starts only then cannot
// notice it by the database: package engine keeps outside of it what each machine has seen
// ([Options.Seen]). A lease's end is a time of the server's clock. If a standby's clock is ahead, another process can take
// the lease earlier by as much, and the epoch fences the first holder.
//
// # Standing by
//
// [StandBy] waits for a lease to end. Meanwhile it says in the database that it stands by, in
// a row that expires, so that the holder of the lease knows whether somebody goes on.
// It does not take the lease: [Open] does, and a process that comes second waits again.
//
// # Files
//
// The small files that an engine must find wherever it runs ([durable.Files]: those of a
// custody, and checkpoints) lie in the same database, under the name of a custody:
//
//	postgres://user@host1,host2/database?target_session_attrs=read-write&custody=northern
//
// A custody outlives sweeps, and is made by [MakeFiles] alone. A change of a file is one
// transaction, which names the epoch of its writer's lease: a writer that has lost the lease
// can change nothing more. A change gives the file's content before it, or its length. A lock
// on a file belongs to the lease, and ends with it. A process that writes no journal (one that
// makes a plan, or hands counters over) changes only files that nobody has locked. After
// a change with an unknown outcome the file is read.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"safemode/engine/durable"
	"safemode/engine/record"
)

// Errors of a store. The text names the file or address.
var (
	ErrInUse   = durable.ErrLocked
	ErrForeign = errors.New("not a journal of safemode")
	ErrVersion = errors.New("a journal of another version")
	ErrDamaged = errors.New("damaged")
	ErrNone    = errors.New("no such journal")
	// ErrTaken says that the segment exists, or that another process has the lease.
	ErrTaken = record.ErrTaken
	// ErrLapsed says that the lease could not be renewed in time.
	ErrLapsed = record.ErrLapsed
	// ErrLacking says that the database does not have a segment that it had acknowledged.
	ErrLacking = record.ErrLacking
)

// Head has the columns of a segment beside its body. All but Sum follow from the records.
type Head struct {
	Number           uint64 // 0, 1, 2 ... without a gap
	First, Last      uint64 // numbers of its first and last record
	Earliest, Latest int64  // times of its records, nanoseconds since 1970-01-01 UTC
	Kinds            uint64 // bit k: it has a record of kind k
	Before, After    [32]byte
	Packing          uint64 // of the body
	Sum              [32]byte
}

// Segment is a head with its body.
type Segment struct {
	Head
	Body []byte
}

// Tip is the end of a journal: the last segment's number, its last record and the hash
// after it.
type Tip struct {
	Number, Seq uint64
	Hash        [32]byte
}

// Tip is the end of a journal that ends with this segment.
func (h *Head) Tip() Tip { return Tip{h.Number, h.Last, h.After} }

// State is a change of the kept state.
type State struct {
	Rows  []record.StateRow // in order: the last change of a row stays
	Whole bool              // all other rows go
}

// Reader reads durable segments. Its methods may be called concurrently, except for those of
// a snapshot.
type Reader interface {
	// Tip is the end; ok is false for a journal that has no segment yet.
	Tip(ctx context.Context) (tip Tip, ok bool, err error)
	// Read returns, in order, the last segment that begins at or before a record, and those
	// after it: at most so many, and fewer where they are large.
	Read(ctx context.Context, seq uint64, most int) ([]Segment, error)
	// After returns, in order, the segments that begin after a record, likewise.
	After(ctx context.Context, first uint64, most int) ([]Segment, error)
	// Newest returns the last segments that have one of some kinds and a record between two
	// others, the last one first: at most so many, and fewer where they are large. For [Marked]
	// kinds it does not read the others.
	Newest(ctx context.Context, kinds, after, before uint64, most int) ([]Segment, error)
	// Range returns the lowest first and the highest last record of all segments.
	Range(ctx context.Context) (first, last int64, err error)
	// State returns the kept state, in the order of its rows.
	State(ctx context.Context) ([]record.StateRow, error)
	// Close ends the reading.
	Close() error
}

// Store keeps one journal. One goroutine may call Append.
type Store interface {
	Reader
	// Snapshot reads one moment.
	Snapshot(ctx context.Context) (Reader, error)
	// Append makes a segment and a change of the state durable, both or neither. An error
	// that does not wrap [ErrTaken] leaves open whether they are.
	Append(s *Segment, k State) error
	// Check lists what the store itself finds damaged, and how many pages or rows it
	// looked at.
	Check(ctx context.Context) (found []string, looked int, err error)
	// Held says why the journal may not be written any more: nil while it may.
	Held() error
	// Holder names the process that may write it now, and since when; nil: none, or it is a
	// file, which does not have the name.
	Holder(ctx context.Context) (*record.Holder, error)
	// Standby lists the processes that stand by to write it (see [StandBy]).
	Standby(ctx context.Context) ([]record.Holder, error)
	// Files returns the files at a place, a folder or a custody in a database, for the writer
	// of the journal. In a database each write to them succeeds only while the journal may be
	// written.
	Files(at string) (durable.Files, error)
	// Lost is closed when it may not. Nil: that cannot happen.
	Lost() <-chan struct{}
	// Discard removes what Open made, and closes.
	Discard() error
}

// Marked are the kinds that are asked for alone, and few: segments that have one are in an
// index.
const Marked = 1<<record.Opened | 1<<record.Closed | 1<<record.State | 1<<record.Tripwire | 1<<record.Halted | 1<<record.Operator

// largest bounds what one Read returns beyond its first segment, in bytes of bodies.
const largest = 4 << 20

// Options of a store.
type Options struct {
	Write  bool
	Holder string // names the writer, for other processes; empty: this machine and process
	// Lease is how long a writer that does not renew counts as alive in a database, from
	// [ShortestLease] to [LongestLease]; 0: [LeaseLength].
	Lease time.Duration

	// Seen is called by [StandBy] with the end of the journal that the database has acknowledged.
	// Optional.
	Seen func(Tip)

	// Unsynced commits to a file outlive the process, and not the machine.
	Unsynced bool
}

func (o Options) leaseLength() time.Duration {
	if o.Lease == 0 {
		return LeaseLength
	}
	return min(max(o.Lease, ShortestLease), LongestLease)
}

// Open opens the store at a path or an address.
func Open(ctx context.Context, at string, o Options) (Store, error) {
	if IsAddress(at) {
		p, err := openPostgres(ctx, at, o)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
	s, err := openSQLite(at, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Vacant returns the error that an Open for writing would return, without reading the journal:
// another writer, or files that were left behind. It changes nothing.
func Vacant(ctx context.Context, at string) error {
	if IsAddress(at) {
		return vacantPostgres(ctx, at)
	}
	return vacant(at)
}

// short says that a value has not the size that it must have.
func short(what string, b []byte) error {
	return fmt.Errorf("%w: %s of %d bytes", ErrDamaged, what, len(b))
}
