package report

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// Leaving is what is known of a meter whose home leaves the supplier; the zero value: nothing.
// A time is zero if the event did not happen.
type Leaving struct {
	Day       time.Time // by the list of transfers that the sweep had
	Incoming  string    // MPID of the next supplier, by that list
	LeftAlone time.Time // when the sweep began to leave it alone, by the list or the DCC's alert
	Told      time.Time // when a DCC Alert said that it had left
	Refused   time.Time // when the DCC refused a request of it first (E4)
	Expected  bool      // of Refused: the list or an alert had said so
}

// Left counts the meters whose homes leave.
type Left struct {
	Listed     int `json:"listed"`        // by the list of transfers that the sweep had
	LeftAlone  int `json:"left_alone"`    // by the list or a DCC Alert
	Told       int `json:"told"`          // a DCC Alert said so
	Refused    int `json:"refused"`       // E4
	Unexpected int `json:"unexpected_e4"` // part of Refused: neither list nor alert had said so
}

// leaves takes in what an order of the sweep's own says of homes that leave.
func (f *reading) leaves(at time.Time, o record.OrderBody) {
	switch {
	case o.Action == record.OrderTransfers:
		for _, t := range o.Transfers {
			l := &f.meter(t.Device).Leaving
			l.Day, l.Incoming = t.Effective, t.Incoming
		}
		for _, device := range o.Devices {
			l := &f.meter(device).Leaving
			l.Day, l.Incoming = time.Time{}, ""
		}
	case o.Action == record.OrderExclude && o.Cause == record.CauseTransfer:
		for _, device := range o.Devices {
			l := &f.meter(device).Leaving
			if l.LeftAlone.IsZero() {
				l.LeftAlone = at
			}
			if o.Reference != "" {
				l.Told = at
			}
		}
	}
}

// refusedAs takes in that the DCC said E4 of a meter. In a run of them it says more of the
// supplier.
func (m *Meter) refusedAs(at time.Time, o record.OutcomeBody) {
	l := &m.Leaving
	if o.Tripped || o.Class != record.ClassRejected || servicerequests.ResponseCode(o.Code).Class() != servicerequests.CodeUnregistered || !l.Refused.IsZero() {
		return
	}
	l.Refused, l.Expected = at, o.Expected
}

// countLeft counts; nil where no home leaves.
func (r *Report) countLeft() *Left {
	var n Left
	for i := range r.Meters {
		l := &r.Meters[i].Leaving
		count := func(to *int, is bool) {
			if is {
				*to++
			}
		}
		count(&n.Listed, !l.Day.IsZero())
		count(&n.LeftAlone, !l.LeftAlone.IsZero())
		count(&n.Told, !l.Told.IsZero())
		count(&n.Refused, !l.Refused.IsZero())
		count(&n.Unexpected, !l.Refused.IsZero() && !l.Expected)
	}
	if n == (Left{}) {
		return nil
	}
	return &n
}

func (n *Left) writeText(out io.Writer, meters int) {
	fmt.Fprintf(out, "Homes that leave (transfers.csv): of %d meters %d are on the list of transfers, %d left alone, %d left by a DCC Alert, %d refused with E4, of these %d unexpected.\n",
		meters, n.Listed, n.LeftAlone, n.Told, n.Refused, n.Unexpected)
}

// listed is the list of transfers that the sweep had; nil where it had none.
func (r *Report) listed() List {
	var list List
	for i := range r.Meters {
		if m := &r.Meters[i]; !m.Leaving.Day.IsZero() {
			if list == nil {
				list = List{}
			}
			list[m.Device] = Listed{Date: m.Leaving.Day, Incoming: m.Leaving.Incoming}
		}
	}
	return list
}

// WriteTransfers writes transfers.csv: the homes that have left or will leave, when, and in
// which state. Days are those of list; nil: those of the list that the sweep had.
func (r *Report) WriteTransfers(w io.Writer, list List) error {
	if list == nil {
		list = r.listed()
	}
	rows := [][]string{{
		"device_id", "device_type", "mpxn", "csp_region", "transfer_date", "incoming_mpid", "left_alone_at", "told_at", "refused_at", "refusal_expected",
		"verdict", "reason", "as_of", "found_mode", "found_supply", "end_mode", "end_supply", "end_balance", "switched_at",
	}}
	for i := range r.Meters {
		m := &r.Meters[i]
		l, v := m.Leaving, m.Verdict
		named, is := list[m.Device]
		if !is && l == (Leaving{}) && !m.transferredAt(r.Last) {
			continue
		}
		expected := ""
		if !l.Refused.IsZero() {
			expected = strconv.FormatBool(l.Expected)
		}
		rows = append(rows, []string{
			m.Device.String(), m.Target.Type.String(), m.Target.MPxN, m.Target.Region.String(), timestamp(named.Date), named.Incoming,
			timestamp(l.LeftAlone), timestamp(l.Told), timestamp(l.Refused), expected,
			v.Verdict, v.Reason, timestamp(v.AsOf), v.Found.Mode.String(), v.Found.Supply.String(),
			v.End.Mode.String(), v.End.Supply.String(), pounds(v.End.Balance), timestamp(m.SwitchedAt),
		})
	}
	return table.NewWriter(w).WriteAll(rows)
}
