package fleet_test

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"

	gocmp "github.com/google/go-cmp/cmp"
)

// meters lists a fleet by device: a fleet that was read stands in another order
// than the generated one.
func meters(f *fleet.Fleet) []fleet.Meter {
	list := make([]fleet.Meter, f.Len())
	for i := range list {
		list[i] = f.Meter(i)
	}
	slices.SortFunc(list, func(a, b fleet.Meter) int { return cmp.Compare(a.Device, b.Device) })
	return list
}

func TestCSVRoundTrip(t *testing.T) {
	f := generate(t, 2000, 42)
	var text bytes.Buffer
	if err := f.WriteCSV(&text); err != nil {
		t.Fatal(err)
	}
	again, err := fleet.ReadCSV(bytes.NewReader(text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if again.Seed != 42 {
		t.Errorf("seed %d", again.Seed)
	}
	if diff := gocmp.Diff(meters(f), meters(again)); diff != "" {
		t.Error(diff)
	}
}

const (
	comment = "# safemode fleet seed=1 version=2"
	head    = "device_id,device_type,chf_id,mpxn,csp_region,payment_mode,supply_state,balance,emergency_credit,debt,locked,registered_supplier,reachable,model"
	row     = "00-DB-12-E0-00-00-00-01,ESME,00-DB-12-C0-00-00-00-01,1600000000010,North,prepayment,enabled,1.50,available,0,false,90-B3-D5-1F-30-01-00-00,true,sim-e10"
)

func TestReadCSV(t *testing.T) {
	mpan := "16" + "0000000001"
	for _, check := range "0123456789" {
		if _, err := fleet.ParseMPxN(mpan+string(check), servicerequests.ESME); err == nil {
			mpan += string(check)
			break
		}
	}
	good := strings.Replace(row, "1600000000010", mpan, 1)
	with := func(old, changed string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the row", old)
		}
		return comment + "\n" + head + "\n" + good + "\n" + strings.Replace(good, old, changed, 1) + "\n"
	}
	tests := []struct {
		name, text string
		line       int
		column     string
	}{
		{"empty", "", 1, ""},
		{"no comment", head + "\n" + good + "\n", 1, ""},
		{"comment without seed", "# safemode fleet version=2\n" + head + "\n", 1, ""},
		{"comment with more", comment + " x\n" + head + "\n", 1, ""},
		{"other version", "# safemode fleet seed=1 version=3\n" + head + "\n", 1, ""},
		{"no header", comment + "\n", 2, ""},
		{"unknown column", comment + "\n" + head + "x\n", 2, ""},
		{"too few fields", comment + "\n" + head + "\n" + good + "\nx\n", 4, ""},
		{"bare quote", comment + "\n" + head + "\n" + good + "\n" + strings.Replace(good, "true", `tr"ue`, 1) + "\n", 4, ""},
		{"EUI", with("00-DB-12-E0-00-00-00-01", "00-DB"), 4, "device_id"},
		{"type", with("ESME", "GPF"), 4, "device_type"},
		{"hub", with("00-DB-12-C0-00-00-00-01", ""), 4, "chf_id"},
		{"check digit", with(mpan, "1600000000019"), 4, "mpxn"},
		{"region", with("North", "SMETS1"), 4, "csp_region"},
		{"mode", with("prepayment", "unknown"), 4, "payment_mode"},
		{"supply", with("enabled", "unknown"), 4, "supply_state"},
		{"six decimals", with("1.50", "1.500000"), 4, "balance"},
		{"plus", with("1.50", "+1.50"), 4, "balance"},
		{"bare point", with("1.50", "1."), 4, "balance"},
		{"too much", with("1.50", "21474.83648"), 4, "balance"},
		{"emergency credit", with("available", "maybe"), 4, "emergency_credit"},
		{"negative debt", with(",0,false", ",-1,false"), 4, "debt"},
		{"boolean", with("false", "no"), 4, "locked"},
		{"supplier", with("90-B3-D5-1F-30-01-00-00", "0"), 4, "registered_supplier"},
		{"reachable", with("true", "1"), 4, "reachable"},
		{"model", with("sim-e10", "sim-g10"), 4, "model"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := fleet.ReadCSV(strings.NewReader(test.text))
			fault, ok := errors.AsType[*fleet.FieldError](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if fault.Line != test.line || fault.Column != test.column {
				t.Errorf("line %d, column %q (%v), want line %d, column %q", fault.Line, fault.Column, err, test.line, test.column)
			}
		})
	}

	f, err := fleet.ReadCSV(strings.NewReader(comment + "\n" + head + "\n" + good + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m := f.Meter(0); m.Balance != 150_000 || m.MPxN.String() != mpan || m.Model.Name() != "sim-e10" {
		t.Errorf("read %+v", m)
	}
	_, err = fleet.ReadCSV(strings.NewReader(with("North", "South")))
	if !errors.Is(err, fleet.ErrDuplicateDevice) {
		t.Errorf("the same device twice: %v", err)
	}
	_, err = fleet.ReadCSV(strings.NewReader("# safemode fleet seed=1 version=3\n"))
	if !errors.Is(err, fleet.ErrVersion) {
		t.Errorf("another version: %v", err)
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add(comment + "\n" + head + "\n" + row + "\n")
	var text bytes.Buffer
	if err := generate(f, 10, 1).WriteCSV(&text); err != nil {
		f.Fatal(err)
	}
	f.Add(text.String())
	f.Fuzz(func(t *testing.T, text string) {
		read, err := fleet.ReadCSV(strings.NewReader(text))
		if err != nil {
			return
		}
		var first bytes.Buffer
		if err := read.WriteCSV(&first); err != nil {
			t.Fatal(err)
		}
		again, err := fleet.ReadCSV(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if diff := gocmp.Diff(meters(read), meters(again)); diff != "" {
			t.Error(diff)
		}
	})
}
