package direction

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"sync"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// MemoryName is the name of the file of revocation lists' numbers, among those of the custody.
const MemoryName = "revocation-lists.json"

// errOldList is the error for a revocation list that is older than one that was read before:
// certificates that were revoked meanwhile would be valid again.
var errOldList = errors.New("older than a revocation list that was read before")

// listMemory remembers the newest revocation list of each issuer: its number (RFC 5280
// section 5.2.3) and when it was made. It is used by many goroutines, and its file by
// several processes.
type listMemory struct {
	files durable.Files // nil: it is kept in memory only
	looks bool          // the file stays as it is

	mu   sync.Mutex
	seen seenLists // where there is no file
}

// seenLists is the file's content: the newest list of each issuer, by the digest of its
// public key.
type seenLists map[string]seenList

type seenList struct {
	Issuer     string    `json:"issuer"`
	Number     *big.Int  `json:"number"`
	ThisUpdate time.Time `json:"this_update"`
	SHA256     string    `json:"sha256"`
}

// remember refuses a list that is older than one that was seen, and remembers it otherwise,
// durably when it returns without an error. If it is only to look, it writes nothing.
func (m *listMemory) remember(ctx context.Context, list *smki.RevocationList) (err error) {
	if list.Number == nil {
		return fmt.Errorf("the revocation list of %s has no number (cRLNumber), so nobody can tell it from an older one", list.Issuer)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		if err := m.rememberNow(ctx, list); !errors.Is(err, durable.ErrChanged) { // else another process has written
			return err
		}
	}
}

func (m *listMemory) rememberNow(ctx context.Context, list *smki.RevocationList) (err error) {
	if m.files != nil && !m.looks {
		lock, err := m.lock(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Release()) }()
	}
	seen, was, err := m.load()
	if err != nil {
		return err
	}
	key := hex.EncodeToString(list.Key[:])
	now := seenList{list.Issuer, list.Number, list.ThisUpdate.UTC(), hex.EncodeToString(list.SHA256[:])}
	if last, known := seen[key]; known {
		if err := now.mayFollow(last); err != nil || now.SHA256 == last.SHA256 {
			return err
		}
	}
	seen[key] = now
	return m.save(seen, was)
}

// mayFollow says whether a list is the same as another of its issuer, or may come after it.
func (l seenList) mayFollow(last seenList) error {
	order := l.Number.Cmp(last.Number)
	switch {
	case l.SHA256 == last.SHA256:
		return nil
	case order < 0 || l.ThisUpdate.Before(last.ThisUpdate):
		return fmt.Errorf("%w: number %d of %s of %s, after number %d of %s: get the newest", errOldList,
			l.Number, l.ThisUpdate.Format(time.RFC3339), l.Issuer, last.Number, last.ThisUpdate.Format(time.RFC3339))
	case order == 0 && !l.ThisUpdate.After(last.ThisUpdate):
		return fmt.Errorf("the revocation list of %s is another one than was read before under its number %d", l.Issuer, l.Number)
	}
	return nil
}

// lock keeps other processes out. It waits while another one writes.
func (m *listMemory) lock(ctx context.Context) (durable.Locked, error) {
	for {
		lock, err := m.files.Lock(MemoryName)
		if !errors.Is(err, durable.ErrLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// load reads what was seen, and returns the file's text as well.
func (m *listMemory) load() (seen seenLists, text []byte, err error) {
	if m.files == nil {
		if m.seen == nil {
			m.seen = seenLists{}
		}
		return m.seen, nil, nil
	}
	seen = seenLists{}
	text, err = m.files.Read(MemoryName, safefile.Small, safefile.Own)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return seen, nil, nil
	case err != nil:
		return nil, nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&seen); err != nil {
		return nil, nil, fmt.Errorf("%s: not the file of revocation lists' numbers: %w", m.files.Path(MemoryName), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: text after the object", m.files.Path(MemoryName))
	}
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		if seen[key].Number == nil {
			return nil, nil, fmt.Errorf("%s: no number of the list of %s", m.files.Path(MemoryName), key)
		}
	}
	return seen, text, nil
}

func (m *listMemory) save(seen seenLists, was []byte) error {
	if m.files == nil || m.looks {
		return nil
	}
	b, err := json.MarshalIndent(seen, "", "  ")
	if err != nil {
		return err
	}
	return m.files.Replace(MemoryName, was, append(b, '\n'))
}
