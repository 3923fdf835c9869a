package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/table"
)

// Listed is what somebody else's list says of one device.
type Listed struct {
	Status string    // as the list has it; may be empty
	MPxN   string    // may be empty
	Date   time.Time // of a transfer: when it takes effect; zero: it has, or it is not said

	Incoming string // of a transfer: MPID of the next supplier; may be empty
}

// List is an inventory or a list of transferred meters, by device.
type List map[servicerequests.EUI]Listed

// ReadList reads a CSV with a header line. device_id is required; device_status, mpxn,
// transfer_date (like 2026-11-30) and incoming_mpid are optional, and other columns are not looked at. The
// error joins every fault with its line.
func ReadList(r io.Reader) (List, error) {
	in := table.NewReader(r)
	header, err := in.Header([]string{"device_id"})
	if err != nil {
		return nil, fmt.Errorf("list %w", err)
	}
	column := map[string]int{}
	for i, name := range header {
		column[name] = i
	}
	field := func(row []string, name string) string {
		if i, ok := column[name]; ok {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	list := List{}
	var faults []error
	for {
		row, line, err := in.Next()
		if errors.Is(err, io.EOF) {
			return list, errors.Join(faults...)
		}
		if err != nil {
			return nil, errors.Join(append(faults, fmt.Errorf("list %w", err))...)
		}
		if len(row) != len(header) {
			faults = append(faults, fmt.Errorf("line %d: %d fields where the header has %d", line, len(row), len(header)))
			continue
		}
		eui, err := servicerequests.ParseEUI(field(row, "device_id"))
		if _, double := list[eui]; err == nil && double {
			err = fmt.Errorf("device %v is in the list already", eui)
		}
		var date time.Time
		if text := field(row, "transfer_date"); err == nil && text != "" {
			if date, err = clock.ParseDay(text); err != nil {
				err = fmt.Errorf("transfer_date %q: %w", text, err)
			}
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		list[eui] = Listed{
			Status: strings.Clone(field(row, "device_status")), MPxN: strings.Clone(field(row, "mpxn")), Date: date, Incoming: strings.Clone(field(row, "incoming_mpid")),
		}
	}
}

// Reconciled is one device in which journal and lists do not say the same.
type Reconciled struct {
	Device  servicerequests.EUI
	MPxN    string
	Verdict string // empty: not planned
	Finding string
}

// Reconciliation compares the journal with the DCC's inventory and the next
// supplier's list of transferred meters. A nil list is not compared.
type Reconciliation struct {
	Environment                 string // simulator or live
	Planned                     int
	Inventory, Transfers        int // devices in the lists
	ComparedInventory, Compared bool
	Differences                 []Reconciled // by finding, then by device
}

// Findings of a reconciliation.
const (
	findingNotInInventory = "planned, and not in the inventory"
	findingNotPlanned     = "in the inventory, and not planned"
	findingStatus         = "planned, and not commissioned in the inventory"
	findingMPxN           = "the plan's MPxN is not the list's"
	findingNotExcluded    = "transferred by the list, and not excluded by the sweep"
	findingNotTransferred = "excluded as transferred, and not in the list of transfers"
)

// Reconcile compares; nil lists are left out.
func (r *Report) Reconcile(inventory, transfers List) Reconciliation {
	c := Reconciliation{
		Environment: r.Summary.Environment, Planned: len(r.Meters), Inventory: len(inventory), Transfers: len(transfers),
		ComparedInventory: inventory != nil, Compared: transfers != nil,
	}
	planned := make(map[servicerequests.EUI]bool, len(r.Meters))
	for i := range r.Meters {
		m := &r.Meters[i]
		planned[m.Device] = true
		found := func(finding string) {
			c.Differences = append(c.Differences, Reconciled{m.Device, m.Target.MPxN, m.Verdict.Verdict, finding})
		}
		there, listed := inventory[m.Device]
		moved, transferred := transfers[m.Device]
		if inventory != nil {
			switch {
			case !listed:
				found(findingNotInInventory)
			case there.Status != "" && there.Status != "Commissioned":
				found(findingStatus)
			}
		}
		if there.MPxN != "" && there.MPxN != m.Target.MPxN || moved.MPxN != "" && moved.MPxN != m.Target.MPxN {
			found(findingMPxN)
		}
		if transfers != nil {
			switch excluded := m.transferredAt(r.Last); {
			case transferred && !moved.Date.After(r.Last) && m.Verdict.Verdict != record.VerdictExcluded && m.Leaving.LeftAlone.IsZero():
				found(findingNotExcluded)
			case excluded && !transferred:
				found(findingNotTransferred)
			}
		}
	}
	for device, there := range inventory {
		if !planned[device] {
			c.Differences = append(c.Differences, Reconciled{device, there.MPxN, "", findingNotPlanned})
		}
	}
	slices.SortFunc(c.Differences, func(a, b Reconciled) int {
		return cmp.Or(cmp.Compare(a.Finding, b.Finding), cmp.Compare(a.Device, b.Device))
	})
	return c
}

// count is the number of devices for each finding.
func (c Reconciliation) count() (counts []ReasonMeters) {
	for _, d := range c.Differences {
		if n := len(counts); n == 0 || counts[n-1].Reason != d.Finding {
			counts = append(counts, ReasonMeters{Reason: d.Finding})
		}
		counts[len(counts)-1].Meters++
	}
	return counts
}

// WriteCSV writes a line for each difference: device_id, mpxn, verdict, finding.
func (c Reconciliation) WriteCSV(w io.Writer) error {
	out := table.NewWriter(w)
	out.Write("device_id", "mpxn", "verdict", "finding")
	for _, d := range c.Differences {
		out.Write(d.Device.String(), d.MPxN, d.Verdict, d.Finding)
	}
	return out.End()
}
