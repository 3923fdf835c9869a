package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"safemode/servicerequests/safefile"
)

// maxPIN bounds a PIN, in bytes; the longest known of a vendor is 255.
const maxPIN = 255

// PINFile reads the PIN from a file that nobody but its owner may read. Errors never quote
// what is in it.
func PINFile(path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		text, err := safefile.Read(path, safefile.Small, safefile.Secret)
		if err != nil {
			return "", fmt.Errorf("PIN: %w", err)
		}
		defer clear(text)
		pin, err := onePIN(text)
		if err != nil {
			return "", fmt.Errorf("%s: %w", path, err)
		}
		return pin, nil
	}
}

// PINCommand takes the PIN from what a program prints. It runs without a shell; what it
// prints on standard error is not shown, as it might be the PIN.
func PINCommand(argv []string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if len(argv) == 0 {
			return "", errors.New("PIN: no command")
		}
		command := exec.CommandContext(ctx, argv[0], argv[1:]...)
		command.WaitDelay = time.Second
		out := bounded{limit: maxPIN + 2} // and its line end
		command.Stdout = &out
		defer func() { clear(out.text[:cap(out.text)]) }()
		if err := command.Run(); err != nil {
			return "", fmt.Errorf("PIN: %s: %w", argv[0], err)
		}
		pin, err := onePIN(out.text)
		if err != nil {
			return "", fmt.Errorf("what %s prints: %w", argv[0], err)
		}
		return pin, nil
	}
}

// onePIN takes one line of printable characters.
func onePIN(text []byte) (string, error) {
	line := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(line) == 0 || len(line) > maxPIN || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("PIN: want one line of 1 to %d printable characters", maxPIN)
	}
	return string(line), nil
}

// bounded keeps the start of what is written, up to one byte over the limit.
type bounded struct {
	text  []byte
	limit int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.text == nil {
		b.text = make([]byte, 0, b.limit+1) // never moved, so that all of it can be cleared
	}
	b.text = append(b.text, p[:min(len(p), b.limit+1-len(b.text))]...)
	return len(p), nil
}
