package sweep

import (
	"fmt"
	"testing"
	"time"

	"safemode/engine/record"
)

// Reasons are counted up to a bound, and what is counted together is taken back together.
func TestReasonsAreBounded(t *testing.T) {
	r := reasons{}
	verdict := func(i int) *record.VerdictBody {
		return &record.VerdictBody{Verdict: record.VerdictUnknown, Reason: fmt.Sprintf("no answer: E%d", i)}
	}
	for i := range mostReasons + 10 {
		r.count(verdict(i), 1)
	}
	r.count(&record.VerdictBody{Verdict: record.VerdictOnSupply, Reason: "r"}, 1)
	all := r.list()
	if len(all) != mostReasons+1 || all[0].Reason != otherReasons || all[0].Meters != 10 {
		t.Fatalf("%d reasons, first %+v", len(all), all[0])
	}
	for i := range mostReasons + 10 {
		r.count(verdict(i), -1)
	}
	if all = r.list(); len(all) != 0 {
		t.Errorf("left are %+v", all)
	}
}

// A region is silent that lets a run of requests end without an answer, and speaks again with
// the first one.
func TestRegionIsSilent(t *testing.T) {
	var h heardOf
	now := time.Unix(0, 0)
	for range mostMisses - 1 {
		h.ended(record.ClassNoResponse, now)
	}
	h.ended(record.ClassRejected, now) // the DCC's word, which says nothing of the region
	if h.miss != mostMisses-1 {
		t.Fatalf("%d misses", h.miss)
	}
	h.ended(record.ClassNoResponse, now)
	if h.miss < mostMisses {
		t.Error("it is not silent")
	}
	h.ended(record.ClassNegative, now.Add(time.Second)) // a device that refuses answers
	if h.miss != 0 || !h.at.Equal(now.Add(time.Second)) {
		t.Errorf("%+v", h)
	}
}
