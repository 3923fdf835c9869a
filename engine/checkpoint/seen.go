package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

// SeenEvery is how often [Seen.Note] writes, at most.
const SeenEvery = 10 * time.Second

// Seen is a machine's own memory of how far a journal had come that lies elsewhere. It is a
// file with the text of one checkpoint, without a signature, that is replaced as a whole. Its
// methods may be called concurrently.
type Seen struct {
	path string

	mu      sync.Mutex
	last    Checkpoint
	written Checkpoint
	at      time.Time // of the last write
}

// OpenSeen reads the memory in a file; none is an empty one. A file that is no checkpoint is
// refused with [ErrForm].
func OpenSeen(path string) (*Seen, error) {
	s := &Seen{path: path}
	text, err := safefile.Read(path, safefile.Small, safefile.Own)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		s.last, err = parse(string(text))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.written = s.last
	return s, nil
}

// Path is the file's.
func (s *Seen) Path() string { return s.path }

// Last is the last checkpoint that was noted; zero if there is none.
func (s *Seen) Last() Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// Note remembers how far a journal has come. It writes that if now is set, or if nothing was
// written for [SeenEvery]. For one journal it keeps the furthest point; another journal's
// replaces it.
func (s *Seen) Note(c Checkpoint, now bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Journal != s.last.Journal || c.Seq > s.last.Seq {
		s.last = c
	}
	if s.last == s.written || !now && time.Since(s.at) < SeenEvery {
		return nil
	}
	s.at = time.Now()
	if err := durable.Replace(s.path, 0o600, durable.Bytes([]byte(s.last.text()))); err != nil {
		return err
	}
	s.written = s.last
	return nil
}
