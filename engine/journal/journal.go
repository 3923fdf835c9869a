package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/engine/durable"
	"safemode/engine/journal/store"
	"safemode/engine/record"
)

// Format is the version of journals that this program writes.
const Format = store.Format

// Reasons why [Open] and [OpenReadOnly] refuse, and errors of a closed or read-only
// journal. The text of the error names the journal.
var (
	ErrInUse     = store.ErrInUse
	ErrForeign   = store.ErrForeign
	ErrVersion   = store.ErrVersion
	ErrDamaged   = store.ErrDamaged
	ErrNone      = store.ErrNone
	ErrTaken     = store.ErrTaken
	ErrLapsed    = store.ErrLapsed
	ErrLacking   = store.ErrLacking
	ErrOneServer = store.ErrOneServer
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
	// Unsynced commits survive the end of the process, but not of the machine. It is for
	// rehearsals with a jumping clock, which stands still at each commit.
	Unsynced bool
	// Holder names the writer, for other processes that find the lease taken; empty: this
	// machine and process.
	Holder string
	// Lease is how long a writer that does not renew counts as alive in a database, and so how
	// long another waits after it has died; 0: [store.LeaseLength].
	Lease time.Duration
	// Registerer has the metric safemode_journal_commit_seconds until the journal is closed. May
	// be nil.
	Registerer prometheus.Registerer
}

// Journal is one open journal. Its methods may be called concurrently.
type Journal struct {
	at       string // path or address
	id       string
	opts     Options
	store    store.Store
	unpacker unpacker
	recent   recent

	// Nil for a journal opened for reading.
	packer  *packer
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
	tip     store.Tip
	last    uint64 // number of the last record that was queued

	keeping sync.Mutex
	rows    []link // of the state, as it will be; nil until it was read or kept
}

// Tip is the end of the chain: the number of records, and the hash of the last.
type Tip struct {
	Seq  uint64
	Hash [32]byte
}

// batch is a set of records that become durable together.
type batch struct {
	records []record.Record
	state   store.State
	full    chan struct{} // closed by who reaches the limit: the linger ends
	taken   chan struct{} // closed by the committer: a new batch takes records
	durable chan struct{} // closed by the committer: err is set
	err     error
}

func newBatch() *batch {
	return &batch{full: make(chan struct{}), taken: make(chan struct{}), durable: make(chan struct{})}
}

// Open makes or opens a journal for writing and keeps others from it: a file by its path,
// made with mode 0600, or a sweep in a database by its address (see package store). Errors
// wrap [ErrInUse], [ErrForeign], [ErrVersion] or [ErrDamaged] (also [ChainError], when the
// end of the chain does not hold), or come from the file system or the database.
func Open(at string, o Options) (_ *Journal, err error) {
	if o.Linger <= 0 {
		o.Linger = 5 * time.Millisecond
	}
	if o.BatchLimit <= 0 {
		o.BatchLimit = 4096
	}
	j := &Journal{
		at: at, opts: o,
		wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}), failed: make(chan struct{}),
		open: newBatch(),
	}
	defer func() {
		if err != nil {
			err = j.named(errors.Join(err, j.release(true)))
		}
	}()
	if j.packer, err = newPacker(); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if j.store, err = store.Open(ctx, at, store.Options{Write: true, Holder: o.Holder, Lease: o.Lease, Unsynced: o.Unsynced}); err != nil {
		return nil, err
	}
	if err = j.begin(ctx); err != nil {
		return nil, err
	}
	if err = j.attach(ctx); err != nil {
		return nil, err
	}
	if j.metrics, err = newMetrics(o.Registerer); err != nil { // last: a process that stands by calls Open again
		return nil, err
	}
	go j.commitLoop()
	return j, nil
}

// Self is the holder's name where none is given: this machine and process.
func Self() string { return store.Self() }

// IsAddress says whether a journal is named by the address of a database, and not by the
// path of a file.
func IsAddress(at string) bool { return store.IsAddress(at) }

// Beside is the path to which a suffix is added to name a file that belongs to a journal: beside
// the journal's file, or in a folder if the journal is in a database.
func Beside(at, folder string) string { return store.Beside(at, folder) }

// OpenFiles returns the files at a place, a folder or the address of a custody in a database,
// for callers that write no journal. Those that do use [Journal.Files].
func OpenFiles(at string) (durable.Files, error) { return store.OpenFiles(at) }

// FilesFor is [OpenFiles] for the custody that goes with the journal at a place: one in a
// database goes with a journal in the same.
func FilesFor(at, custody string) (durable.Files, error) {
	if err := store.CheckFiles(at, custody); err != nil {
		return nil, err
	}
	return store.OpenFiles(custody)
}

// MakeFiles makes a custody in a database. The error wraps [io/fs.ErrExist] where it has one
// of that name.
func MakeFiles(ctx context.Context, at string) error { return store.MakeFiles(ctx, at) }

// Files returns the files at a place, for the writer of this journal. In a database each write
// to them succeeds only while the journal may be written.
func (j *Journal) Files(at string) (durable.Files, error) {
	if j.packer == nil {
		return store.OpenFiles(at)
	}
	return j.store.Files(at)
}

// named has an error name the journal.
func (j *Journal) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("journal %s: %w", store.Shown(j.at), err)
}

// begin writes segment 0 if there is none: its record makes the journal.
func (j *Journal) begin(ctx context.Context) error {
	if _, ok, err := j.store.Tip(ctx); ok || err != nil {
		return err
	}
	id, err := hex.DecodeString(j.opts.ID)
	if err != nil || j.opts.ID != "" && len(id) != 16 {
		return fmt.Errorf("journal ID %q: want 32 hexadecimal digits", j.opts.ID)
	}
	if j.opts.ID == "" {
		id = make([]byte, 16)
		rand.Read(id)
	}
	made := record.Record{Kind: record.Made, At: time.Now(), Body: hex.AppendEncode(nil, id)}
	return j.store.Append(j.packer.first(&made), store.State{})
}

// OpenReadOnly opens a journal for reading, also while a sweep writes it.
// Commit and Append are refused with [ErrReadOnly]. The error wraps [ErrNone] also where a
// place was made and no record has followed yet.
func OpenReadOnly(at string) (_ *Journal, err error) {
	j := &Journal{at: at, failed: make(chan struct{})}
	defer func() {
		if err != nil {
			err = j.named(errors.Join(err, j.release(false)))
		}
	}()
	ctx := context.Background()
	if j.store, err = store.Open(ctx, at, store.Options{}); err != nil {
		return nil, err
	}
	if err = j.begun(ctx); err != nil {
		return nil, err
	}
	if err = j.attach(ctx); err != nil {
		return nil, err
	}
	return j, nil
}

// begun refuses a place in which there is no journal.
func (j *Journal) begun(ctx context.Context) error {
	_, has, err := j.store.Tip(ctx)
	if err != nil || has {
		return err
	}
	if left, err := j.store.Read(ctx, 0, 1); err != nil || len(left) > 0 {
		return err // attach says what is wrong with it
	}
	return fmt.Errorf("%w: it was not begun", ErrNone)
}

// CheckPlace returns the error that [Open] would return, without reading the journal: another
// writer, or files that were left behind. It changes nothing.
func CheckPlace(at string) error {
	if err := store.Vacant(context.Background(), at); err != nil {
		return fmt.Errorf("journal %s: %w", store.Shown(at), err)
	}
	return nil
}

// Replicated says of a journal in a database for which servers its commits wait. The error
// wraps [ErrOneServer] where they wait for none but the first.
func Replicated(ctx context.Context, at string) (string, error) {
	said, err := store.Replicated(ctx, at)
	if err != nil {
		err = fmt.Errorf("journal %s: %w", store.Shown(at), err)
	}
	return said, err
}

// attach makes the reading side and checks that the beginning and the end of the chain
// hold.
func (j *Journal) attach(ctx context.Context) (err error) {
	if j.unpacker, err = newUnpacker(); err != nil {
		return err
	}
	if j.id, err = j.readID(ctx, j.store); err != nil {
		return err
	}
	if j.tip, err = tipOf(ctx, j.store); err != nil {
		return err
	}
	j.last = j.tip.Seq
	if err := checkStray(ctx, j.store); err != nil {
		return err
	}
	return j.walk(ctx, j.store, max(j.tip.Seq, 1), func(*linked) bool { return true })
}

// ID returns the journal's identity: 32 hexadecimal digits, made with it.
func (j *Journal) ID() string { return j.id }

// Tip returns the end of the chain: for a journal opened for reading, as it
// was then.
func (j *Journal) Tip() Tip {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Tip{j.tip.Seq, j.tip.Hash}
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

// Held says why this process is not the journal's writer any more: another one has gone on
// with it, or the lease could not be renewed. Nil: it is, or it is a reader. It only reads a
// clock.
func (j *Journal) Held() error {
	if j.packer == nil {
		return nil
	}
	j.mu.Lock()
	failure := j.failure
	j.mu.Unlock()
	if record.Fenced(failure) {
		return failure
	}
	return j.named(j.store.Held())
}

// Holder names the process that may write the journal now, since when, and until when if it
// does not renew; nil: none, or the journal is in a file, which does not have the name.
func (j *Journal) Holder(ctx context.Context) (*record.Holder, error) {
	who, err := j.store.Holder(ctx)
	return who, j.named(err)
}

// Passing says whether the same call may succeed in a moment: the database does not
// answer, or another server is about to take its place.
func Passing(err error) bool { return store.Passing(err) }

// Standby lists the processes that stand by to write the journal.
func (j *Journal) Standby(ctx context.Context) ([]record.Holder, error) {
	all, err := j.store.Standby(ctx)
	return all, j.named(err)
}

// StandBy waits until nobody may write the journal at an address: see [store.StandBy]. seen is
// told of the journal's end, as far as the database has acknowledged it.
func StandBy(ctx context.Context, at string, o Options, tell func(record.Holder, error), seen func(Tip)) (last record.Holder, err error) {
	stored := store.Options{Holder: o.Holder, Lease: o.Lease, Seen: func(t store.Tip) { seen(Tip{t.Seq, t.Hash}) }}
	if last, err = store.StandBy(ctx, at, stored, tell); err != nil {
		err = fmt.Errorf("journal %s: %w", store.Shown(at), err)
	}
	return last, err
}

// refusal is Err for a caller that has locked the mutex.
func (j *Journal) refusal() error {
	switch {
	case j.failure != nil:
		return j.failure
	case j.packer == nil:
		return j.named(ErrReadOnly)
	case j.closed:
		return j.named(ErrClosed)
	}
	return nil
}

// Close makes queued records durable and releases the journal. It
// returns the write that failed, if one did. A second Close does nothing.
func (j *Journal) Close() error { return j.close(false) }

// Discard closes a journal that was begun in vain. It removes the files that Open made, while
// it has the lock, and nothing else.
func (j *Journal) Discard() error { return j.close(true) }

func (j *Journal) close(discard bool) error {
	j.mu.Lock()
	closed := j.closed
	j.closed = true
	j.mu.Unlock()
	if closed {
		return nil
	}
	if j.packer == nil {
		return j.release(false)
	}
	close(j.closing)
	<-j.done
	if r := j.opts.Registerer; r != nil {
		r.Unregister(j.metrics.commit) // the next journal has its own
	}
	j.mu.Lock()
	failure := j.failure
	j.mu.Unlock()
	return errors.Join(failure, j.release(discard))
}

// release closes all files. For Discard it removes those that Open made.
func (j *Journal) release(discard bool) error {
	if j.unpacker.zstd != nil {
		j.unpacker.zstd.Close()
	}
	switch {
	case j.store == nil:
		return nil
	case discard:
		return j.store.Discard()
	}
	return j.store.Close()
}
