package custody

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// What a book is refused for.
var (
	ErrNoBook   = errors.New("the folder has no book: safemode plan begins one in a new folder")
	ErrCopied   = errors.New("the folder is a copy: its book is not the file that it was begun as")
	errMostBook = fmt.Errorf("longer than %d bytes", mostBook)
)

// mostBook bounds a book, in bytes: some hundred thousand entries.
const mostBook = 64 << 20

// Act is what an entry of a book remembers.
type Act string

// The acts.
const (
	Made     Act = "made"   // the book was begun; the first entry
	Started  Act = "start"  // a start was spent: for the first time, or after a stop
	Halted   Act = "halt"   // a sweep has stopped itself
	Ceased   Act = "cease"  // a sweep was ended for good
	Accepted Act = "accept" // two have taken a restored journal, or a copied folder, for the one
)

// Entry is one line of a book.
type Entry struct {
	N         uint64    `json:"n"` // from 1
	At        time.Time `json:"at"`
	Act       Act       `json:"act"`
	Custody   string    `json:"custody_id,omitempty"` // of the first entry: the folder's ID
	Inode     uint64    `json:"inode,omitempty"`      // of the book, when it was made or accepted
	Plan      string    `json:"plan_sha256,omitempty"`
	Journal   string    `json:"journal_id,omitempty"`
	Records   uint64    `json:"journal_records,omitempty"` // that were durable then, and the hash of the last
	Hash      digest    `json:"journal_hash,omitzero"`
	Approvals []string  `json:"approvals,omitempty"` // SHA-256 of each text
	Subject   string    `json:"subject,omitempty"`   // of an acceptance: what was accepted
	Reason    string    `json:"reason,omitempty"`
	Previous  digest    `json:"previous"` // SHA-256 of the line before, without its LF; of the first: zeros
}

// Book is what a folder of counters remembers of sweeps: which starts were spent, which
// sweeps have halted and which have ceased. Lines are only ever added, each durable before
// what it tells of is done. Its methods may be called concurrently, also by processes.
type Book struct {
	path string

	mu      sync.Mutex
	entries []Entry
	last    digest // of the last line
	size    int64  // of the whole lines
	inode   uint64 // of the file as it is
}

// BookName is the book's name in its folder.
const BookName = "book.ndjson"

// MakeBook begins the book of a folder, or reads the one that is there.
func MakeBook(directory string) (*Book, error) {
	path := filepath.Join(directory, BookName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, os.ErrExist) {
		return OpenBook(directory)
	}
	if err != nil {
		return nil, err
	}
	id := make([]byte, 16)
	rand.Read(id)
	inode, err := inodeOf(f)
	if err == nil {
		var line []byte
		line, err = json.Marshal(Entry{N: 1, At: time.Now().UTC().Truncate(time.Second), Act: Made, Custody: hex.EncodeToString(id), Inode: inode})
		if err == nil {
			_, err = f.Write(append(line, '\n'))
		}
	}
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = durable.SyncDir(directory)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("custody %s: %w", path, err), os.Remove(path))
	}
	return OpenBook(directory)
}

// OpenBook reads the book of a folder. Errors wrap [ErrNoBook] or [ErrDamaged]; of a
// copied folder [Book.Copied] tells.
func OpenBook(directory string) (*Book, error) {
	b := &Book{path: filepath.Join(directory, BookName)}
	if err := b.read(); err != nil {
		return nil, fmt.Errorf("custody %s: %w", b.path, err)
	}
	return b, nil
}

func (b *Book) read() error {
	f, err := os.OpenFile(b.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return ErrNoBook
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if b.inode, err = inodeOf(f); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, mostBook+1))
	if err != nil {
		return err
	}
	return b.parse(text)
}

// Parse reads the text of a book, as [Book.Text] gives it, and returns its entries and the
// SHA-256 of each line. The error wraps [ErrDamaged].
func Parse(text []byte) (entries []Entry, lines [][32]byte, err error) {
	var b Book
	if err := b.parse(text); err != nil {
		return nil, nil, err
	}
	for _, e := range b.entries[1:] {
		lines = append(lines, e.Previous)
	}
	return b.entries, append(lines, b.last), nil
}

// Text is the whole book as it is in its file.
func (b *Book) Text() ([]byte, error) {
	return safefile.Read(b.path, mostBook, safefile.Own)
}

func (b *Book) parse(text []byte) error {
	if len(text) > mostBook {
		return fmt.Errorf("%w: %w", ErrDamaged, errMostBook)
	}
	b.entries, b.last, b.size = nil, digest{}, 0
	lines := bufio.NewReader(bytes.NewReader(text))
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil { // what has no line end was never finished, and nothing was done on it
			break
		}
		var e Entry
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrDamaged, len(b.entries)+1, err)
		}
		if e.N != uint64(len(b.entries))+1 || e.Previous != b.last || (e.N == 1) != (e.Act == Made) {
			return fmt.Errorf("%w: line %d does not follow from the one before", ErrDamaged, len(b.entries)+1)
		}
		b.entries = append(b.entries, e)
		b.last = sha256.Sum256(line[:len(line)-1])
		b.size += int64(len(line))
	}
	if len(b.entries) == 0 || b.entries[0].Custody == "" {
		return fmt.Errorf("%w: it says whose it is nowhere", ErrDamaged)
	}
	return nil
}

func inodeOf(f *os.File) (uint64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return 0, errors.New("no regular file")
	}
	return s.Ino, nil
}

// ID is the folder's.
func (b *Book) ID() string { return b.entries[0].Custody }

// Inode is the number of the book's file as it is.
func (b *Book) Inode() uint64 { return b.inode }

// Copied refuses a folder whose book is another file than it was made, or accepted, as:
// one that was copied, or restored from a backup. The error wraps [ErrCopied].
func (b *Book) Copied() error {
	for _, e := range slices.Backward(b.entries) {
		if e.Inode == b.inode {
			return nil
		}
		if e.Inode != 0 {
			break
		}
	}
	return fmt.Errorf("custody %s: %w", b.path, ErrCopied)
}

// Entries returns all entries, the oldest first.
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

// Append adds an entry, durably, and returns it. Number, time and what links it are set.
func (b *Book) Append(e Entry) (_ Entry, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() {
		if err != nil {
			err = fmt.Errorf("custody %s: %w", b.path, err)
		}
	}()
	f, err := os.OpenFile(b.path, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, f.Close()) }() // and the lock
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return e, err
	}
	if err := b.read(); err != nil { // another process may have added to it
		return e, err
	}
	e.N, e.At, e.Previous = uint64(len(b.entries))+1, time.Now().UTC().Truncate(time.Second), b.last
	line, err := json.Marshal(e)
	if err != nil {
		return e, err
	}
	if err := f.Truncate(b.size); err != nil { // what a crash has left of a line
		return e, err
	}
	if _, err := f.WriteAt(append(line, '\n'), b.size); err != nil {
		return e, err
	}
	if err := f.Sync(); err != nil {
		return e, err
	}
	b.entries, b.last, b.size = append(b.entries, e), sha256.Sum256(line), b.size+int64(len(line))+1
	return e, nil
}
