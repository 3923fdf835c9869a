package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/engine/durable"
	"safemode/engine/record"
)

// What [Open] and [OpenReadOnly] refuse, and what a closed or foreign handle
// answers. The text of the error names the file.
var (
	ErrInUse     = durable.ErrLocked
	ErrForeign   = errors.New("not a journal of safemode")
	ErrVersion   = errors.New("a journal of another version")
	ErrDamaged   = errors.New("damaged")
	ErrClosed    = errors.New("closed")
	ErrReadOnly  = errors.New("opened for reading")
	errUncertain = errors.New("the records may still become durable")
)

// Options of a journal. The zero value serves a sweep.
type Options struct {
	// Linger is how long the first record of a batch waits for company. 0 is
	// 5 ms, which spares a busy sweep most of its fsyncs: one takes as much as some
	// twenty records.
	Linger time.Duration
	// BatchLimit is the number of queued records at which a batch no longer
	// waits, and at which Commit and Append block until it is taken. 0 is
	// 4096. Records of one call are never split, so a batch may be larger.
	BatchLimit int
	// ID is the identity of a journal that Open makes, 32 hexadecimal digits; empty: one by
	// chance. A journal that is there keeps its own.
	ID string
	// Unsynced commits outlive the process, and not the machine: for a rehearsal, whose
	// clock stands still at each.
	Unsynced bool
	// Registerer takes the metric safemode_journal_commit_seconds. May be nil.
	Registerer prometheus.Registerer
}

// Journal is one open journal. Its methods may be called concurrently.
type Journal struct {
	path   string
	id     string
	opts   Options
	reader *sql.DB

	// Nil for a journal opened for reading.
	lock    *durable.Lock
	made    bool // the file was, by Open
	writer  *writer
	metrics *metrics

	wake    chan struct{} // capacity 1: a batch has records, or is full
	closing chan struct{} // closed by Close
	done    chan struct{} // closed by the committer when it has ended
	failed  chan struct{} // closed by fail

	mu      sync.Mutex
	open    *batch // takes records; never nil
	taken   *batch // the one before: being written, or durable
	failure error  // the first write that failed, or the record that Append was given
	closed  bool
	tip     Tip
	last    uint64 // number of the last record that was queued

	keeping sync.Mutex
	rows    []hash // of the state, as it will be; nil until it was read or kept
}

// Tip is the end of the chain: the number of records, and the hash of the last.
type Tip struct {
	Seq  uint64
	Hash [32]byte
}

// batch is a set of records that become durable together.
type batch struct {
	records []record.Record
	state   kept
	full    chan struct{} // closed by who reaches the limit: the linger ends
	taken   chan struct{} // closed by the committer: a new batch takes records
	durable chan struct{} // closed by the committer: err is set
	err     error
}

func newBatch() *batch {
	return &batch{full: make(chan struct{}), taken: make(chan struct{}), durable: make(chan struct{})}
}

// Open makes or opens a journal for writing and takes its lock. The file is
// made with mode 0600. Errors wrap [ErrInUse], [ErrForeign], [ErrVersion] or
// [ErrDamaged] (also [ChainError], when the end of the chain does not hold),
// or come from the file system.
func Open(path string, o Options) (_ *Journal, err error) {
	if o.Linger <= 0 {
		o.Linger = 5 * time.Millisecond
	}
	if o.BatchLimit <= 0 {
		o.BatchLimit = 4096
	}
	j := &Journal{
		path: path, opts: o,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}), failed: make(chan struct{}),
		open: newBatch(),
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal %s: %w", path, errors.Join(err, j.release(true)))
		}
	}()
	if j.lock, err = durable.TakeLock(path + ".lock"); err != nil {
		return nil, err
	}
	if j.metrics, err = newMetrics(o.Registerer); err != nil {
		return nil, err
	}
	if j.made, err = create(path); err != nil {
		return nil, err
	}
	if j.writer, err = openWriter(path, o.ID, j.made); err != nil {
		return nil, err
	}
	if o.Unsynced {
		if _, err = j.writer.conn.ExecContext(context.Background(), "PRAGMA synchronous = NORMAL"); err != nil {
			return nil, sqliteError(err)
		}
	}
	if err = j.attach(); err != nil {
		return nil, err
	}
	go j.commitLoop()
	return j, nil
}

// OpenReadOnly opens a journal for reading, also while a sweep writes it.
// Commit and Append are refused with [ErrReadOnly].
func OpenReadOnly(path string) (_ *Journal, err error) {
	j := &Journal{path: path, failed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = fmt.Errorf("journal %s: %w", path, errors.Join(err, j.release(false)))
		}
	}()
	if _, err = os.Stat(path); err != nil {
		return nil, err
	}
	if err = j.attach(); err != nil {
		return nil, err
	}
	return j, nil
}

// CheckPlace says what [Open] would of a place, without a look at the journal in it: who
// writes there, and what was left behind. It changes nothing.
func CheckPlace(path string) error {
	err := checkLeft(path)
	if _, there := os.Stat(path + ".lock"); err == nil && there == nil { // else nobody holds it
		var lock *durable.Lock
		if lock, err = durable.TakeLock(path + ".lock"); err == nil {
			err = lock.Release()
		}
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", path, err)
	}
	return nil
}

// attach opens the reading side and checks that the end of the chain holds.
func (j *Journal) attach() error {
	var err error
	if j.reader, err = openReader(j.path); err != nil {
		return err
	}
	ctx := context.Background()
	if err := checkFormat(ctx, j.reader); err != nil {
		return err
	}
	if j.id, err = readID(ctx, j.reader); err != nil {
		return err
	}
	if j.tip, err = readTip(ctx, j.reader); err != nil {
		return err
	}
	j.last = j.tip.Seq
	if err := checkStray(ctx, j.reader); err != nil {
		return err
	}
	return j.walk(ctx, max(j.tip.Seq, 1), func(record.Record) bool { return true })
}

// ID returns the journal's identity: 32 hexadecimal digits, made with the file.
func (j *Journal) ID() string { return j.id }

// Tip returns the end of the chain: for a journal opened for reading, as it
// was then.
func (j *Journal) Tip() Tip {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tip
}

// Last returns the number of the last record that was queued, durable or not.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Failed is closed when a write has failed: from then on nothing is durable.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err returns why records are refused: the write that failed, [ErrClosed] or
// [ErrReadOnly]. It is nil while the journal takes records.
func (j *Journal) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.refusal()
}

// refusal is Err for a caller that holds the mutex.
func (j *Journal) refusal() error {
	switch {
	case j.failure != nil:
		return j.failure
	case j.writer == nil:
		return fmt.Errorf("journal %s: %w", j.path, ErrReadOnly)
	case j.closed:
		return fmt.Errorf("journal %s: %w", j.path, ErrClosed)
	}
	return nil
}

// Close makes durable what is queued and gives the file and its lock free. It
// returns the write that failed, if one did. A second Close does nothing.
func (j *Journal) Close() error { return j.close(false) }

// Discard closes a journal that nobody needs: one that was begun in vain. What Open made
// is removed, while the lock is held, and nothing else.
func (j *Journal) Discard() error { return j.close(true) }

func (j *Journal) close(discard bool) error {
	j.mu.Lock()
	closed := j.closed
	j.closed = true
	j.mu.Unlock()
	if closed {
		return nil
	}
	if j.writer == nil {
		return j.release(false)
	}
	close(j.closing)
	<-j.done
	j.mu.Lock()
	failure := j.failure
	j.mu.Unlock()
	return errors.Join(failure, j.release(discard))
}

// release closes what is open. Readers go first: SQLite tidies up when the
// last connection closes, and that must be the writer. The lock goes last. Discard
// removes what Open made.
func (j *Journal) release(discard bool) error {
	var errs []error
	if j.reader != nil {
		errs = append(errs, j.reader.Close())
	}
	if j.writer != nil {
		errs = append(errs, j.writer.close())
	}
	if discard && j.made {
		errs = append(errs, durable.Remove(j.path, j.path+"-wal", j.path+"-shm"))
	}
	switch {
	case j.lock == nil:
	case discard:
		errs = append(errs, j.lock.Discard())
	default:
		errs = append(errs, j.lock.Release())
	}
	return errors.Join(errs...)
}
