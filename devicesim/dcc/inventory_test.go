package dcc_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

// A home is found by a device, a supply point or its address, and its entry has what the
// DCC says of devices.
func TestInventorySearch(t *testing.T) {
	b := newBench(t)
	next := uint64(0)
	find := func(by string) duis.Inventory {
		t.Helper()
		id := b.id(smki.TestDCC)
		next++
		id.Counter += next
		status, answer := b.post(serviceD, b.sign(message{id: id, variant: 8, srv: "8.2", body: "<sr:ReadInventory>" + by + "</sr:ReadInventory>"}))
		r, err := duis.InspectResponse(answer)
		devices, ok := r.Content.(duis.Inventory)
		if status != http.StatusOK || err != nil || !ok {
			t.Fatalf("%s: status %d, %v: %s", by, status, err, answer)
		}
		return devices
	}
	want := find("<sr:DeviceID>" + b.esme.Device.String() + "</sr:DeviceID>")
	versions := map[string]bool{}
	var first duis.Device
	for _, d := range want {
		if d.ID == b.esme.Device {
			first = d
		}
		versions[d.GBCSVersion] = true
		if d.FirmwareVersionStatus == "" || d.CPLStatus == "" || d.UPRN == "" || d.PostCode == "" || d.AddressIdentifier == "" || d.GBCSVersion == "" {
			t.Errorf("%+v", d)
		}
	}
	for _, by := range []string{
		"<sr:UPRN>" + first.UPRN + "</sr:UPRN>",
		"<sr:MPxN>" + first.ImportMPxN + "</sr:MPxN>",
		"<sr:PropertyFilter><sr:PostCode>" + first.PostCode + "</sr:PostCode><sr:AddressIdentifier>" + first.AddressIdentifier + "</sr:AddressIdentifier></sr:PropertyFilter>",
	} {
		if diff := cmp.Diff(want, find(by)); diff != "" {
			t.Errorf("%s: %s", by, diff)
		}
	}
	for i := range b.fleet.Len() {
		for _, d := range find("<sr:DeviceID>" + b.fleet.Meter(i).Device.String() + "</sr:DeviceID>") {
			versions[d.GBCSVersion] = true
		}
		if len(versions) > 2 {
			return
		}
	}
	t.Errorf("all devices are of GBCS versions %v", versions)
}
