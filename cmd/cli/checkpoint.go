package cli

import (
	"crypto/rand"
	"fmt"
	"os"

	"safemode/engine/durable"

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
	if err := WriteFile(out, 0o600, durable.Bytes([]byte(private+"\n"))); err != nil {
		return "", err
	}
	return public, WriteFile(out+".pub", 0o644, durable.Bytes([]byte(public+"\n")))
}
