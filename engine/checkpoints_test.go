package engine_test

import (
	"crypto/rand"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"safemode/engine"
	"safemode/engine/checkpoint"
	"safemode/engine/journal"
)

// pinned gives an engine's options a key for checkpoints.
func pinned(t testing.TB, o engine.Options) (engine.Options, note.Signer) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "test")
	if err != nil {
		t.Fatal(err)
	}
	c := engine.Checkpoints{Path: o.Journal + ".checkpoints", Every: 20 * time.Millisecond}
	if c.Signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	if c.Verifier, err = note.NewVerifier(public); err != nil {
		t.Fatal(err)
	}
	o.Checkpoints = c
	return o, c.Signer
}

// The notes of a whole sweep are of records that are in the journal, and the last is
// of its end.
func TestCheckpointsPinTheJournal(t *testing.T) {
	dir := t.TempDir()
	o, signer := pinned(t, options(t, newDCC(t, "E19"), newPlan(t, engine.Simulator, 5), dir))
	e := open(t, o)
	if err := errors.Join(e.Run(t.Context()), e.Close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.Checkpoints.Path)
	if err != nil {
		t.Fatal(err)
	}
	all, err := checkpoint.Read(text, o.Checkpoints.Verifier)
	if err != nil || len(all) == 0 {
		t.Fatalf("%d checkpoints, %v", len(all), err)
	}
	j, err := journal.OpenReadOnly(o.Journal)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, c := range all {
		if hash, err := j.HashAt(c.Seq); err != nil || hash != c.Hash || c.Journal != j.ID() {
			t.Errorf("record %d: pinned %x, is %x, %v", c.Seq, c.Hash, hash, err)
		}
	}
	if last := all[len(all)-1]; last.Seq != j.Tip().Seq {
		t.Errorf("the last checkpoint is of record %d of %d", last.Seq, j.Tip().Seq)
	}

	// A journal that lacks what is pinned, or has something else in its place, is not
	// gone on with.
	for name, c := range map[string]checkpoint.Checkpoint{
		"an older copy":      {Journal: j.ID(), Seq: j.Tip().Seq + 1},
		"a rewritten record": {Journal: j.ID(), Seq: j.Tip().Seq, Hash: [32]byte{1}},
		"another journal":    {Journal: "00112233445566778899aabbccddeeff", Seq: 1},
	} {
		b, err := c.Sign(signer)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(o.Checkpoints.Path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		o.Registry = prometheus.NewRegistry()
		if e, err := engine.Open(t.Context(), o); !errors.Is(err, engine.ErrRefused) {
			t.Errorf("%s: %v", name, err)
			if e != nil {
				e.Close()
			}
		}
	}
}
