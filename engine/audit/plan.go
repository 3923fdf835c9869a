package audit

import (
	"encoding/json"
	"slices"

	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// planned is what the journal says was to be done.
type planned struct {
	claim   Claim
	header  *plan.Header
	sha256  string
	opening *record.Opening // the first
	sweepID string
	targets map[servicerequests.EUI]*target
	rows    int // rejected
}

// target is a planned meter.
type target struct {
	body     record.TargetBody
	proxy    servicerequests.EUI // that an inventory named
	disabled bool                // a read said so
}

func (p *planned) take(r record.Record) {
	switch r.Kind {
	case record.Planned:
		header := new(plan.Header)
		if p.header != nil || r.Seq != 1 {
			p.claim.fault("record %d: a second plan", r.Seq)
			return
		}
		if err := json.Unmarshal(r.Body, header); err != nil {
			p.claim.fault("record %d: the plan's header cannot be read: %v", r.Seq, err)
			return
		}
		p.header, p.sha256 = header, r.Code
	case record.Target:
		body, err := record.Decode[record.TargetBody](r)
		switch {
		case err != nil:
			p.claim.fault("%v", err)
		case p.targets[r.Device] != nil:
			p.claim.fault("record %d: %v is planned twice", r.Seq, r.Device)
		case p.opening != nil:
			p.claim.fault("record %d: %v is planned after the sweep began", r.Seq, r.Device)
		default:
			p.targets[r.Device] = &target{body: body}
		}
		p.claim.Checked++
	case record.Rejected:
		p.rows++
	case record.Opened:
		p.open(r)
	}
}

// open compares a start with the plan and with the first start.
func (p *planned) open(r record.Record) {
	body, err := record.Decode[record.Opening](r)
	if err != nil {
		p.claim.fault("%v", err)
		return
	}
	if p.opening == nil {
		p.opening, p.sweepID = &body, body.SweepID
	}
	first := p.opening
	switch {
	case body.PlanSHA256 != p.sha256:
		p.claim.fault("record %d: opened for plan %.12s, the journal has %.12s", r.Seq, body.PlanSHA256, p.sha256)
	case body.SweepID != first.SweepID || body.Environment != first.Environment ||
		!body.ClockAnchor.Equal(first.ClockAnchor) || body.ClockSpeed != first.ClockSpeed:
		p.claim.fault("record %d: opened as another sweep, environment or clock", r.Seq)
	case p.header != nil && body.Environment != p.header.Environment:
		p.claim.fault("record %d: opened in environment %s, planned for %s", r.Seq, body.Environment, p.header.Environment)
	}
}

// end compares the lines with the header's sums.
func (p *planned) end(records uint64) {
	switch {
	case p.header == nil:
		p.claim.Note = "there is no plan in the journal"
		if records > 0 {
			p.claim.fault("no plan in %d records", records)
		}
	case p.opening == nil:
		p.claim.Note = "the sweep was not begun"
	case len(p.targets) != p.header.Counts.Targets || p.rows != p.header.Counts.Rejected:
		p.claim.fault("the plan has %d targets and %d rejected rows, the journal %d and %d",
			p.header.Counts.Targets, p.header.Counts.Rejected, len(p.targets), p.rows)
	}
}

// outside says why a signed body is outside plan and direction; empty if it is not.
func (p *planned) outside(r record.Record) string {
	switch {
	case p.header == nil:
		return "there is no plan"
	case p.opening == nil:
		return "the sweep was not begun"
	}
	m := p.targets[r.Device]
	if m == nil {
		return "the meter is not in the plan"
	}
	kind := m.body.Type
	switch {
	case r.ID.Originator != m.body.Originator || !slices.Contains(p.header.Originators, r.ID.Originator):
		return "the originator " + r.ID.Originator.String() + " is not the planned one"
	case r.Service == servicerequests.ReadInventory:
		kind = servicerequests.UnknownDevice // the DCC answers it
	case r.ID.Target == r.Device:
	case r.ID.Target != 0 && (r.ID.Target == m.proxy || r.ID.Target == m.body.Proxy) && !r.Service.Critical():
		kind = servicerequests.GPF
	default:
		return "the target " + r.ID.Target.String() + " is neither the meter nor its gas proxy"
	}
	d := &p.header.Direction
	if err := d.Permits(r.Service, kind, r.At); err != nil {
		return err.Error()
	}
	if fuel := direction.FuelOf(m.body.Type); !slices.Contains(d.Fuels, fuel) {
		return string(fuel) + " is not covered by the direction"
	}
	return ""
}

// environment is the one that plan and first start both name; empty: they do not, or one of
// them is not there.
func (p *planned) environment() string {
	if p.header == nil || p.opening == nil || p.header.Environment != p.opening.Environment {
		return ""
	}
	return p.opening.Environment
}
