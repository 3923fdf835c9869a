package journal

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Selection says which records are exported. The zero value is all of them.
type Selection struct {
	From, To time.Time             // of the records' times, To not included; zero: no bound
	Devices  []servicerequests.EUI // the planned meter's, or the Request ID's target; nil: all
	Kinds    []record.Kind         // nil: all
}

func (s *Selection) has(r *record.Record) bool {
	return (s.From.IsZero() || !r.At.Before(s.From)) && (s.To.IsZero() || r.At.Before(s.To)) &&
		(s.Kinds == nil || slices.Contains(s.Kinds, r.Kind)) &&
		(s.Devices == nil || slices.Contains(s.Devices, r.Device) || slices.Contains(s.Devices, r.ID.Target))
}

// selected hands out the records of a selection with their hashes, and says how many there
// were. All records up to the end are read, and the chain is checked.
func (j *Journal) selected(ctx context.Context, s Selection, take func(*linked) error) (n uint64, err error) {
	var failed error
	err = j.walk(ctx, j.store, 1, func(l *linked) bool {
		if !s.has(&l.Record) {
			return true
		}
		n++
		failed = take(l)
		return failed == nil
	})
	if failed != nil {
		return n, failed
	}
	return n, j.named(err)
}

// exported are the columns of a record, as [Journal.ExportLines] and [Journal.ExportCSV]
// have them: times in UTC, EUIs with hyphens and empty for none. A body is as it is where
// it is text, and in base64 else, which body_encoding says: text or base64. The hash is the
// chain's.
type exported struct {
	Seq          uint64 `json:"seq"`
	At           string `json:"at"`
	Kind         string `json:"kind"`
	Device       string `json:"device"`
	SRV          string `json:"srv"`
	Originator   string `json:"originator"`
	Target       string `json:"target"`
	Counter      uint64 `json:"counter"`
	Code         string `json:"code"`
	Body         string `json:"body"`
	BodyEncoding string `json:"body_encoding"`
	Hash         string `json:"hash"`
}

var exportedColumns = []string{"seq", "at", "kind", "device", "srv", "originator", "target", "counter", "code", "body", "body_encoding", "hash"}

func export(l *linked) exported {
	eui := func(e servicerequests.EUI) string {
		if e == 0 {
			return ""
		}
		return e.String()
	}
	x := exported{
		Seq: l.Seq, At: l.At.Format(time.RFC3339Nano), Kind: l.Kind.String(), Device: eui(l.Device), SRV: srv(l.Service),
		Originator: eui(l.ID.Originator), Target: eui(l.ID.Target), Counter: l.ID.Counter, Code: l.Code,
		Body: string(l.Body), BodyEncoding: "text", Hash: hex.EncodeToString(l.hash[:]),
	}
	if !utf8.Valid(l.Body) {
		x.Body, x.BodyEncoding = base64.StdEncoding.EncodeToString(l.Body), "base64"
	}
	return x
}

// ExportLines writes a JSON object for each record of a selection, a line each. It returns
// how many there were.
func (j *Journal) ExportLines(ctx context.Context, s Selection, w io.Writer) (uint64, error) {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	n, err := j.selected(ctx, s, func(l *linked) error { return lines.Encode(export(l)) })
	return n, errors.Join(err, out.Flush())
}

// ExportCSV writes a header line and one for each record of a selection (RFC 4180). It
// returns how many there were.
func (j *Journal) ExportCSV(ctx context.Context, s Selection, w io.Writer) (uint64, error) {
	out := csv.NewWriter(w)
	if err := out.Write(exportedColumns); err != nil {
		return 0, err
	}
	n, err := j.selected(ctx, s, func(l *linked) error {
		x := export(l)
		return out.Write([]string{
			strconv.FormatUint(x.Seq, 10), x.At, x.Kind, x.Device, x.SRV, x.Originator, x.Target,
			strconv.FormatUint(x.Counter, 10), x.Code, x.Body, x.BodyEncoding, x.Hash,
		})
	})
	out.Flush()
	return n, errors.Join(err, out.Error())
}

// ExportSQLite makes an SQLite file, at a path at which there is none, with the records of
// a selection in one table, for the queries that people ask. Its columns are those of a
// journal of version 2:
//
//	CREATE TABLE record (
//	    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, -- nanoseconds since 1970-01-01 UTC
//	    kind TEXT NOT NULL, device INTEGER NOT NULL, srv TEXT NOT NULL,
//	    originator INTEGER NOT NULL, target INTEGER NOT NULL, counter INTEGER NOT NULL,
//	    code TEXT NOT NULL, body BLOB NOT NULL, hash BLOB NOT NULL
//	) STRICT
//
// with indexes on device, kind and at. EUIs are 64-bit integers in two's complement:
// printf('%016X', device) shows one. The file is no journal. It returns how many records
// there were; an error wraps [os.ErrExist] where there is a file.
func (j *Journal) ExportSQLite(ctx context.Context, s Selection, path string) (n uint64, err error) {
	_, err = intoFile(path, func(temporary string) (Tip, error) {
		n, err = j.exportInto(ctx, s, temporary)
		return Tip{}, err
	})
	return n, err
}

func (j *Journal) exportInto(ctx context.Context, s Selection, path string) (n uint64, err error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	dsn := url.URL{Scheme: "file", Path: absolute, RawQuery: "_pragma=journal_mode(off)&_pragma=synchronous(off)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.ExecContext(ctx, `CREATE TABLE record (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL,
    kind TEXT NOT NULL, device INTEGER NOT NULL, srv TEXT NOT NULL,
    originator INTEGER NOT NULL, target INTEGER NOT NULL, counter INTEGER NOT NULL,
    code TEXT NOT NULL, body BLOB NOT NULL, hash BLOB NOT NULL
) STRICT`); err != nil {
		return 0, err
	}
	insert, err := tx.PrepareContext(ctx, "INSERT INTO record VALUES (?,?,?,?,?,?,?,?,?,?,?)") //nolint:sqlclosecheck // it closes with the transaction
	if err != nil {
		return 0, err
	}
	n, err = j.selected(ctx, s, func(l *linked) error {
		_, err := insert.ExecContext(ctx, int64(l.Seq), l.At.UnixNano(), l.Kind.String(), int64(l.Device), srv(l.Service),
			int64(l.ID.Originator), int64(l.ID.Target), int64(l.ID.Counter), l.Code, append([]byte{}, l.Body...), l.hash[:])
		return err
	})
	if err != nil {
		return n, err
	}
	for _, column := range [...]string{"device", "kind", "at"} {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE INDEX record_%s ON record (%s)", column, column)); err != nil {
			return n, err
		}
	}
	return n, tx.Commit()
}
