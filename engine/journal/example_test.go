package journal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"safemode/engine/journal"
	"safemode/engine/record"
)

// Once Commit has returned, the records are on the disk, and every reader finds them under the
// same hash.
func Example() {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "journal.db")
	j, err := journal.Open(path, journal.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	err = j.Commit(context.Background(), record.Record{At: at, Kind: record.Reply, Code: "I0"}, record.Record{At: at.Add(time.Second), Kind: record.Reply, Code: "E20"})
	fmt.Println("committed:", j.Last(), err)
	tip := j.Tip()
	if err := j.Close(); err != nil {
		fmt.Println(err)
		return
	}

	reader, err := journal.OpenReadOnly(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer reader.Close()
	for r, err := range reader.Records(context.Background(), 1) {
		fmt.Println(r.Seq, r.At.Format(time.TimeOnly), r.Kind, r.Code, err)
	}
	fmt.Println("the same chain:", reader.Tip() == tip, reader.Verify(context.Background()))
	// Output:
	// committed: 2 <nil>
	// 1 03:00:00 reply I0 <nil>
	// 2 03:00:01 reply E20 <nil>
	// the same chain: true <nil>
}
