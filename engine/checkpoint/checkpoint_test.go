package checkpoint_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"safemode/engine/checkpoint"
	"safemode/engine/durable"
)

const journalID = "00112233445566778899aabbccddeeff"

func newKey(t testing.TB) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "srp.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func at(seq uint64) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{
		Journal: journalID, Seq: seq, Hash: [32]byte{byte(seq), 1}, At: time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC),
	}
}

func written(t testing.TB, signer note.Signer, verifier note.Verifier, seqs ...uint64) (path string, b []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "checkpoints")
	log, err := openLog(path, journalID, signer, verifier)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range seqs {
		if err := log.Append(at(seq)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return path, b
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	signer, verifier := newKey(t)
	_, b := written(t, signer, verifier, 1, 5, 5, 9)
	all, err := checkpoint.Read(b, verifier)
	if err != nil || len(all) != 3 {
		t.Fatalf("%v, %v", all, err)
	}
	for i, seq := range []uint64{1, 5, 9} {
		if all[i] != at(seq) {
			t.Errorf("%+v, want %+v", all[i], at(seq))
		}
	}
}

// Every byte that is changed, and every one that is missing at the end, is noticed.
func TestEveryByteCounts(t *testing.T) {
	signer, verifier := newKey(t)
	_, b := written(t, signer, verifier, 1, 70)
	for i := range b {
		changed := bytes.Clone(b)
		changed[i] ^= 0x04
		if all, err := checkpoint.Read(changed, verifier); err == nil {
			t.Errorf("byte %d changed: read as %+v", i, all)
		}
	}
	whole := 0
	for n := 1; n < len(b); n++ {
		if _, err := checkpoint.Read(b[:n], verifier); err == nil {
			whole++ // the first note alone
		} else if !errors.Is(err, checkpoint.ErrForm) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if whole != 1 {
		t.Errorf("%d cut files are read, want the one that ends with a note", whole)
	}
}

func TestReadRefuses(t *testing.T) {
	signer, verifier := newKey(t)
	other, otherVerifier := newKey(t)
	_, early := written(t, signer, verifier, 3)
	_, late := written(t, signer, verifier, 8)
	_, foreign := written(t, other, otherVerifier, 3)
	twice := at(3)
	twice.Hash[0]++
	contradiction, err := twice.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := at(9)
	elsewhere.Journal = "ffffffffffffffffffffffffffffffff"
	stranger, err := elsewhere.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	prose, err := note.Sign(&note.Note{Text: "safemode journal\nsomething else\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"another key":      {foreign, checkpoint.ErrSignature},
		"backwards":        {append(bytes.Clone(late), early...), checkpoint.ErrBackwards},
		"two hashes":       {append(bytes.Clone(early), contradiction...), checkpoint.ErrBackwards},
		"two journals":     {append(bytes.Clone(early), stranger...), checkpoint.ErrForm},
		"another text":     {prose, checkpoint.ErrForm},
		"no note":          {[]byte("x\n"), checkpoint.ErrForm},
		"text in between":  {append(append(bytes.Clone(early), "x\n"...), late...), checkpoint.ErrForm},
		"two of signature": {append(bytes.Clone(early), early[bytes.Index(early, []byte("— ")):]...), checkpoint.ErrForm},
	} {
		if _, err := checkpoint.Read(c.b, verifier); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// A crash in the middle of a note loses that note and nothing else.
func TestTornNoteIsDropped(t *testing.T) {
	signer, verifier := newKey(t)
	path, b := written(t, signer, verifier, 2, 4)
	_, one := written(t, signer, verifier, 2)
	for cut := len(one); cut < len(b); cut++ {
		if err := os.WriteFile(path, b[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		log, err := openLog(path, journalID, signer, verifier)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if log.Last() != at(2) {
			t.Fatalf("cut at %d: last is %+v", cut, log.Last())
		}
		if err := log.Append(at(6)); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if all, err := checkpoint.Read(text, verifier); err != nil || len(all) != 2 {
			t.Fatalf("cut at %d: %v, %v", cut, all, err)
		}
	}
}

// openLog opens the notes in a file at a path.
func openLog(path, journal string, signer note.Signer, verifier note.Verifier) (*checkpoint.Log, error) {
	return checkpoint.OpenLog(durable.Folder(filepath.Dir(path)), filepath.Base(path), journal, signer, verifier)
}

// fullDisk gives files no more room than so many bytes, until the function it returns
// is called.
func fullDisk(t *testing.T, bytes int) (room func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // the write fails instead
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(bytes), Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	}
}

// alone names what tells a test that it has a process of its own.
const alone = "SAFEMODE_TEST_ALONE"

// The disk is full in the middle of a note, at each of its bytes, and has room again
// later: for the next note, or only for the next start.
func TestFullDiskInTheMiddleOfANote(t *testing.T) {
	// In a process of its own: here go test itself writes a list of the files that are
	// opened, which has no room either.
	if os.Getenv(alone) == "" {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), program, "-test.run", "^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), alone+"=1")
		if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	signer, verifier := newKey(t)
	_, two := written(t, signer, verifier, 2, 4)
	_, three := written(t, signer, verifier, 2, 4, 6)
	for most := len(two); most < len(three); most += 7 {
		path, _ := written(t, signer, verifier, 2, 4)
		log, err := openLog(path, journalID, signer, verifier)
		if err != nil {
			t.Fatal(err)
		}
		room := fullDisk(t, most)
		first, second := log.Append(at(6)), log.Append(at(8))
		room()
		if !errors.Is(first, syscall.EFBIG) || !errors.Is(second, syscall.EFBIG) {
			t.Fatalf("room for %d bytes: %v, %v", most, first, second)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, two) {
			t.Fatalf("room for %d bytes: the file is not cut back: %d bytes, %v", most, len(b), err)
		}
		if most%2 == 0 {
			if err := log.Append(at(10)); err != nil {
				t.Fatalf("room again: %v", err)
			}
		}
		again, err := openLog(path, journalID, signer, verifier)
		if err != nil {
			t.Fatalf("room for %d bytes: the next start: %v", most, err)
		}
		if err := again.Append(at(12)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if all, readErr := checkpoint.Read(b, verifier); err != nil || readErr != nil || all[len(all)-1] != at(12) {
			t.Fatalf("room for %d bytes: %v, %v", most, err, readErr)
		}
	}
}

// A file that is refused stays as it is. Discard removes a file that the log has
// made, and no other.
func TestDiscardRemovesWhatWasMade(t *testing.T) {
	signer, verifier := newKey(t)
	path, b := written(t, signer, verifier, 7)
	prose := filepath.Join(filepath.Dir(path), "prose")
	mixed := filepath.Join(filepath.Dir(path), "mixed")
	for name, text := range map[string][]byte{prose: []byte("notes of the night shift\n"), mixed: append(bytes.Clone(b), "and so on\n"...)} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openLog(name, journalID, signer, verifier); !errors.Is(err, checkpoint.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(name); err != nil || !bytes.Equal(after, text) {
			t.Errorf("%s holds %q, %v", name, after, err)
		}
	}
	made := filepath.Join(filepath.Dir(path), "made")
	for name, stays := range map[string]bool{path: true, made: false} {
		log, err := openLog(name, journalID, signer, verifier)
		if err != nil {
			t.Fatal(err)
		}
		if err := log.Discard(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(name); stays != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogRefuses(t *testing.T) {
	signer, verifier := newKey(t)
	path, _ := written(t, signer, verifier, 7)
	if _, err := openLog(path, "ffffffffffffffffffffffffffffffff", signer, verifier); !errors.Is(err, checkpoint.ErrForm) {
		t.Errorf("another journal: %v", err)
	}
	other, otherVerifier := newKey(t)
	if _, err := openLog(path, journalID, other, otherVerifier); !errors.Is(err, checkpoint.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
	log, err := openLog(path, journalID, signer, verifier)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(at(6)); !errors.Is(err, checkpoint.ErrBackwards) {
		t.Errorf("a journal that was cut back: %v", err)
	}
	rewritten := at(7)
	rewritten.Hash[5] = 1
	if err := log.Append(rewritten); !errors.Is(err, checkpoint.ErrBackwards) {
		t.Errorf("a journal that was rewritten: %v", err)
	}
}
