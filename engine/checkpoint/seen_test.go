package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/checkpoint"
)

// A checkpoint that is noted is written at once if that is asked for, and otherwise at most
// once in SeenEvery. An earlier one of the same journal does not replace it; one of another
// journal does.
func TestSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "winter.tip")
	kept := func(want checkpoint.Checkpoint) {
		t.Helper()
		s, err := checkpoint.OpenSeen(path)
		if err != nil || s.Last() != want || s.Path() != path {
			t.Errorf("%+v, %v, want %+v", s.Last(), err, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := checkpoint.OpenSeen(path)
		if err != nil || s.Last().Journal != "" {
			t.Fatalf("%+v, %v", s, err)
		}
		note := func(c checkpoint.Checkpoint, now bool) {
			t.Helper()
			if err := s.Note(c, now); err != nil {
				t.Fatal(err)
			}
		}
		note(at(3), false)
		kept(at(3))
		note(at(5), false)
		note(at(4), false)
		kept(at(3))
		time.Sleep(checkpoint.SeenEvery)
		note(at(4), false)
		kept(at(5))
		note(at(7), true)
		kept(at(7))
		other := at(2)
		other.Journal = strings.Repeat("ab", 16)
		note(other, true)
		kept(other)
		if s.Last() != other {
			t.Errorf("%+v", s.Last())
		}
	})
	for _, text := range []string{"", "x", "safemode journal\n" + journalID + "\n1\n\n\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := checkpoint.OpenSeen(path); !errors.Is(err, checkpoint.ErrForm) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
