package sweep

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// heldBack is the DCC's alert that it holds a request back.
func heldBack(id servicerequests.RequestID, ref string) proof.Delivery {
	return proof.Delivery{Signed: true, DCCAlert: &duis.DCCAlert{
		Code: alertQuarantine, Event: duis.QuarantinedRequest{Breach: duis.UserThreshold, Request: id, EventRef: ref},
	}}
}

// Arming in quarantine is to be deleted, not released: the read it rests on has grown
// old. Until it is, the service is not resumed; then the supply is read and armed anew.
func TestQuarantinedArmIsNotReleasedStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := cutOff()
		w := newWorld(t, d)
		caught := 0
		w.flight = func(f *flight) fate {
			if f.service != arm || caught > 0 {
				return answered
			}
			caught++
			w.inbox = append(w.inbox, heldBack(f.id, "77"))
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
			if err := give(record.OrderBody{Action: record.OrderResume, SRV: "7.3"}); !errors.Is(err, ErrOrder) || !strings.Contains(err.Error(), "deleted --reference 77") {
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
		if n := len(w.sentIn(record.SignedCommand, arm)); n != 2 || d.supply != servicerequests.Armed || len(s.Status().Delete) != 0 {
			t.Errorf("7.3 was signed %d times, the supply is %v, to be deleted %v", n, d.supply, s.Status().Delete)
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
				w.policy.Retry = PerFuel[[]time.Duration]{Electricity: []time.Duration{time.Hour}, Gas: []time.Duration{time.Hour}}
				var lostOne *flight
				w.flight = func(f *flight) fate {
					if f.service == servicerequests.SwitchToCredit && lostOne == nil {
						lostOne = f
						return lost
					}
					return answered
				}
				s := w.open()
				if err := w.steer(t, s, func(give func(record.OrderBody) error) {
					time.Sleep(2 * w.policy.ResponseWait.Electricity)
					w.mu.Lock()
					w.inbox = append(w.inbox, heldBack(lostOne.id, "late"))
					w.mu.Unlock()
					time.Sleep(time.Minute)
					st := s.Status()
					if !slices.Equal(st.Delete, []string{"late"}) || len(st.Quarantine) != 0 || len(st.Holds) != 1 || st.Holds[0].Scope != "SRV 1.6" {
						t.Errorf("status %+v", st)
					}
					if err := give(record.OrderBody{Action: record.OrderStop}); err != nil {
						t.Error(err)
					}
				}); !errors.Is(err, ErrStopped) {
					t.Fatalf("ended with %v", err)
				}
				var told bool
				for _, r := range w.sentIn(record.Operator) {
					body, err := record.Decode[record.OrderBody](r)
					told = told || err == nil && body.Cause == record.CauseQuarantine && strings.Contains(body.Reason, "event reference late")
				}
				if !told {
					t.Error("the journal does not say it")
				}
				w.disk.crash(len(w.disk.queued))
				s = w.open()
				if err := w.steer(t, s, func(give func(record.OrderBody) error) {
					time.Sleep(time.Minute)
					if st := s.Status(); !slices.Equal(st.Delete, []string{"late"}) {
						t.Errorf("after a restart: %v", st.Delete)
					}
					if answers {
						w.mu.Lock()
						w.inbox = append(w.inbox, w.targets[lostOne.id.Target].respond(lostOne.service, lostOne.id, true))
						w.mu.Unlock()
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
				for _, d := range w.devices {
					if d.mode != servicerequests.Credit {
						t.Errorf("%v is in %v", d.eui, d.mode)
					}
				}
			})
		})
	}
}
