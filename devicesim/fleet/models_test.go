package fleet_test

import (
	"bytes"
	"strings"
	"testing"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

// TestOtherModels: a fleet has other thresholds only if asked for, in the share asked
// for; what a meter is like agrees with its own, and a fleet file keeps it.
func TestOtherModels(t *testing.T) {
	for _, share := range []float64{0, 0.2, 1} {
		f, err := fleet.Generate(fleet.Options{Meters: 2000, Seed: 3, OtherModels: share})
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if err := f.WriteCSV(&text); err != nil {
			t.Fatal(err)
		}
		read, err := fleet.ReadCSV(bytes.NewReader(text.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		other, off := 0, 0
		thresholds := map[servicerequests.Millipence]bool{}
		for i := range f.Len() {
			m := f.Meter(i)
			threshold := m.Model.Configuration().DisablementThreshold
			if threshold != 0 {
				other++
			}
			thresholds[threshold] = true
			if gas := strings.HasPrefix(m.Model.Name(), "sim-g"); gas != (m.Type == servicerequests.GSME) {
				t.Errorf("%v, %s, is of model %s", m.Device, m.Type, m.Model.Name())
			}
			if m.EmergencyCredit == fleet.Spent && m.Supply == servicerequests.Disabled && !m.Locked {
				off++
				if m.Balance > threshold {
					t.Errorf("%v is off for lack of credit with %s, and cuts off at %s", m.Device, m.Balance, threshold)
				}
			}
			at, _ := read.Find(m.Device)
			if again := read.Meter(at); again.Model != m.Model {
				t.Errorf("%v: model %s is read again as %s", m.Device, m.Model.Name(), again.Model.Name())
			}
		}
		if got := float64(other) / float64(f.Len()); got < share-0.03 || got > share+0.03 {
			t.Errorf("%.3f of the meters have another threshold, want %v", got, share)
		}
		if want := map[float64]int{0: 1, 0.2: 5, 1: 4}[share]; len(thresholds) != want || off == 0 {
			t.Errorf("share %v: thresholds %v, %d off", share, thresholds, off)
		}
	}
	if _, err := fleet.Generate(fleet.Options{Meters: 1, OtherModels: 1.5}); err == nil {
		t.Error("a share of 1.5 is taken")
	}
}
