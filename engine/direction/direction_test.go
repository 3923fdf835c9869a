package direction_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"safemode/engine/direction"
	"safemode/servicerequests"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/strictyaml"
)

const text = `reference: DIR-1
date: 2026-11-23
issuing_body: the Authority
document_sha256: 7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730
supplier: {eui: 90-B3-D5-1F-30-01-00-00, other_euis: [90-B3-D5-1F-30-03-00-00], mpids: [TEST]}
srp: the provider
permitted_srvs: ["1.6", "7.3", "7.4", "6.2.9"]
fuels: [electricity, gas]
maximum_meters: 10
not_before: 2026-11-23T18:00:00Z
not_after: 2026-12-21T18:00:00+01:00
`

func parse(t *testing.T, text string) direction.Direction {
	t.Helper()
	d, err := direction.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestParse(t *testing.T) {
	want := direction.Direction{
		Reference: "DIR-1", Date: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), IssuingBody: "the Authority",
		DocumentSHA256: "7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730",
		Supplier: direction.Supplier{
			EUI: 0x90B3D51F30010000, OtherEUIs: []servicerequests.EUI{0x90B3D51F30030000}, MPIDs: []string{"TEST"},
		},
		SRP: "the provider", PermittedSRVs: []string{"1.6", "7.3", "7.4", "6.2.9"},
		Fuels: []direction.Fuel{direction.Electricity, direction.Gas}, MaximumMeters: 10,
		NotBefore: time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 12, 21, 17, 0, 0, 0, time.UTC),
	}
	got := parse(t, text)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !got.Names(0x90B3D51F30010000) || !got.Names(0x90B3D51F30030000) || got.Names(1) {
		t.Error("Names does not follow the supplier's EUIs")
	}
}

// A plan carries its direction as JSON.
func TestJSONRoundTrip(t *testing.T) {
	want := parse(t, text+"clauses: {arm_gas: true}\nrevocation_delay: {reference: PMA-1, date: 2026-11-22, end: 2026-12-20T18:00:00+01:00}\n")
	if r := want.RevocationDelay; r == nil || r.String() != "PMA-1 of 2026-11-22, until 2026-12-20T17:00:00Z" || r.Covers(&want) {
		t.Errorf("delay %v", r)
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got direction.Direction
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	delays := map[string]string{
		"a delay without a reference":   "revocation_delay: {date: 2026-11-22, end: 2026-12-31T00:00:00Z}\n",
		"a delay that is over":          "revocation_delay: {reference: PMA-1, date: 2026-11-22, end: 2026-11-23T18:00:00Z}\n",
		"a delay that ends on a date":   "revocation_delay: {reference: PMA-1, date: 2026-11-22, end: 2026-12-22}\n",
		"a delay that ends nowhere":     "revocation_delay: {reference: PMA-1, date: 2026-11-22, end: 2026-12-22T10:00:00}\n",
		"a delay without an end":        "revocation_delay: {reference: PMA-1, date: 2026-11-22}\n",
		"a delay decided after it ends": "revocation_delay: {reference: PMA-1, date: 2026-12-01, end: 2026-11-30T00:00:00Z}\n",
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"Enable Supply", `"7.4"`, `"7.1"`, "permitted_srvs[2]: SRV 7.1 (Enable Supply): not in the permitted set"},
		{"Disable Supply", `"7.4"`, `"7.2"`, "permitted_srvs[2]: SRV 7.2 (Disable Supply): not in the permitted set"},
		{"a service nobody knows", `"7.4"`, `"9.9"`, `permitted_srvs[2]: SRV "9.9": not in the permitted set`},
		{"an encrypted read", `"7.4"`, `"4.3"`, "permitted_srvs[2]: SRV 4.3 (Read Instantaneous Prepay Values): not in the permitted set"},
		{"a number for an SRV", `"7.4"`, `7.4`, "permitted_srvs[2]: 7.4: want text: put it in quotes"},
		{"an SRV twice", `"7.4"`, `"1.6"`, "permitted_srvs[2]: 1.6 is named already"},
		{"no SRV", `["1.6", "7.3", "7.4", "6.2.9"]`, "[]", "permitted_srvs: required: name one or more"},
		{"no reference", "reference: DIR-1\n", "", "reference: required"},
		{"no issuing body", "issuing_body: the Authority\n", "", "issuing_body: required"},
		{"no provider", "srp: the provider\n", "", "srp: required"},
		{"no date", "date: 2026-11-23\n", "", "date: required"},
		{"a digest too short", "ded97730", "", `document_sha256: "7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504": want 64 hexadecimal digits`},
		{"a digest of other digits", "ded97730", "ded9773x", `document_sha256: "7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded9773x": want 64 hexadecimal digits`},
		{"no supplier", "eui: 90-B3-D5-1F-30-01-00-00, ", "", "supplier.eui: required"},
		{"the supplier twice", "[90-B3-D5-1F-30-03-00-00]", "[90-B3-D5-1F-30-01-00-00]", "supplier.other_euis[0]: 90-B3-D5-1F-30-01-00-00 is named already"},
		{"no MPID", ", mpids: [TEST]", "", "supplier.mpids: required: name one or more"},
		{"no fuel", "[electricity, gas]", "[]", "fuels: required: electricity, gas or both"},
		{"another fuel", "[electricity, gas]", "[heat]", `fuels[0]: "heat": want electricity or gas`},
		{"a fuel twice", "[electricity, gas]", "[gas, gas]", "fuels[1]: gas is named already"},
		{"no meters", "maximum_meters: 10", "maximum_meters: 0", "maximum_meters: 0: want 1 or more"},
		{"no beginning", "not_before: 2026-11-23T18:00:00Z\n", "", "not_before: required"},
		{"no end", "not_after: 2026-12-21T18:00:00+01:00\n", "", "not_after: required"},
		{"ends before it begins", "2026-12-21T18", "2026-11-22T18", "not_after: want after not_before"},
		{"arms gas without 7.3", `"7.3", `, "", "clauses.arm_gas: want 7.3 in permitted_srvs and gas in fuels"},
		{"arms gas without gas", "[electricity, gas]", "[electricity]", "clauses.arm_gas: want 7.3 in permitted_srvs and gas in fuels"},
		{"arms what was in Credit without 7.3", `"7.3", `, "", "clauses.arm_found_in_credit: want 7.3 in permitted_srvs"},
		{"reads 4.13 without 4.13", "zzz", "", "clauses.read_prepayment_configuration: want 4.13 in permitted_srvs"},
		{"an unknown clause", "arm_gas", "enable", "clauses.enable: unknown key"},
		{"an unknown key", "srp:", "spr: x\nsrp:", "spr: unknown key"},
		{"a delay without a reference", "zzz", "", "revocation_delay.reference: required"},
		{"ends without a zone", "not_after: 2026-12-21T18:00:00+01:00", "not_after: 2026-12-21 23:59:59", "not_after: 2026-12-21 23:59:59: want an instant with its zone: 2026-12-21T23:59:59Z, if that is British time"},
		{"ends on a day", "not_after: 2026-12-21T18:00:00+01:00", "not_after: 2026-06-21", "not_after: 2026-06-21: want an instant with its zone: 2026-06-21T00:00:00+01:00 is the beginning of that day in Britain, 2026-06-21T23:59:59+01:00 its end"},
		{"an octal number", "maximum_meters: 10", "maximum_meters: 010", "maximum_meters: 010: want a whole number in decimal digits, without zeros before it"},
		{"a delay that is over", "zzz", "", "revocation_delay.end: 2026-11-23T18:00:00Z: the certificates may be revoked before the direction begins (not_before): ask the PMA for a later end, or remove revocation_delay if its decision does not hold any more"},
		{"a delay that ends on a date", "zzz", "", "revocation_delay.end: 2026-12-22: want an instant with its zone: 2026-12-22T00:00:00Z is the beginning of that day in Britain, 2026-12-22T23:59:59Z its end"},
		{"a delay that ends nowhere", "zzz", "", "revocation_delay.end: 2026-12-22T10:00:00: want an instant with its zone: 2026-12-22T10:00:00Z, if that is British time"},
		{"a delay without an end", "zzz", "", "revocation_delay.end: required"},
		{"a delay decided after it ends", "zzz", "", "revocation_delay.end: want after the decision's date"},
	} {
		whole := text + delays[c.name]
		if path, _, _ := strings.Cut(c.want, ":"); strings.HasPrefix(path, "clauses.") {
			clause := strings.TrimPrefix(path, "clauses.")
			whole += "clauses: {" + strings.Replace(clause, "enable", "arm_gas", 1) + ": true}\n"
		}
		_, err := direction.Parse([]byte(strings.Replace(whole, c.old, c.new, 1)))
		if err == nil || err.Error() != "direction:\n"+c.want {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := direction.Parse([]byte(strings.NewReplacer("srp: the provider\n", "", `"1.6"`, `"7.1"`, "10", "many").Replace(text)))
	want := "direction:\nmaximum_meters: many: want a whole number\n" +
		"permitted_srvs[0]: SRV 7.1 (Enable Supply): not in the permitted set\nsrp: required"
	if err == nil || err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
}

func TestPermits(t *testing.T) {
	both := parse(t, text)
	electric := parse(t, strings.Replace(text, "[electricity, gas]", "[electricity]", 1))
	armsGas := parse(t, text+"clauses: {arm_gas: true}\n")
	within := both.NotBefore.Add(time.Hour)
	for _, c := range []struct {
		name    string
		d       direction.Direction
		service servicerequests.Service
		device  servicerequests.DeviceType
		at      time.Time
		want    error
		text    string
	}{
		{"named", both, servicerequests.SwitchToCredit, servicerequests.GSME, within, nil, ""},
		{"at the first instant", both, servicerequests.SwitchToCredit, servicerequests.ESME, both.NotBefore, nil, ""},
		{"at the last instant", both, servicerequests.SwitchToCredit, servicerequests.ESME, both.NotAfter, nil, ""},
		{"too early", both, servicerequests.SwitchToCredit, servicerequests.ESME, both.NotBefore.Add(-1), direction.ErrNotInForce, "direction not in force: DIR-1 begins 2026-11-23T18:00:00Z"},
		{"too late", both, servicerequests.SwitchToCredit, servicerequests.ESME, both.NotAfter.Add(1), direction.ErrNotInForce, "direction not in force: DIR-1 ended 2026-12-21T17:00:00Z"},
		{"not named", both, servicerequests.ReadMeterBalance, servicerequests.ESME, within, direction.ErrOutside, "outside the direction: DIR-1 does not permit SRV 4.18"},
		{"no service", both, 0, servicerequests.ESME, within, direction.ErrOutside, "outside the direction: DIR-1 does not permit SRV invalid(0)"},
		{"electricity", electric, servicerequests.ReadSupplyStatus, servicerequests.ESME, within, nil, ""},
		{"other fuel", electric, servicerequests.ReadSupplyStatus, servicerequests.GSME, within, direction.ErrOutside, "outside the direction: DIR-1 does not cover gas"},
		{"other fuel's proxy", electric, servicerequests.ReadPaymentMode, servicerequests.GPF, within, direction.ErrOutside, "outside the direction: DIR-1 does not cover gas"},
		{"arms electricity", both, servicerequests.ArmSupply, servicerequests.ESME, within, nil, ""},
		{"arms gas without the clause", both, servicerequests.ArmSupply, servicerequests.GSME, within, direction.ErrOutside, "outside the direction: DIR-1 has no clause for arming gas"},
		{"reads 4.13 without the clause", parse(t, strings.Replace(text, `"7.4"`, `"7.4", "4.13"`, 1)), servicerequests.ReadPrepaymentConfiguration, servicerequests.ESME, within, direction.ErrOutside, "outside the direction: DIR-1 has no clause for reading the prepayment configuration"},
		{"reads 4.13 with the clause", parse(t, strings.Replace(text, `"7.4"`, `"7.4", "4.13"`, 1)+"clauses: {read_prepayment_configuration: true}\n"), servicerequests.ReadPrepaymentConfiguration, servicerequests.ESME, within, nil, ""},
		{"arms gas with the clause", armsGas, servicerequests.ArmSupply, servicerequests.GSME, within, nil, ""},
	} {
		err := c.d.Permits(c.service, c.device, c.at)
		if !errors.Is(err, c.want) || err != nil && err.Error() != c.text {
			t.Errorf("%s: %v; want %q", c.name, err, c.text)
		}
	}
}

func TestExample(t *testing.T) {
	example, err := os.ReadFile("../../config/direction.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := parse(t, string(example))
	for _, s := range servicerequests.Services {
		for _, device := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
			if err := d.Permits(s, device, d.NotBefore.Add(time.Hour)); err != nil {
				t.Errorf("SRV %v to %v: %v", s, device, err)
			}
		}
	}
}

// No text can make a direction that is not valid or that permits more than the
// permitted set.
func FuzzParse(f *testing.F) {
	f.Add([]byte(text))
	f.Add([]byte(text + "clauses: {arm_gas: true}\n"))
	f.Add([]byte("permitted_srvs: [7.1]\n"))
	f.Add([]byte("srp: &a [x, x, x, x]\nfuels: &b [*a, *a, *a, *a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var d direction.Direction
		var err error
		heaptest.Limit(t, len(text), func() { d, err = direction.Parse(text) })
		if err != nil {
			fault, isFault := errors.AsType[*strictyaml.Fault](err)
			if _, isSyntax := errors.AsType[*strictyaml.SyntaxError](err); !isSyntax && (!isFault || fault.Path == "") {
				t.Errorf("an error without a path: %v", err)
			}
			return
		}
		if err := d.Validate(); err != nil {
			t.Errorf("accepted and not valid: %v", err)
		}
		for _, srv := range d.PermittedSRVs {
			if srv == "7.1" || srv == "7.2" {
				t.Errorf("permits SRV %s", srv)
			}
		}
		// It has no YAML encoder: a plan carries it as JSON, and must carry it whole.
		carried, err := json.Marshal(d)
		var again direction.Direction
		if err == nil {
			err = json.Unmarshal(carried, &again)
		}
		if diff := cmp.Diff(d, again, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}
