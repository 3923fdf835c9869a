// Package store is where the segments of a journal lie: in an SQLite file, which is the
// default and needs nothing else, or in a PostgreSQL database, which a second machine
// reaches, too. It owns durability and the order of segments: a segment is appended after
// the one that its writer knows as the last, or not at all. It refuses a second writer, a
// database of a newer program, and to append where somebody else has. What is in a
// segment it does not know; package journal does.
//
// # Fence
//
// [Store.Append] of segment n fails with [ErrTaken] where n exists, or where n-1 is not
// the last: the check and the write are one transaction. Who gets that error writes
// nothing more: another has gone on.
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
// length. Each append names the epoch, so that the database refuses who has lost the
// lease, whatever that one believes. A holder that cannot renew stops by its own clock,
// which counts suspension (CLOCK_BOOTTIME) and is read before the renewal is sent: its end
// is never later than the database's, but for the drift of one clock against the other
// in some seconds. What a machine may still do that was suspended between its last look
// at that clock and the write that followed is left: it was durable before.
//
// # A database of two servers
//
// With several hosts in an address a writer finds the one that takes writes. A server that
// does not answer within a quarter of the lease is left for another. A commit whose outcome
// is unknown is made again; the tip then says that it was there already, or that another
// has gone on.
//
// A writer's commits wait for the standbys that the server names (synchronous_standby_names),
// and preflight says whether it names any. What is seen in a table need not be with the
// standby: a wait that is cancelled, or a server that starts again, shows what nobody has
// acknowledged. So a commit that ends with a warning does not count, and one that is found
// when it is made again counts after another commit has been acknowledged, which comes
// later in the same log.
//
// A holder that meets a database without a segment that was acknowledged, or without its
// own lease, fails with [ErrLacking] and writes nothing more: a standby was promoted that
// had not followed. It may only add lines to files once more: so the custody remembers that it has
// halted, and nobody goes on before two have approved that. Who only starts then cannot know by
// the database; package engine remembers outside of it what each machine has seen
// ([Options.Seen]). A lease's end is a time of the server's clock; a standby's clock that is ahead lets another take the lease so much
// earlier, and the first holder is fenced by the epoch.
//
// # Standing by
//
// [StandBy] waits for a lease to end. Meanwhile it says in the database that it does, in a
// row that ends by itself, so that whoever holds the lease knows whether somebody goes on.
// It takes nothing: it is [Open] that takes the lease, and who comes second waits again.
//
// # Files
//
// The small files that an engine must find wherever it runs ([durable.Files]: those of a
// custody, and checkpoints) lie in the same database, under the name of a custody:
//
//	postgres://user@host1,host2/database?target_session_attrs=read-write&custody=northern
//
// A custody outlives sweeps, and is made by [MakeFiles] alone. A change of a file is one
// transaction, which names the epoch of its writer's lease: who has lost that changes
// nothing more. A change says what the file was before, or how long. A lock on a file goes
// with the lease, and is gone when the lease has ended. Who writes no journal (a plan, the
// hand-over of counters) changes only what nobody has locked. A change whose outcome is
// unknown is settled by reading the file.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"safemode/engine/durable"
	"safemode/engine/record"
)

// What is refused. The text names the file or address.
var (
	ErrInUse   = durable.ErrLocked
	ErrForeign = errors.New("not a journal of safemode")
	ErrVersion = errors.New("a journal of another version")
	ErrDamaged = errors.New("damaged")
	ErrNone    = errors.New("no such journal")
	// ErrTaken says that the segment exists, or that the lease is another's.
	ErrTaken = record.ErrTaken
	// ErrLapsed says that the lease could not be renewed in time.
	ErrLapsed = record.ErrLapsed
	// ErrLacking says that the database has not what it had acknowledged.
	ErrLacking = record.ErrLacking
)

// Head is what is said of a segment in plain. All of it but Sum follows from the records.
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
	Rows []record.StateRow // in order: the last change of a row stays
	Anew bool              // all other rows go
}

// Reader reads what is durable. Its methods may be called concurrently, but for those of
// a snapshot.
type Reader interface {
	// Tip is the end; ok is false for a journal that has no segment yet.
	Tip(ctx context.Context) (tip Tip, ok bool, err error)
	// Read returns, in order, the last segment that begins at or before a record, and those
	// after it: at most so many, and fewer where they are large.
	Read(ctx context.Context, seq uint64, most int) ([]Segment, error)
	// After returns, in order, the segments that begin after a record, likewise.
	After(ctx context.Context, first uint64, most int) ([]Segment, error)
	// Newest returns the last segment that has one of some kinds and a record between two
	// others; nil if there is none. For [Marked] kinds it does not read the others.
	Newest(ctx context.Context, kinds, after, before uint64) (*Segment, error)
	// Range returns the lowest first and the highest last record of all segments.
	Range(ctx context.Context) (first, last int64, err error)
	// State returns the kept state, in the order of its rows.
	State(ctx context.Context) ([]record.StateRow, error)
	// Close ends the reading.
	Close() error
}

// Store keeps one journal. Append is for one goroutine.
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
	// Holder says who may write it now, and since when; nil: nobody, or a file has no word
	// of it.
	Holder(ctx context.Context) (*record.Holder, error)
	// Standby lists who stands by to write it (see [StandBy]).
	Standby(ctx context.Context) ([]record.Holder, error)
	// Files are those at a place, a folder or a custody in a database, for who writes the
	// journal: in a database each write of theirs holds only while it may be written.
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
	Holder string // who writes, for the others; empty: this machine and process
	// Lease is how long a database takes the writer for alive that it does not hear of, from
	// [ShortestLease] to [LongestLease]; 0: [LeaseLength].
	Lease time.Duration

	// Seen is told by [StandBy] of the end of the journal that the database has acknowledged.
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

// Vacant says what an Open for writing would of a place, without a look at what is in it:
// who writes there, and what was left behind. It changes nothing.
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
