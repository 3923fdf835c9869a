package engine

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"safemode/engine/custody"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
)

// A halt and a cease are in the custody's book as soon as the journal is told of them,
// whichever way; nothing else is.
func TestCustodyHeedsHaltAndCease(t *testing.T) {
	dir := t.TempDir()
	book, err := custody.MakeBook(durable.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(dir, "journal.db"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	e := &Engine{journal: j, book: book, o: Options{Plan: &plan.Plan{SHA256: "p"}, Log: zap.NewNop()}}
	a := newAlarmed(j, e.heed, prometheus.NewRegistry())
	now := time.Now()
	a.Append(record.Record{At: now, Kind: record.Operator, Code: record.OrderPause, Body: record.Encode(record.OrderBody{Action: record.OrderPause})})
	a.Append(record.Record{At: now, Kind: record.Halted, Body: record.Encode(record.HaltedBody{Reason: "a gate"})})
	if err := a.Commit(t.Context(), record.Record{
		At: now, Kind: record.Operator, Code: record.OrderCease, Body: record.Encode(record.OrderBody{Action: record.OrderCease, Reference: "notice 12"}),
	}); err != nil {
		t.Fatal(err)
	}
	again, err := custody.OpenBook(durable.Folder(dir))
	if err != nil {
		t.Fatal(err)
	}
	got := again.Entries()[1:]
	if len(got) != 2 || got[0].Act != custody.Halted || got[0].Reason != "a gate" || got[1].Act != custody.Ceased || got[1].Reason != "notice 12" ||
		got[0].Journal != j.ID() || got[1].Plan != "p" {
		t.Errorf("%+v", got)
	}
}
