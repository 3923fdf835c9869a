package custody

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"safemode/servicerequests"
)

// state is the file's content; see doc.go.
type state struct {
	Originator servicerequests.EUI `json:"originator"`
	Owner      string              `json:"owner"`
	HighWater  uint64              `json:"high_water"`
}

// load reads a custody file. Whatever is not exactly one is refused: to guess
// a counter is to repeat one.
func load(path string) (s state, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("%w: text after the object", ErrDamaged)
	}
	switch {
	case s.Originator == 0:
		return s, fmt.Errorf("%w: no originator", ErrDamaged)
	case s.Owner == "":
		return s, fmt.Errorf("%w: no owner", ErrDamaged)
	case s.HighWater == 0 || s.HighWater > servicerequests.MaxCounter:
		return s, fmt.Errorf("%w: high_water %d", ErrDamaged, s.HighWater)
	}
	return s, nil
}

// save replaces the file and returns when the new one is durable. After an
// error the file is the old or the new one, whole.
func (s state) save(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temporary := path + ".new"
	if err := writeSynced(temporary, append(b, '\n')); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
