package plan

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"safemode/engine/direction"
	"safemode/engine/record"
	"safemode/servicerequests"
)

// Version of the file's format.
const Version = 3

// needs lists what a direction must permit for a strategy to make sense. Without
// the two reads no verdict could be proven.
func needs(s record.Strategy) []servicerequests.Service {
	reads := []servicerequests.Service{servicerequests.ReadSupplyStatus, servicerequests.ReadPaymentMode}
	switch s {
	case record.CreditMode:
		return append(reads, servicerequests.SwitchToCredit)
	case record.Full:
		return append(reads, servicerequests.SwitchToCredit, servicerequests.ActivateEmergencyCredit)
	case record.EmergencyCredit:
		return append(reads, servicerequests.ActivateEmergencyCredit)
	}
	return nil
}

// Plan is what a sweep does. It is frozen: change nothing in it.
type Plan struct {
	Header
	Targets  []Target   // in order
	Rejected []Rejected // in the portfolio's order
	SHA256   string     // the plan's hash
	// Signature is the preparer's over the hash ([Plan.Sign]); empty: the plan can be
	// rehearsed and not be swept.
	Signature []byte

	file string // for a plan with its targets still in the file: see [Open]
}

// Header is what holds for the plan as a whole.
type Header struct {
	Version     int                   `json:"version"`
	Environment string                `json:"environment"` // simulator or live
	CreatedAt   time.Time             `json:"created_at"`
	PreparedBy  direction.Signatory   `json:"prepared_by"` // the preparer, who may not approve it
	StartsAt    time.Time             `json:"starts_at"`   // where the estimate begins
	WindowEnds  []time.Time           `json:"window_ends"` // see [Options]
	Strategy    record.Strategy       `json:"strategy"`
	Originators []servicerequests.EUI `json:"originators"` // those the plan may use; the first is the default
	Direction   direction.Direction   `json:"direction"`
	Record      *direction.Record     `json:"direction_record,omitempty"` // the signed file that Direction was read from
	Limits      Limits                `json:"limits"`
	Bounds      Bounds                `json:"bounds"`
	Journal     string                `json:"journal_id"`        // of the one journal that may be begun with it, 32 hexadecimal digits; empty: it can only be rehearsed
	Custody     *Custody              `json:"custody,omitempty"` // that its counters come from; nil: it can only be rehearsed
	Content     string                `json:"content_sha256"`    // of what a journal holds of the lines below: see [Content]
	Places      string                `json:"seats_sha256"`      // of each meter's place: SHA-256 over the [record.PlannedMeter] of each target
	Waves       []Wave                `json:"waves"`
	Counts      Counts                `json:"counts"`
	Estimate    Estimate              `json:"estimate"`
}

// SweepID names the one sweep that a plan is for: the first twelve digits of its
// hash. People type it; approvals are of the whole hash.
func (p *Plan) SweepID() string { return p.SHA256[:min(len(p.SHA256), 12)] }

// Custody is the folder of counters that a plan is for.
type Custody struct {
	ID string `json:"id"`
	// Follows are the journals that held the counters of an originator when the plan was
	// made. A sweep that two have approved takes the counters over from these and from no other.
	Follows map[servicerequests.EUI]string `json:"follows,omitempty"`
}

// Bounds are the settings that must not be loosened once a plan is approved. Times are
// seconds.
type Bounds struct {
	ArmBalanceAtMost        servicerequests.Millipence `json:"arm_balance_at_most"`
	ArmFreshnessElectricity float64                    `json:"arm_freshness_electricity_seconds"`
	ArmFreshnessGas         float64                    `json:"arm_freshness_gas_seconds"`
	SwitchTries             int                        `json:"switch_tries"`
	ArmTries                int                        `json:"arm_tries"`
	RetriesElectricity      int                        `json:"retries_electricity"`
	RetriesGas              int                        `json:"retries_gas"`
	BalanceAfter            bool                       `json:"balance_after,omitempty"` // a balance is read after the switch, too

	// Settings are all others, by their path in the configuration. A plan of an older
	// program has none: the code that compares a configuration with it says what was bound.
	Settings map[string]float64 `json:"settings,omitempty"`
	// Sources are the files and URLs of evidence, by their path in the configuration. Those
	// named here must stay; others may be added.
	Sources map[string][]string `json:"sources,omitempty"`
}

// Counts sums the plan up. Homes are counted by hub.
type Counts struct {
	Targets     int `json:"targets"`
	Rejected    int `json:"rejected"`         // SMETS1 meters too
	SMETS1      int `json:"smets1,omitempty"` // rows of SMETS1 meters
	Homes       int `json:"homes"`
	Electricity int `json:"electricity"`
	Gas         int `json:"gas"`
	Prepayment  int `json:"claimed_prepayment"`
	Credit      int `json:"claimed_credit"`
	Unknown     int `json:"claimed_unknown"`
	Suppressed  int `json:"suppressed,omitempty"` // targets that are planned and not touched
}

// Target is one meter to be brought into safe mode. Its data are the portfolio's claims.
type Target struct {
	Order      int                         `json:"order"` // from 1
	Device     servicerequests.EUI         `json:"device_id"`
	Type       servicerequests.DeviceType  `json:"device_type"` // ESME or GSME
	Hub        servicerequests.EUI         `json:"chf_id"`
	MPxN       string                      `json:"mpxn"`
	Region     servicerequests.Region      `json:"csp_region"`
	Claimed    servicerequests.PaymentMode `json:"claimed_mode"`
	Priority   int                         `json:"priority"` // 0 first to 9
	Originator servicerequests.EUI         `json:"originator"`
	Source     string                      `json:"source,omitempty"`
	History    []string                    `json:"history,omitempty"`

	Proxy           servicerequests.EUI         `json:"gpf_id,omitzero"`
	BalanceEstimate *servicerequests.Millipence `json:"balance_estimate,omitempty"` // pounds
	BalanceAt       time.Time                   `json:"balance_at,omitzero"`
	LastTopUp       time.Time                   `json:"last_top_up,omitzero"`
	Supply          servicerequests.SupplyState `json:"supply_state,omitzero"`

	// Suppressed is a meter that must not be touched, whatever a configuration says later.
	Suppressed bool `json:"suppressed,omitempty"`

	Carried map[string]string `json:"carried,omitempty"`
}

// Rejected is a row of the portfolio of which nothing is sent.
type Rejected struct {
	Line   int    `json:"line"`      // of the portfolio, from 1
	Device string `json:"device_id"` // as the row has it
	Reason string `json:"reason"`

	// SMETS1 says that the row is of a meter of the first generation: a group of its own,
	// counted, shown and handed over.
	SMETS1  bool                        `json:"smets1,omitempty"`
	MPxN    string                      `json:"mpxn,omitempty"` // of a SMETS1 meter
	Hub     servicerequests.EUI         `json:"chf_id,omitzero"`
	Claimed servicerequests.PaymentMode `json:"claimed_mode,omitzero"`
}

// ErrTooManyMeters refuses a portfolio with more meters than the direction
// allows. It wraps [direction.ErrOutside].
var ErrTooManyMeters = fmt.Errorf("%w: too many meters", direction.ErrOutside)

// check checks a plan by every rule, except those of its order and its hashes.
func (p *Plan) check() error {
	if err := firstOf(p.Header.check(), p.checkTargets()); err != nil {
		return err
	}
	return p.checkWaves(len(p.Targets))
}

// checkTargets checks that the direction covers the targets.
func (p *Plan) checkTargets() error {
	if most := p.Direction.MaximumMeters; len(p.Targets) > most {
		return fmt.Errorf("%w: the plan has %d, %s allows %d", ErrTooManyMeters, len(p.Targets), p.Direction.Reference, most)
	}
	seen := make(map[servicerequests.EUI]bool, len(p.Targets))
	for i := range p.Targets {
		t := &p.Targets[i]
		if seen[t.Device] {
			return fmt.Errorf("target %d: device %v is in the plan already", i+1, t.Device)
		}
		if err := p.checkTarget(t); err != nil {
			return fmt.Errorf("target %d: %w", i+1, err)
		}
		seen[t.Device] = true
	}
	return nil
}

// checkTarget checks that the direction covers one target.
func (h *Header) checkTarget(t *Target) error {
	switch {
	case t.Device == 0 || t.Hub == 0 || t.MPxN == "" || t.Region == servicerequests.UnknownRegion ||
		t.Type != servicerequests.ESME && t.Type != servicerequests.GSME || t.Priority < 0 || t.Priority > 9:
		return errors.New("not a whole target")
	}
	if reason := h.refusal(t); reason != "" {
		return fmt.Errorf("device %v: %s", t.Device, reason)
	}
	return nil
}

// check checks a header by every rule, except those of its hashes.
func (h *Header) check() error {
	if h.Environment != "simulator" && h.Environment != "live" {
		return fmt.Errorf("environment %q: want simulator or live", h.Environment)
	}
	if err := h.Direction.Validate(); err != nil {
		return fmt.Errorf("direction: %w", err)
	}
	needs := needs(h.Strategy)
	if needs == nil {
		return fmt.Errorf("strategy %q: want credit_mode, full or emergency_credit", h.Strategy)
	}
	for _, s := range needs {
		if !slices.Contains(h.Direction.PermittedSRVs, s.SRV()) {
			return fmt.Errorf("%w: strategy %s needs SRV %v, which %s does not permit", direction.ErrOutside, h.Strategy, s, h.Direction.Reference)
		}
	}
	if len(h.Originators) == 0 {
		return errors.New("originators: want one or more")
	}
	for i, eui := range h.Originators {
		switch {
		case slices.Index(h.Originators, eui) != i:
			return fmt.Errorf("originator %v stands twice", eui)
		case !h.Direction.Names(eui):
			return fmt.Errorf("%w: %s does not name the identity %v", direction.ErrOutside, h.Direction.Reference, eui)
		}
	}
	if id, err := hex.DecodeString(h.Journal); h.Journal != "" && (err != nil || len(id) != 16) {
		return fmt.Errorf("journal_id %q: want 32 hexadecimal digits", h.Journal)
	}
	if h.StartsAt.IsZero() {
		return errors.New("starts_at: required")
	}
	if h.Record != nil {
		if err := h.Record.CheckText(&h.Direction); err != nil {
			return err
		}
	}
	return h.Limits.check()
}

// refusal says why the direction keeps a target out of the plan; it is empty
// where nothing does.
func (h *Header) refusal(t *Target) string {
	switch fuel := direction.FuelOf(t.Type); {
	case !slices.Contains(h.Direction.Fuels, fuel):
		return fmt.Sprintf("%s is not covered by the direction", fuel)
	case !slices.Contains(h.Originators, t.Originator):
		return fmt.Sprintf("no identity is configured for originator %v", t.Originator)
	}
	return ""
}

// count sums targets and rejected rows up.
func (p *Plan) count() Counts {
	c := Counts{}
	for i := range p.Rejected {
		c.reject(&p.Rejected[i])
	}
	homes := map[servicerequests.EUI]struct{}{}
	for i := range p.Targets {
		t := &p.Targets[i]
		homes[t.Hub] = struct{}{}
		c.add(t)
	}
	c.Homes = len(homes)
	return c
}

// reject counts a row of which nothing is sent.
func (c *Counts) reject(r *Rejected) {
	c.Rejected++
	if r.SMETS1 {
		c.SMETS1++
	}
}

// add counts a target, and not its home.
func (c *Counts) add(t *Target) {
	c.Targets++
	if t.Suppressed {
		c.Suppressed++
	}
	if direction.FuelOf(t.Type) == direction.Gas {
		c.Gas++
	} else {
		c.Electricity++
	}
	switch t.Claimed {
	case servicerequests.Prepayment:
		c.Prepayment++
	case servicerequests.Credit:
		c.Credit++
	default:
		c.Unknown++
	}
}

// header copies the maps and lists that the caller may change later.
func (o Options) header() Header {
	l := o.Limits
	l.Regions, l.Services, l.Thresholds = maps.Clone(l.Regions), maps.Clone(l.Services), maps.Clone(l.Thresholds)
	l.OverThreshold = cmp.Or(l.OverThreshold, Refuse)
	for srv, t := range l.Thresholds {
		t.Budget = cmp.Or(t.Budget, t.Count)
		l.Thresholds[srv] = t
	}
	h := Header{
		Version: Version, Environment: o.Environment, CreatedAt: o.CreatedAt.UTC().Round(0), PreparedBy: o.PreparedBy,
		Journal: o.Journal, Custody: o.Custody,
		StartsAt: o.StartsAt.UTC().Round(0), Strategy: o.Strategy,
		Originators: slices.Clone(o.Originators), Direction: o.Direction, Record: o.Record, Limits: l, Bounds: o.Bounds,
	}
	h.Bounds.Settings, h.Bounds.Sources = maps.Clone(h.Bounds.Settings), maps.Clone(h.Bounds.Sources)
	if o.StartsAt.IsZero() {
		h.StartsAt = h.CreatedAt
	}
	for _, end := range o.WindowEnds {
		h.WindowEnds = append(h.WindowEnds, end.UTC().Round(0))
	}
	slices.SortFunc(h.WindowEnds, time.Time.Compare)
	return h
}
