// Command makedictionary makes the dictionary of a packing of journals, from journals.
//
//	go run ./engine/journal/makedictionary --id 1 --out engine/journal/dictionary1 JOURNAL...
//
// A dictionary is part of the format: one that was published is never made again. A new
// one has a new id, a new packing and a new file, beside those before it.
//
// Its history, the bytes that a body may refer to, is a stretch of records from the middle
// of the first journal, as they stand in a body. Its tables are those of the records of all
// journals, in batches of 30.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/klauspost/compress/zstd"

	"safemode/engine/journal"
)

const (
	history = 32 << 10 // bytes; twice as much packs no better
	batch   = 30       // records
)

func main() {
	id := flag.Uint("id", 0, "number of the dictionary")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if err := run(uint32(*id), *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "makedictionary:", err)
		os.Exit(1)
	}
}

func run(id uint32, out string, journals []string) error {
	if id == 0 || out == "" || len(journals) == 0 {
		return errors.New("want --id, --out and journals")
	}
	o := zstd.BuildDictOptions{ID: id, Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest}
	for i, path := range journals {
		bodies, err := read(path)
		if err != nil {
			return err
		}
		for _, b := range bodies[len(bodies)/3:] {
			if i == 0 && len(o.History) < history {
				o.History = append(o.History, b...)
			}
		}
		o.Contents = append(o.Contents, bodies...)
	}
	dictionary, err := zstd.BuildDict(o)
	if err != nil {
		return err
	}
	return os.WriteFile(out, dictionary, 0o644)
}

// read returns a journal's records as they stand in bodies, a batch each.
func read(path string) (bodies [][]byte, err error) {
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	var body []byte
	for r, err := range j.Records(context.Background(), 1) {
		if err != nil {
			return nil, err
		}
		begin := len(body)
		body = journal.AppendRecord(body, &r)
		check := sha256.Sum256(body[begin:]) // any hash will do
		body = append(body, check[:4]...)
		if r.Seq%batch == 0 {
			bodies, body = append(bodies, body), nil
		}
	}
	if len(bodies) == 0 {
		return nil, fmt.Errorf("%s: too few records", path)
	}
	return bodies, nil
}
