package sweep

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// transfers has the homes that leave the supplier, each on its day. A home on the list is left
// alone from a margin before its day: its open requests are withdrawn, and package exchange
// sends none of them. On that day or later an E4 of the DCC is expected. Of other homes it is
// not, and only those E4 count for the tripwire.
type transfers struct {
	listed map[servicerequests.EUI]record.Transfer
	due    []record.Transfer                // those still to be left alone, the next first
	told   map[servicerequests.EUI]struct{} // a DCC Alert says so
	record.TransferCounts
}

// takeTransfers takes in a list, which replaces the one before, and records the changes.
func (s *Machine) takeTransfers(all []record.Transfer) {
	t := &s.transfers
	o := record.OrderBody{Action: record.OrderTransfers, By: record.BySweep, Cause: record.CauseTransfer}
	listed := map[servicerequests.EUI]record.Transfer{}
	for _, home := range all {
		if len(s.store.at.of(home.Device)) == 0 {
			continue
		}
		listed[home.Device] = home
		if was, ok := t.listed[home.Device]; !ok || was != home {
			o.Transfers = append(o.Transfers, home)
		}
	}
	for device := range t.listed {
		if _, still := listed[device]; !still {
			o.Devices = append(o.Devices, device)
		}
	}
	slices.Sort(o.Devices)
	if len(o.Transfers) == 0 && len(o.Devices) == 0 {
		return
	}
	o.Reason = fmt.Sprintf("%d homes of the plan are to leave by the list of transfers", len(listed))
	s.record(o)
	s.apply(o, s.now)
}

// applyTransfers applies a change of the list.
func (s *Machine) applyTransfers(o record.OrderBody) {
	t := &s.transfers
	for _, home := range o.Transfers {
		t.listed[home.Device] = home
	}
	for _, device := range o.Devices {
		delete(t.listed, device)
	}
	t.Listed = len(t.listed)
	t.due = slices.SortedFunc(maps.Values(t.listed), func(a, b record.Transfer) int {
		return cmp.Or(a.Leave.Compare(b.Leave), a.Effective.Compare(b.Effective), cmp.Compare(a.Device, b.Device))
	})
}

// leaveDue leaves alone the homes that are due. One that is left alone already stays as it is.
func (s *Machine) leaveDue() {
	t := &s.transfers
	for len(t.due) > 0 && !s.now.Before(t.due[0].Leave) {
		day := t.due[0].Effective
		var devices []servicerequests.EUI
		for len(t.due) > 0 && !s.now.Before(t.due[0].Leave) && t.due[0].Effective.Equal(day) {
			if m := s.find(t.due[0].Device); m != nil && (m.Bars.Excluded == "" || m.Bars.Moved) {
				devices = append(devices, t.due[0].Device)
			}
			t.due = t.due[1:]
			s.sleepSome()
		}
		if len(devices) > 0 {
			s.leave(devices, record.ReasonLeaves+" on "+day.UTC().Format(time.RFC3339), "")
		}
	}
}

// leave leaves homes alone, without a person's order.
func (s *Machine) leave(devices []servicerequests.EUI, reason, reference string) {
	o := record.OrderBody{Action: record.OrderExclude, By: record.BySweep, Cause: record.CauseTransfer, Devices: devices, Reason: reason, Reference: reference}
	s.record(o)
	s.apply(o, s.now)
	s.leaveAlone(devices)
}

// applyLeave takes in that homes are left alone because they leave. A home that was left alone
// before, by the list or by a person, is not counted again.
func (s *Machine) applyLeave(o record.OrderBody) {
	for _, device := range o.Devices {
		if m := s.find(device); m != nil && (m.Bars.Excluded == "" || m.Bars.Moved) {
			s.transfers.Left++
		}
		s.sleepSome()
	}
	if o.Reference == "" {
		return
	}
	for _, device := range o.Devices {
		s.transfers.told[device] = struct{}{}
		if _, listed := s.transfers.listed[device]; listed {
			s.transfers.Confirmed++
		}
	}
}

// nextLeave is when the next home must be left alone; zero: none.
func (t *transfers) nextLeave() time.Time {
	if len(t.due) == 0 {
		return time.Time{}
	}
	return t.due[0].Leave
}

// lastInstant is the last instant at which anything may be sent to a meter; zero: no limit.
func (t *transfers) lastInstant(device servicerequests.EUI) time.Time {
	home, ok := t.listed[device]
	if !ok {
		return time.Time{}
	}
	return home.Leave.Add(-1)
}

// expects says whether an E4 of the DCC about a home is expected at an instant.
func (t *transfers) expects(device servicerequests.EUI, at time.Time) bool {
	_, told := t.told[device]
	home, listed := t.listed[device]
	return told || listed && !at.Before(home.Effective)
}

// refusedAs counts an E4.
func (t *transfers) refusedAs(expected bool) {
	if expected {
		t.Expected++
	} else {
		t.Unexpected++
	}
}

// takeChange takes in the DCC's alert of a change of supplier. The home of a planned meter has
// left, and is left alone, whether it is on the list or not.
func (s *Machine) takeChange(h Heard, c duis.ChangeOfSupplier) {
	s.unmatched(h)
	m := s.find(c.Device)
	if c.Device == 0 || m == nil || m.Device != c.Device {
		return
	}
	if _, again := s.transfers.told[c.Device]; again {
		return
	}
	if _, listed := s.transfers.listed[c.Device]; !listed {
		s.log.Warn("a home that no list of transfers names has left", zap.Stringer("device_id", c.Device))
	}
	s.leave([]servicerequests.EUI{c.Device}, record.ReasonTransferred+" ("+h.DCCAlert.Code+", change of supplier)", fmt.Sprintf("message %d", h.Seq))
}
