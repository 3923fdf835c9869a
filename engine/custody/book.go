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
	"io/fs"
	"slices"
	"sync"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// Reasons to refuse a book.
var (
	ErrNoBook   = errors.New("it has no book: safemode plan begins one in a new custody")
	ErrCopied   = errors.New("it is a copy: its book is not the one that was begun")
	errMostBook = fmt.Errorf("longer than %d bytes", mostBook)
)

// mostBook bounds a book, in bytes: some hundred thousand entries.
const mostBook = 64 << 20

// Act is what an entry of a book records.
type Act string

// The acts.
const (
	Made     Act = "made"   // the book was begun; the first entry
	Started  Act = "start"  // a sweep was started: for the first time, or after a stop
	Halted   Act = "halt"   // a sweep has stopped itself
	Ceased   Act = "cease"  // a sweep was ended for good
	Accepted Act = "accept" // two people have accepted a restored journal, or a copied folder
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
	Records   uint64    `json:"journal_records,omitempty"` // how many were durable then, with the hash of the last
	Hash      digest    `json:"journal_hash,omitzero"`
	Approvals []string  `json:"approvals,omitempty"` // SHA-256 of each text
	Subject   string    `json:"subject,omitempty"`   // of an acceptance: what was accepted
	Reason    string    `json:"reason,omitempty"`
	Previous  digest    `json:"previous"` // SHA-256 of the line before, without its LF; of the first: zeros
}

// Book is a custody's own record of sweeps: which starts were used, which sweeps have halted
// and which have ceased. Lines are only added, and each is durable before its act is done. Its
// methods may be called concurrently, also by several processes.
type Book struct {
	files durable.Files

	mu      sync.Mutex
	entries []Entry
	last    digest // of the last line
	whole   int64  // bytes of the whole lines
	size    int64  // of the file, with an incomplete line that a crash left
	mark    uint64 // of the file as it is
}

// BookName is the book's name in its folder.
const BookName = "book.ndjson"

// MakeBook begins the book of a custody, or reads the one that is there. It finishes one whose
// maker was cut off.
func MakeBook(files durable.Files) (*Book, error) {
	err := makeBook(files)
	if err != nil && !errors.Is(err, durable.ErrChanged) { // another process has just made it
		return nil, fmt.Errorf("custody %s: %w", files.Path(BookName), err)
	}
	return OpenBook(files)
}

func makeBook(files durable.Files) error {
	if err := files.Append(BookName, -1, 0, nil); err != nil && !errors.Is(err, durable.ErrChanged) {
		return err
	}
	left, err := files.Read(BookName, mostBook, safefile.Own)
	switch {
	case errors.Is(err, fs.ErrNotExist): // an empty file is none in a database
	case err != nil || bytes.IndexByte(left, '\n') >= 0:
		return err
	}
	mark, err := files.Mark(BookName)
	if err != nil {
		return err
	}
	id := make([]byte, 16)
	rand.Read(id)
	line, err := json.Marshal(Entry{N: 1, At: time.Now().UTC().Truncate(time.Second), Act: Made, Custody: hex.EncodeToString(id), Inode: mark})
	if err != nil {
		return err
	}
	return files.Append(BookName, int64(len(left)), 0, append(line, '\n'))
}

// OpenBook reads the book of a custody. Errors wrap [ErrNoBook] or [ErrDamaged]. [Book.Copied]
// says whether it is a copy.
func OpenBook(files durable.Files) (*Book, error) {
	b := &Book{files: files}
	if err := b.read(); err != nil {
		return nil, fmt.Errorf("custody %s: %w", files.Path(BookName), err)
	}
	return b, nil
}

func (b *Book) read() error {
	text, err := b.files.Read(BookName, mostBook, safefile.Own)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoBook
	}
	if err != nil {
		return err
	}
	if b.mark, err = b.files.Mark(BookName); err != nil {
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
	return b.files.Read(BookName, mostBook, safefile.Own)
}

func (b *Book) parse(text []byte) error {
	if len(text) > mostBook {
		return fmt.Errorf("%w: %w", ErrDamaged, errMostBook)
	}
	b.entries, b.last, b.whole, b.size = nil, digest{}, 0, int64(len(text))
	lines := bufio.NewReader(bytes.NewReader(text))
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil { // a line without its end was never finished, and nothing was done because of it
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
		b.whole += int64(len(line))
	}
	if len(b.entries) == 0 || b.entries[0].Custody == "" {
		return fmt.Errorf("%w: it does not say which custody it is of", ErrDamaged)
	}
	return nil
}

// ID is the custody's.
func (b *Book) ID() string { return b.entries[0].Custody }

// Inode is the mark of the book's file as it is: in a folder, its inode.
func (b *Book) Inode() uint64 { return b.mark }

// Copied refuses a custody if its book is not the file that was made or accepted: it was
// copied, or restored from a backup. The error wraps [ErrCopied].
func (b *Book) Copied() error {
	for _, e := range slices.Backward(b.entries) {
		if e.Inode == b.mark {
			return nil
		}
		if e.Inode != 0 {
			break
		}
	}
	return fmt.Errorf("custody %s: %w", b.files.Path(BookName), ErrCopied)
}

// Entries returns all entries, the oldest first.
func (b *Book) Entries() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.entries)
}

// Append adds an entry, durably, and returns it. It sets number, time and the links.
func (b *Book) Append(e Entry) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		err := b.append(&e)
		switch {
		case err == nil:
			return e, nil
		case !errors.Is(err, durable.ErrChanged): // otherwise another process has added an entry
			return e, fmt.Errorf("custody %s: %w", b.files.Path(BookName), err)
		}
	}
}

func (b *Book) append(e *Entry) error {
	if err := b.read(); err != nil {
		return err
	}
	e.N, e.At, e.Previous = uint64(len(b.entries))+1, time.Now().UTC().Truncate(time.Second), b.last
	line, err := json.Marshal(*e)
	if err != nil {
		return err
	}
	return b.files.Append(BookName, b.size, b.whole, append(line, '\n'))
}
