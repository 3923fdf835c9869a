package cli

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/note"
)

// CheckpointKey makes the two files of a new key and returns the public one.
func CheckpointKey(out, name string) (public string, err error) {
	if _, err := os.Lstat(out); err == nil {
		return "", Fail(Usage, fmt.Errorf("%s exists: a key that signed checkpoints is not replaced", out))
	}
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", Fail(Usage, fmt.Errorf("--name %q: %w", name, err))
	}
	if err := WriteFile(out, 0o600, line(private)); err != nil {
		return "", err
	}
	return public, WriteFile(out+".pub", 0o644, line(public))
}

// line writes one line.
func line(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text+"\n")
		return err
	}
}
