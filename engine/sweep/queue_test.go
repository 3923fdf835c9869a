package sweep

import (
	"slices"
	"testing"

	"safemode/engine/ledger"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// first takes the first half out of the queues that were not tried.
func (l *regionQueue) first(t *testing.T, tried *[len(record.Endpoints) + 1]bool) (r *request, e record.Endpoint) {
	t.Helper()
	e, ok := l.fresh.first(tried)
	if !ok {
		t.Fatal("nothing to serve, though the regionQueue is not empty")
	}
	r = l.fresh[e][0]
	l.remove(r)
	return r, e
}

func queuedOf(m *meter, service servicerequests.Service) *request {
	return m.tag(&ledger.Request{Service: service, Phase: ledger.Queued})
}

func gasMeter() *meter {
	return &meter{Meter: ledger.New(0x00DB1234567890A1, record.TargetBody{Type: servicerequests.GSME}), position: nowhere}
}

// Where the User's limit binds, what waits longest goes first, whichever of the DCC's
// services it is for.
func TestQueueServesWhatHasWaitedLongest(t *testing.T) {
	l, m := &regionQueue{}, gasMeter()
	var want, got []servicerequests.Service
	for range 3 {
		for _, service := range [...]servicerequests.Service{servicerequests.ReadInventory, supply, to} {
			l.push(queuedOf(m, service), ledger.Risk{})
			want = append(want, service)
		}
	}
	for l.len() > 0 {
		r, _ := l.first(t, new([len(record.Endpoints) + 1]bool))
		got = append(got, r.Service)
	}
	if !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

// A service that is held up does not hold up the others.
func TestQueuePassesOverWhatWasTried(t *testing.T) {
	l, m := &regionQueue{}, gasMeter()
	l.push(queuedOf(m, servicerequests.ReadInventory), ledger.Risk{})
	l.push(queuedOf(m, supply), ledger.Risk{})
	var tried [len(record.Endpoints) + 1]bool
	for _, want := range [...]record.Endpoint{record.NonDevice, record.SendCommand} {
		if _, e := l.first(t, &tried); e != want {
			t.Fatalf("serves %v; want %v", e, want)
		}
		tried[want] = true
	}
	if e, ok := l.fresh.first(&tried); ok {
		t.Errorf("serves %v again", e)
	}
}

// A request that is put aside is in no queue, and goes back into its region's queue.
// It can be taken out from among those put aside.
func TestParking(t *testing.T) {
	d := newDrive(healthy())
	d.OnTake = never
	d.start()
	q := &d.m.queues
	r := d.m.ledger(0).openOf(supply)
	regionQueue := q.regionQueue(r.m)
	other := queuedOf(r.m, mode)
	q.push(other, ledger.Risk{})
	q.park(r)
	q.park(other)
	q.remove(r) // from the middle
	if regionQueue.len() != 0 || len(q.parked) != 1 || r.parked || r.place != nowhere || other.place != 0 || !other.parked {
		t.Fatalf("%d queued, %d parked", regionQueue.len(), len(q.parked))
	}
	q.park(r)
	d.m.unpark()
	if regionQueue.len() != 2 || len(q.parked) != 0 || r.parked || r.place == nowhere {
		t.Errorf("%d queued, %d parked", regionQueue.len(), len(q.parked))
	}
}
