package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"safemode/engine/durable"
)

// state is what the file holds.
type state struct {
	Version int      `json:"version"`
	Causes  []cause  `json:"causes"` // said, or to be said, and not over
	Unsaid  []unsaid `json:"unsaid"` // in the order in which they came
}

// cause is what was seen last time.
type cause struct {
	Kind  string    `json:"kind"`
	Scope string    `json:"scope,omitempty"`
	Since time.Time `json:"since,omitzero"` // by the sweep's clock; zero: none of its own

	seen time.Time // real time; not in the file: a start counts from its own beginning
}

// same says whether two are one.
func (c cause) same(o cause) bool {
	return c.Kind == o.Kind && c.Scope == o.Scope && c.Since.Equal(o.Since)
}

// unsaid is a notice that not every channel has taken.
type unsaid struct {
	Notice Notice   `json:"notice"`
	To     []string `json:"to"` // names of channels
}

// largestFile is far more than the kinds of causes can fill.
const largestFile = 16 << 20

// errDamaged marks a file that cannot be understood.
var errDamaged = errors.New("damaged")

// readState reads the file; none is an empty one. The error wraps errDamaged where it is
// there and cannot be understood.
func readState(path string) (s state, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state{Version: version}, nil
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	d := json.NewDecoder(io.LimitReader(f, largestFile))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if s.Version != version {
		return s, fmt.Errorf("%w: version %d, and this program writes version %d", errDamaged, s.Version, version)
	}
	return s, nil
}

// write puts the state in the file's place; on return it is durable.
func (s *state) write(path string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.Replace(path, 0o600, durable.Bytes(append(b, '\n')))
}

// add puts a notice at the end, for all channels. If one of its kind and scope waits for all of
// them, and none is being told of it, that one counts the new one instead.
func (s *state) add(n Notice, channels []string, told map[string]int) {
	for i := range s.Unsaid {
		old := &s.Unsaid[i]
		if old.Notice.SweepID == n.SweepID && old.Notice.Cause == n.Cause && old.Notice.Scope == n.Scope && len(old.To) == len(channels) && told[old.Notice.ID] == 0 {
			old.Notice.Times++
			return
		}
	}
	s.Unsaid = append(s.Unsaid, unsaid{n, slices.Clone(channels)})
}

// next is the first notice that a channel has not taken.
func (s *state) next(channel string) (Notice, bool) {
	for _, u := range s.Unsaid {
		if slices.Contains(u.To, channel) {
			return u.Notice, true
		}
	}
	return Notice{}, false
}

// taken notes that a channel has taken a notice.
func (s *state) taken(id, channel string) {
	s.drop(func(n *Notice, to string) bool { return n.ID == id && to == channel })
}

// only forgets channels that there are no more.
func (s *state) only(channels []string) {
	s.drop(func(_ *Notice, to string) bool { return !slices.Contains(channels, to) })
}

// drop removes channels from the notices that wait for them, and notices that wait for none.
func (s *state) drop(which func(n *Notice, to string) bool) {
	for i := range s.Unsaid {
		u := &s.Unsaid[i]
		u.To = slices.DeleteFunc(u.To, func(to string) bool { return which(&u.Notice, to) })
	}
	s.Unsaid = slices.DeleteFunc(s.Unsaid, func(u unsaid) bool { return len(u.To) == 0 })
}
