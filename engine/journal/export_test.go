package journal

import (
	"context"
	"crypto/sha256"
	"database/sql"

	"safemode/engine/journal/store"
	"safemode/engine/record"
)

// Forge changes the records of the segment that holds record seq as somebody would who
// knows the format and cannot make the chain: he unpacks it, changes what he likes, leaves
// each check as it was, and packs it again with a sum that is right.
func Forge(path string, seq uint64, change func([]record.Record) []record.Record) error {
	ctx := context.Background()
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return err
	}
	found, err := s.Read(ctx, seq, 1)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	u, err := newUnpacker()
	if err != nil {
		return err
	}
	defer u.zstd.Close()
	all, err := u.open(&found[0])
	if err != nil {
		return err
	}
	var records []record.Record
	checks := map[uint64][]byte{}
	for _, l := range all {
		records = append(records, l.Record)
		checks[l.Seq] = l.hash[:checkSize]
	}
	p, err := newPacker()
	if err != nil {
		return err
	}
	var raw []byte
	for _, r := range change(records) {
		check := checks[r.Seq]
		if check == nil {
			check = make([]byte, checkSize)
		}
		raw = append(AppendRecord(raw, &r), check...)
	}
	body := p.zstd.EncodeAll(raw, nil)
	sum := sha256.Sum256(body)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec("UPDATE segment SET body = ?, sum = ? WHERE first = ?", body, sum[:], int64(found[0].First))
	return err
}

// Segments returns what the store has, and what is in it.
func Segments(path string) (all []store.Segment, raw [][]byte, err error) {
	ctx := context.Background()
	s, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	if all, err = s.Read(ctx, 0, 1<<20); err != nil {
		return nil, nil, err
	}
	u, err := newUnpacker()
	if err != nil {
		return nil, nil, err
	}
	defer u.zstd.Close()
	for i := range all {
		b, err := u.unpack(&all[i])
		if err != nil {
			return nil, nil, err
		}
		raw = append(raw, b)
	}
	return all, raw, nil
}
