package direction

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/strictyaml"
)

// ErrOutside is the error for a request that the direction does not cover.
var ErrOutside = errors.New("outside the direction")

// ErrNotInForce closes the gate: nothing may be sent before the direction
// begins or after it ends.
var ErrNotInForce = errors.New("direction not in force")

// Fuel is what a meter measures.
type Fuel string

// The fuels.
const (
	Electricity Fuel = "electricity"
	Gas         Fuel = "gas"
)

// FuelOf returns the fuel of a device; hubs have none.
func FuelOf(t servicerequests.DeviceType) Fuel {
	switch t {
	case servicerequests.ESME:
		return Electricity
	case servicerequests.GSME, servicerequests.GPF:
		return Gas
	}
	return ""
}

// Direction is what was directed. It round-trips through JSON: a plan carries
// the direction it was made under.
type Direction struct {
	Reference      string    `koanf:"reference" json:"reference"`
	Date           time.Time `koanf:"date" when:"day" json:"date"`
	IssuingBody    string    `koanf:"issuing_body" json:"issuing_body"`
	DocumentSHA256 string    `koanf:"document_sha256" json:"document_sha256"` // of the signed document, 64 hex digits
	Supplier       Supplier  `koanf:"supplier" json:"supplier"`
	SRP            string    `koanf:"srp" json:"srp"`                       // the company that is directed
	PermittedSRVs  []string  `koanf:"permitted_srvs" json:"permitted_srvs"` // 1.6 is the switch to Credit
	Fuels          []Fuel    `koanf:"fuels" json:"fuels"`
	MaximumMeters  int       `koanf:"maximum_meters" json:"maximum_meters"`
	NotBefore      time.Time `koanf:"not_before" json:"not_before"`
	NotAfter       time.Time `koanf:"not_after" json:"not_after"` // the last instant
	Clauses        Clauses   `koanf:"clauses" json:"clauses"`

	// RevocationDelay is the SMKI PMA's decision that the failed supplier's certificates
	// are not revoked yet. Nil: not recorded.
	RevocationDelay *RevocationDelay `koanf:"revocation_delay" json:"revocation_delay,omitempty"`
}

// RevocationDelay is the decision by which the certificates may still be used (SEC
// modification MP134A): the PMA tells the Authority of it before that directs anybody.
type RevocationDelay struct {
	Reference string    `koanf:"reference" json:"reference"`  // the PMA's own
	Date      time.Time `koanf:"date" when:"day" json:"date"` // of the decision
	End       time.Time `koanf:"end" json:"end"`              // the last instant of the delay
}

// Covers says whether the delay lasts as long as the direction.
func (r *RevocationDelay) Covers(d *Direction) bool { return !r.End.Before(d.NotAfter) }

// String is the decision in a few words.
func (r *RevocationDelay) String() string {
	return fmt.Sprintf("%s of %s, until %s", r.Reference, r.Date.UTC().Format(time.DateOnly), r.End.UTC().Format(time.RFC3339))
}

// Supplier is the supplier that failed.
type Supplier struct {
	EUI       servicerequests.EUI   `koanf:"eui" json:"eui"`
	OtherEUIs []servicerequests.EUI `koanf:"other_euis" json:"other_euis,omitempty"` // further identities of the same supplier
	MPIDs     []string              `koanf:"mpids" json:"mpids"`                     // market participant IDs
}

// Clauses are permissions that the services alone do not give.
type Clauses struct {
	// ArmGas permits 7.3 for gas: a sleeping valve cannot be read freshly before.
	ArmGas bool `koanf:"arm_gas" json:"arm_gas"`
	// ArmFoundInCredit says that a home found in Credit and Disabled may be armed.
	// The engine leaves it to a person either way: nothing proves why it is off. The
	// clause tells that person what the Authority allows.
	ArmFoundInCredit bool `koanf:"arm_found_in_credit" json:"arm_found_in_credit,omitempty"`
	// ReadPrepaymentConfiguration permits 4.13, which tells the next supplier how
	// prepayment was set up and is no step towards safe mode.
	ReadPrepaymentConfiguration bool `koanf:"read_prepayment_configuration" json:"read_prepayment_configuration,omitempty"`
}

// Parse reads a direction. The error joins all faults, each a
// [*strictyaml.Fault] with its path.
func Parse(b []byte) (Direction, error) {
	var d Direction
	if err := strictyaml.Unmarshal(b, &d); err != nil {
		return Direction{}, fmt.Errorf("direction:\n%w", err)
	}
	return d, nil
}

// Validate checks every rule and joins all faults, each a [*strictyaml.Fault].
func (d *Direction) Validate() error {
	var faults []error
	check := func(ok bool, path, format string, args ...any) {
		if !ok {
			faults = append(faults, strictyaml.Faultf(path, format, args...))
		}
	}
	for path, text := range map[string]string{"reference": d.Reference, "issuing_body": d.IssuingBody, "srp": d.SRP} {
		check(text != "", path, "required")
	}
	check(!d.Date.IsZero(), "date", "required")
	digest, err := hex.DecodeString(d.DocumentSHA256)
	check(err == nil && len(digest) == 32, "document_sha256", "%q: want 64 hexadecimal digits", d.DocumentSHA256)

	check(d.Supplier.EUI != 0, "supplier.eui", "required")
	for i, eui := range d.Supplier.OtherEUIs {
		path := fmt.Sprintf("supplier.other_euis[%d]", i)
		check(eui != 0, path, "required")
		check(eui != d.Supplier.EUI && slices.Index(d.Supplier.OtherEUIs, eui) == i, path, "%v is named already", eui)
	}
	check(len(d.Supplier.MPIDs) > 0, "supplier.mpids", "required: name one or more")

	check(len(d.PermittedSRVs) > 0, "permitted_srvs", "required: name one or more")
	for i, srv := range d.PermittedSRVs {
		path := fmt.Sprintf("permitted_srvs[%d]", i)
		_, err := permitted(srv)
		check(err == nil, path, "%v", err)
		check(slices.Index(d.PermittedSRVs, srv) == i, path, "%s is named already", srv)
	}
	check(len(d.Fuels) > 0, "fuels", "required: electricity, gas or both")
	for i, fuel := range d.Fuels {
		path := fmt.Sprintf("fuels[%d]", i)
		check(fuel == Electricity || fuel == Gas, path, "%q: want electricity or gas", fuel)
		check(slices.Index(d.Fuels, fuel) == i, path, "%s is named already", fuel)
	}
	check(d.MaximumMeters > 0, "maximum_meters", "%d: want 1 or more", d.MaximumMeters)
	check(!d.NotBefore.IsZero(), "not_before", "required")
	check(!d.NotAfter.IsZero(), "not_after", "required")
	check(d.NotAfter.IsZero() || d.NotAfter.After(d.NotBefore), "not_after", "want after not_before")
	check(!d.Clauses.ArmGas || d.permits(servicerequests.ArmSupply) && slices.Contains(d.Fuels, Gas),
		"clauses.arm_gas", "want 7.3 in permitted_srvs and gas in fuels")
	check(!d.Clauses.ArmFoundInCredit || d.permits(servicerequests.ArmSupply), "clauses.arm_found_in_credit", "want 7.3 in permitted_srvs")
	check(!d.Clauses.ReadPrepaymentConfiguration || d.permits(servicerequests.ReadPrepaymentConfiguration),
		"clauses.read_prepayment_configuration", "want 4.13 in permitted_srvs")
	if r := d.RevocationDelay; r != nil {
		const path = "revocation_delay."
		check(r.Reference != "", path+"reference", "required")
		check(!r.Date.IsZero(), path+"date", "required")
		check(!r.End.IsZero(), path+"end", "required")
		check(r.End.IsZero() || r.End.After(r.Date), path+"end", "want after the decision's date")
		check(r.End.IsZero() || d.NotBefore.IsZero() || r.End.After(d.NotBefore), path+"end",
			"%s: the certificates may be revoked before the direction begins (not_before): ask the PMA for a later end, or remove revocation_delay if its decision does not hold any more", r.End.UTC().Format(time.RFC3339))
	}
	return errors.Join(faults...)
}

// permitted finds the member of the permitted set with this SRV.
func permitted(srv string) (servicerequests.Service, error) {
	if srv == servicerequests.SwitchToCredit.SRV() {
		return servicerequests.SwitchToCredit, nil
	}
	return servicerequests.ParseService(srv, "")
}

func (d *Direction) permits(s servicerequests.Service) bool {
	return slices.Contains(d.PermittedSRVs, s.SRV())
}

// InForce says whether anything may be sent at an instant. The error wraps
// [ErrNotInForce].
func (d *Direction) InForce(now time.Time) error {
	switch {
	case now.Before(d.NotBefore):
		return fmt.Errorf("%w: %s begins %s", ErrNotInForce, d.Reference, d.NotBefore.Format(time.RFC3339))
	case now.After(d.NotAfter):
		return fmt.Errorf("%w: %s ended %s", ErrNotInForce, d.Reference, d.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// Covers says whether a service may be sent to a kind of device while the
// direction is in force. The error wraps [ErrOutside].
func (d *Direction) Covers(s servicerequests.Service, t servicerequests.DeviceType) error {
	switch fuel := FuelOf(t); {
	case !d.permits(s):
		return fmt.Errorf("%w: %s does not permit SRV %s", ErrOutside, d.Reference, s)
	case fuel != "" && !slices.Contains(d.Fuels, fuel):
		return fmt.Errorf("%w: %s does not cover %s", ErrOutside, d.Reference, fuel)
	case s == servicerequests.ArmSupply && fuel == Gas && !d.Clauses.ArmGas:
		return fmt.Errorf("%w: %s has no clause for arming gas", ErrOutside, d.Reference)
	case s == servicerequests.ReadPrepaymentConfiguration && !d.Clauses.ReadPrepaymentConfiguration:
		return fmt.Errorf("%w: %s has no clause for reading the prepayment configuration", ErrOutside, d.Reference)
	}
	return nil
}

// Permits says whether a service may be sent to a kind of device now. The error
// wraps [ErrNotInForce] or [ErrOutside].
func (d *Direction) Permits(s servicerequests.Service, t servicerequests.DeviceType, now time.Time) error {
	if err := d.InForce(now); err != nil {
		return err
	}
	return d.Covers(s, t)
}

// Names says whether an EUI is one of the supplier's identities.
func (d *Direction) Names(originator servicerequests.EUI) bool {
	return originator == d.Supplier.EUI || slices.Contains(d.Supplier.OtherEUIs, originator)
}
