package runner

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

// Arming in quarantine is to be deleted, not released: the read it rests on has grown
// old. Until it is, the service is not resumed; then the supply is read and armed again.
func TestQuarantinedArmIsNotReleasedStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := cutOff()
		w := newWorld(t, d)
		caught := 0
		w.OnFlight = func(f *flight) fate {
			if f.Service != arm || caught > 0 {
				return answered
			}
			caught++
			w.Inbox = append(w.Inbox, heldBack(f.ID, "77"))
			return lost
		}
		s := w.open()
		err := w.steer(t, s, func(give func(record.OrderBody) error) {
			for len(s.Status().Quarantine) == 0 {
				time.Sleep(time.Second)
			}
			st := s.Status()
			if len(st.Holds) != 1 || !strings.Contains(st.Holds[0].Reason, "deleted, not released") {
				t.Errorf("holds %+v", st.Holds)
			}
			time.Sleep(2 * time.Minute) // over a minute: the read is old
			if st = s.Status(); !slices.Equal(st.Delete, []string{"77"}) {
				t.Errorf("to be deleted: %v", st.Delete)
			}
			if err := give(record.OrderBody{Action: record.OrderResume, SRV: "7.3"}); !errors.Is(err, sweep.ErrOrder) || !strings.Contains(err.Error(), "deleted --reference 77") {
				t.Errorf("resumed while it could be released: %v", err)
			}
			if err := give(record.OrderBody{Action: record.OrderDeleted, Reference: "77"}); err != nil {
				t.Error(err)
			}
			if err := give(record.OrderBody{Action: record.OrderResume, SRV: "7.3"}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		wantEmpty(t, s)
		if n := len(w.SentIn(record.SignedCommand, arm)); n != 2 || d.Supply != servicerequests.Armed || len(s.Status().Delete) != 0 {
			t.Errorf("7.3 was signed %d times, the supply is %v, to be deleted %v", n, d.Supply, s.Status().Delete)
		}
	})
}

// The DCC says that it holds a request back when the sweep has given it up: that is in
// the journal and in the status, also after a restart, until a person says that it was
// deleted or the device answers after all.
func TestQuarantineThatIsToldLate(t *testing.T) {
	for name, answers := range map[string]bool{"deleted": false, "released all the same": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := street(t, 3, nil)
				w.Policy.Retry = ledger.PerFuel[[]time.Duration]{Electricity: []time.Duration{time.Hour}, Gas: []time.Duration{time.Hour}}
				var lostOne *flight
				w.OnFlight = func(f *flight) fate {
					if f.Service == servicerequests.SwitchToCredit && lostOne == nil {
						lostOne = f
						return lost
					}
					return answered
				}
				s := w.open()
				if err := w.steer(t, s, func(give func(record.OrderBody) error) {
					time.Sleep(2 * w.Policy.ResponseWait.Electricity)
					w.Mu.Lock()
					w.Inbox = append(w.Inbox, heldBack(lostOne.ID, "late"))
					w.Mu.Unlock()
					time.Sleep(time.Minute)
					st := s.Status()
					if !slices.Equal(st.Delete, []string{"late"}) || len(st.Quarantine) != 0 || len(st.Holds) != 1 || st.Holds[0].Scope != "SRV 1.6" {
						t.Errorf("status %+v", st)
					}
					if err := give(record.OrderBody{Action: record.OrderStop}); err != nil {
						t.Error(err)
					}
				}); !errors.Is(err, sweep.ErrStopped) {
					t.Fatalf("ended with %v", err)
				}
				var told bool
				for _, r := range w.SentIn(record.Operator) {
					body, err := record.Decode[record.OrderBody](r)
					told = told || err == nil && body.Cause == record.CauseQuarantine && strings.Contains(body.Reason, "event reference late")
				}
				if !told {
					t.Error("the journal does not say it")
				}
				w.Disk.Close()
				s = w.open()
				if err := w.steer(t, s, func(give func(record.OrderBody) error) {
					time.Sleep(time.Minute)
					if st := s.Status(); !slices.Equal(st.Delete, []string{"late"}) {
						t.Errorf("after a restart: %v", st.Delete)
					}
					if answers {
						w.Mu.Lock()
						w.Inbox = append(w.Inbox, w.Targets[lostOne.ID.Target].Respond(time.Now(), lostOne.Service, lostOne.ID, true))
						w.Mu.Unlock()
					} else if err := give(record.OrderBody{Action: record.OrderDeleted, Reference: "late"}); err != nil {
						t.Error(err)
					}
					time.Sleep(5 * time.Second)
					if st := s.Status(); len(st.Delete) != 0 {
						t.Errorf("still to be deleted: %v", st.Delete)
					}
					if err := give(record.OrderBody{Action: record.OrderResume, SRV: "1.6"}); err != nil {
						t.Error(err)
					}
				}); err != nil {
					t.Fatal(err)
				}
				wantEmpty(t, s)
				for _, d := range w.Devices {
					if d.Mode != servicerequests.Credit {
						t.Errorf("%v is in %v", d.EUI, d.Mode)
					}
				}
			})
		})
	}
}
