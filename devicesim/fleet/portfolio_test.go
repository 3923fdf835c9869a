package fleet_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"testing"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"

	"github.com/google/go-cmp/cmp"
)

func portfolioRows(t *testing.T, f *fleet.Fleet) []map[string]string {
	t.Helper()
	var text bytes.Buffer
	if err := f.WritePortfolio(&text); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&text).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestWritePortfolio(t *testing.T) {
	f := generate(t, 10_000, 3)
	rows := portfolioRows(t, f)
	if len(rows) != f.Len() {
		t.Fatalf("%d rows", len(rows))
	}
	count := map[string]int{}
	for i, row := range rows {
		m := f.Meter(i)
		if row["device_id"] != m.Device.String() || row["chf_id"] != m.Hub.String() || row["mpxn"] != m.MPxN.String() || row["device_type"] != m.Type.String() {
			t.Fatalf("row %d is of another meter: %v", i, row)
		}
		if row["csp_region"] != m.Region.String() {
			count["wrong region"]++
		}
		if row["claimed_mode"] != m.Mode.String() {
			count[m.Mode.String()+" claimed as "+row["claimed_mode"]]++
		}
		if row["history"] != "" {
			count[row["history"]]++
		}
		if row["priority"] == "0" {
			count["priority 0"]++
		}
	}
	for name, most := range map[string]int{
		"wrong region": 200, "prepayment claimed as credit": 200, "prepayment claimed as unknown": 600,
		"credit claimed as prepayment": 150, "disabled_by_supplier": 60, "priority 0": 450,
	} {
		if count[name] == 0 || count[name] > most {
			t.Errorf("%s: %d, want 1 to %d", name, count[name], most)
		}
	}
}

func TestFromPortfolio(t *testing.T) {
	f := generate(t, 5000, 3)
	var claims []fleet.Claim
	for i, row := range portfolioRows(t, f) {
		m := f.Meter(i)
		c := fleet.Claim{Device: m.Device, Type: m.Type, Hub: m.Hub, MPxN: row["mpxn"], Region: m.Region, Mode: servicerequests.Prepayment}
		if i%5 == 0 {
			c.Mode = servicerequests.Credit
		}
		if i%2 == 0 {
			c.Supplier = 0x70B3D51F30990000
		}
		claims = append(claims, c)
	}
	grown, err := fleet.FromPortfolio(claims, fleet.Options{Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, c := range claims {
		at, ok := grown.Find(c.Device)
		if !ok {
			t.Fatalf("%v is not in the fleet", c.Device)
		}
		m := grown.Meter(at)
		if m.Hub != c.Hub || m.Type != c.Type || m.Region != c.Region || m.MPxN.String() != c.MPxN {
			t.Fatalf("%+v grew from %+v", m, c)
		}
		if m.Mode == servicerequests.Credit {
			seen["credit, claimed "+c.Mode.String()]++
		}
		if m.Supplier == c.Supplier || c.Supplier == 0 && m.Supplier == supplier {
			seen["not transferred"]++
		}
		if m.Locked {
			seen["locked"]++
		}
	}
	if seen["credit, claimed credit"] < 700 || seen["credit, claimed credit"] > 950 || seen["credit, claimed prepayment"] > 120 ||
		seen["locked"] != 50 || seen["not transferred"] != 4925 {
		t.Errorf("%v", seen)
	}
	// The order of the claims does not matter.
	for i, j := 0, len(claims)-1; i < j; i, j = i+1, j-1 {
		claims[i], claims[j] = claims[j], claims[i]
	}
	again, err := fleet.FromPortfolio(claims, fleet.Options{Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(meters(grown), meters(again)); diff != "" {
		t.Error(diff)
	}
}

func TestFromPortfolioRefuses(t *testing.T) {
	good := fleet.Claim{Device: 1, Type: servicerequests.GSME, Hub: 2, MPxN: "123456", Region: servicerequests.North}
	hub, number := good, good
	hub.Type = servicerequests.CHF
	number.MPxN = "12345"
	for _, test := range []struct {
		name   string
		claims []fleet.Claim
		want   error
	}{
		{"nothing", nil, nil},
		{"no meter", []fleet.Claim{hub}, nil},
		{"MPRN", []fleet.Claim{number}, fleet.ErrMPxN},
		{"twice", []fleet.Claim{good, good}, fleet.ErrDuplicateDevice},
	} {
		_, err := fleet.FromPortfolio(test.claims, fleet.Options{})
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
