package runner

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/engine/sweep/sweeptest"
	"safemode/servicerequests"
)

// The MPIDs move in the middle of a sweep: it halts within 300 answers, spends no
// retry, and touches no meter that had not begun. Once they are back, the meters
// that were refused in that run are asked again, and none is lost.
func TestTransferMidway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 400, func(i int, d *device) {
			if i%50 == 7 {
				d.Balance = 0
			}
		})
		w.OnTake = rated(50 * time.Millisecond)
		w.options = func(o *Options) {
			o.Sweep.Tripwires.Unregistered = sweep.Tripwire{Window: 200, Minimum: 10, Ratio: 0.2}
		}
		moved, posts, lone := false, 0, w.Devices[20].EUI
		w.OnPost = func(p piece) fate {
			if p.ID.Target == lone { // one that really is another supplier's
				return "E4"
			}
			if posts++; posts > 250 && !moved {
				moved = true
				posts = 0
			}
			if moved {
				return "E4"
			}
			return taken
		}
		s := w.open()
		err := w.run(t.Context(), s)
		if !halted(err) || !strings.Contains(err.Error(), "market participant IDs have moved") {
			t.Fatalf("ended with %v", err)
		}
		if posts > 300 {
			t.Errorf("%d answers after the transfer", posts)
		}
		if n := s.Status().Retries; n != 0 {
			t.Errorf("%d retries", n)
		}
		asked := map[servicerequests.EUI]bool{}
		for _, r := range w.SentIn(record.Request) {
			asked[r.Device] = true
		}
		excluded, begun := 0, len(asked)
		w.Disk.Close()
		replayed, _ := w.replay(nil)
		story, err := sweeptest.StoryOf(replayed.machine, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range story.Meters {
			if m.Excluded != "" {
				excluded++
			}
		}
		if excluded != 1 || begun > 300 {
			t.Errorf("%d excluded, %d begun", excluded, begun)
		}
		w.Disk.Close()
		w.Mu.Lock()
		w.OnPost = func(p piece) fate {
			if p.ID.Target == lone {
				return "E4"
			}
			return taken
		}
		w.Mu.Unlock()
		s = w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
		if st := s.Status(); st.Verdicts[record.VerdictExcluded] != 1 || st.Verdicts[record.VerdictOnSupply] != 399 {
			t.Errorf("verdicts %v", st.Verdicts)
		}
	})
}

// Some meters of any portfolio are another supplier's. They trip nothing.
func TestSomeTransfersTripNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 300, nil)
		w.options = func(o *Options) {
			o.Sweep.Tripwires.Unregistered = sweep.Tripwire{Window: 200, Minimum: 10, Ratio: 0.2}
		}
		w.OnPost = func(p piece) fate {
			if d := w.Targets[p.ID.Target]; d != nil && d.EUI.Bytes()[6]%24 == 5 {
				return "E4"
			}
			return taken
		}
		s := w.open()
		if err := w.run(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if n := s.Status().Verdicts[record.VerdictExcluded]; n < 8 {
			t.Errorf("%d excluded", n)
		}
	})
}

// Messages that the DCC has signed cannot be proven, again and again: nothing more is sent.
func TestUnbelievedMessagesHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 200, nil)
		w.options = func(o *Options) { o.Sweep.Tripwires.Unverified = sweep.Tripwire{Window: 100, Minimum: 30, Ratio: 0.5} }
		w.OnFlight = func(*flight) fate { return garbled }
		err := w.run(t.Context(), w.open())
		if !halted(err) || !strings.Contains(err.Error(), "cannot be proven") {
			t.Fatalf("ended with %v", err)
		}
		trips := w.SentIn(record.Tripwire)
		if len(trips) != 1 || trips[0].Code != "unverified" {
			t.Errorf("journal has %v", trips)
		}
	})
}
