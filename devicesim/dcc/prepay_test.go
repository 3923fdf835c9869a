package dcc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// TestPrepayReadIsDCCs holds the messages of 4.3 against the DCC's own Commands.
func TestPrepayReadIsDCCs(t *testing.T) {
	folder := os.Getenv("SAFEMODE_VECTORS")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", "shared", "vectors")
	}
	text, err := os.ReadFile(filepath.Join(folder, "gbcs-vectors.json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no vectors: set SAFEMODE_VECTORS")
	} else if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Vectors []struct{ Name, SRV, Kind, Hex string }
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	held := 0
	for _, v := range file.Vectors {
		if v.SRV != readPrepayValues || v.Kind != "command" {
			continue
		}
		raw, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		want, err := gbcs.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		kind := servicerequests.GSME
		if want.Code == codeECS19 {
			kind = servicerequests.ESME
		}
		id := servicerequests.RequestID{Originator: want.Originator, Target: want.Target, Counter: want.Counter}
		if got := appendPrepayRead(nil, id, kind); !bytes.Equal(got, want.Inner()) {
			t.Errorf("%s: %x, want %x", v.Name, got, want.Inner())
		}
		held++
	}
	if held < 4 {
		t.Errorf("held against %d Commands, want 4 at least", held)
	}
}
