package journal_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"safemode/engine/journal"
	"safemode/engine/record"
)

func TestVerifyNamesTheFirstBadRecord(t *testing.T) {
	t.Parallel()
	const records = 600 // more than two pages
	for name, c := range map[string]struct {
		sql string
		seq uint64
	}{
		"time":            {"UPDATE record SET at = at + 1 WHERE seq = 17", 17},
		"kind":            {"UPDATE record SET kind = 'reply' WHERE seq = 17", 17},
		"unknown kind":    {"UPDATE record SET kind = 'rumour' WHERE seq = 17", 17},
		"device":          {"UPDATE record SET device = 1 WHERE seq = 257", 257},
		"service":         {"UPDATE record SET srv = '7.4' WHERE seq = 256", 256},
		"unknown service": {"UPDATE record SET srv = '7.2' WHERE seq = 256", 256},
		"originator":      {"UPDATE record SET originator = 1 WHERE seq = 17", 17},
		"target":          {"UPDATE record SET target = 1 WHERE seq = 17", 17},
		"counter":         {"UPDATE record SET counter = counter + 1 WHERE seq = 1", 1},
		"code":            {"UPDATE record SET code = 'code 18' WHERE seq = 17", 17},
		"body":            {"UPDATE record SET body = x'00' WHERE seq = 599", 599},
		"hash":            {"UPDATE record SET hash = zeroblob(32) WHERE seq = 17", 17},
		"short hash":      {"UPDATE record SET hash = x'00' WHERE seq = 17", 17},
		"removed":         {"DELETE FROM record WHERE seq = 300", 300},
		"last of a page":  {"DELETE FROM record WHERE seq = 256", 256},
		"a whole page":    {"DELETE FROM record WHERE seq BETWEEN 257 AND 512", 257},
		"removed, closed up": {
			"DELETE FROM record WHERE seq = 300; UPDATE record SET seq = seq - 1 WHERE seq > 300; UPDATE tip SET seq = seq - 1", 300,
		},
		"tail removed": {
			"DELETE FROM record WHERE seq > 590; UPDATE tip SET seq = 590", 590,
		},
		"swapped": {
			"UPDATE record SET seq = 100000 WHERE seq = 40; UPDATE record SET seq = 40 WHERE seq = 41; UPDATE record SET seq = 41 WHERE seq = 100000", 40,
		},
		"doubled": {
			"UPDATE record SET seq = -seq WHERE seq > 50; UPDATE record SET seq = 1 - seq WHERE seq < 0; UPDATE tip SET seq = seq + 1; " + copyOf(50, 51), 51,
		},
		"added beyond": {copyOf(600, 700), 700},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			j := open(t, path)
			for i := range uint64(records) {
				j.Append(sent(i + 1))
			}
			j.Close()

			r, err := journal.OpenReadOnly(path)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			execute(t, path, c.sql)
			err = r.Verify(t.Context())
			chain, ok := errors.AsType[*journal.ChainError](err)
			if !ok || chain.Seq != c.seq || !errors.Is(err, journal.ErrDamaged) {
				t.Errorf("%v, want record %d named", err, c.seq)
			}
		})
	}
}

func TestVerifyFindsARecordBeforeTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	commit(t, j, sent(1))
	execute(t, path, copyOf(1, -1))
	if err := j.Verify(t.Context()); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "record -1") {
		t.Errorf("verify: %v", err)
	}
}

func TestVerifyFindsFileDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	for i := range uint64(2000) {
		j.Append(sent(i + 1))
	}
	j.Close()
	overwrite(t, path, 10*16384, strings.Repeat("\xff", 16384))
	r, err := journal.OpenReadOnly(path) // the end of the chain is whole
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(t.Context()); !errors.Is(err, journal.ErrDamaged) {
		t.Errorf("verify: %v", err)
	}
}

// The chain as doc.go specifies it, worked out anew from the columns.
func TestChainEncoding(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	commit(t, j, sent(1), record.Record{At: epoch, Kind: record.Planned, Body: []byte("{}")})
	tip := j.Tip()
	j.Close()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT printf('%016x%016x%016x%016x%016x%016x', seq, at, device, originator, target, counter)
		|| printf('%08x%s', length(CAST(kind AS BLOB)), hex(kind))
		|| printf('%08x%s', length(CAST(srv AS BLOB)), hex(srv))
		|| printf('%08x%s', length(CAST(code AS BLOB)), hex(code))
		|| printf('%08x%s', length(body), hex(body)) FROM record ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var sum [32]byte
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		encoded, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		sum = sha256.Sum256(append(sum[:], encoded...))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if sum != tip.Hash || tip.Seq != 2 {
		t.Errorf("hash %x, the tip is %d %x", sum, tip.Seq, tip.Hash)
	}
}
