package sweep

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// The MPIDs move in the middle of a sweep: it halts within 300 answers, spends no
// retry, and touches no meter that had not begun. Once they are back, the meters
// that were refused in that run are asked again, and none is lost.
func TestTransferMidway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 400, func(i int, d *device) {
			if i%50 == 7 {
				d.balance = 0
			}
		})
		w.pace = rated(50 * time.Millisecond)
		w.options = func(o *Options) {
			o.Tripwires.Unregistered = Tripwire{Window: 200, Minimum: 10, Ratio: 0.2}
		}
		moved, posts, lone := false, 0, w.devices[20].eui
		w.post = func(p piece) fate {
			if p.id.Target == lone { // one that really is another supplier's
				return "E4"
			}
			if posts++; posts > 600 && !moved {
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
		if n := s.retries; n != 0 {
			t.Errorf("%d retries", n)
		}
		asked := map[servicerequests.EUI]bool{}
		for _, r := range w.sentIn(record.Request) {
			asked[r.Device] = true
		}
		excluded, begun := 0, 0
		for _, m := range s.ledgers() {
			if m.excluded != "" {
				excluded++
			}
			if !m.started.IsZero() {
				begun++
			}
			if m.started.IsZero() && asked[m.device] {
				t.Errorf("%v was asked and has not begun", m.device)
			}
		}
		if excluded != 1 || begun > 300 {
			t.Errorf("%d excluded, %d begun", excluded, begun)
		}
		w.disk.crash(len(w.disk.queued))
		w.mu.Lock()
		w.post = func(p piece) fate {
			if p.id.Target == lone {
				return "E4"
			}
			return taken
		}
		w.mu.Unlock()
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
			o.Tripwires.Unregistered = Tripwire{Window: 200, Minimum: 10, Ratio: 0.2}
		}
		w.post = func(p piece) fate {
			if d := w.targets[p.id.Target]; d != nil && d.eui.Bytes()[6]%24 == 5 {
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

// What the DCC signs is not believed, again and again: nothing more is sent.
func TestUnbelievedMessagesHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := street(t, 200, nil)
		w.options = func(o *Options) { o.Tripwires.Unverified = Tripwire{Window: 100, Minimum: 30, Ratio: 0.5} }
		w.flight = func(*flight) fate { return garbled }
		err := w.run(t.Context(), w.open())
		if !halted(err) || !strings.Contains(err.Error(), "not believed") {
			t.Fatalf("ended with %v", err)
		}
		trips := w.sentIn(record.Tripwire)
		if len(trips) != 1 || trips[0].Code != tripUnverified {
			t.Errorf("journal has %v", trips)
		}
	})
}
