package benchmarks_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// BenchmarkJournalCommit measures one transaction: hashing, inserts, commit and
// fsync. The body of 600 bytes is about that of an acknowledgement, 2,600 that of a
// signed command.
func BenchmarkJournalCommit(b *testing.B) {
	for _, size := range [...]int{0, 600, 2600} {
		for _, batch := range [...]int{1, 20, 100, 1000} {
			b.Run(fmt.Sprintf("body=%d/batch=%d", size, batch), func(b *testing.B) {
				j, err := journal.Open(filepath.Join(b.TempDir(), "journal.db"), journal.Options{Linger: time.Nanosecond})
				if err != nil {
					b.Fatal(err)
				}
				defer j.Close()
				records := make([]record.Record, batch)
				for i := range records {
					records[i] = request(uint64(i)+1, size)
				}
				b.ReportAllocs()
				n, start := 0, cpuTime(b)
				defer func() { b.ReportMetric(float64(cpuTime(b)-start)/float64(n*batch), "cpu-ns/record") }()
				for b.Loop() {
					n++
					if err := j.Commit(b.Context(), records...); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkJournalRecords measures reading one record with its chain check.
func BenchmarkJournalRecords(b *testing.B) {
	j, err := journal.Open(filepath.Join(b.TempDir(), "journal.db"), journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	for i := range uint64(10_000) {
		j.Append(request(i+1, 600))
	}
	if err := j.Commit(b.Context(), request(10_001, 600)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; n%10_000 != 0 {
			continue
		}
		for _, err := range j.Records(b.Context(), 2) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

// cpuTime is what the process has used so far: on a shared machine it says
// more than the clock.
func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func request(counter uint64, size int) record.Record {
	device := servicerequests.EUI(0x00DB1234567890A0 + counter)
	return record.Record{
		At: time.Unix(1_800_000_000, 0), Kind: record.Request, Device: device, Service: servicerequests.SwitchToCredit,
		ID:   servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: device, Counter: counter},
		Body: bytes.Repeat([]byte{'x'}, size),
	}
}
