package dcc

import (
	"fmt"
	"strconv"
	"strings"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
)

// noInventory answers a search that finds nothing (assumption: the schema has
// the code and no public source its meaning).
const noInventory servicerequests.ResponseCode = "E080201"

// readInventory answers 8.2 with all devices of a home.
func (d *DCC) readInventory(q request) answer {
	there, _, ok := d.take(q, nil)
	if !ok {
		return d.refuse(q, servicerequests.DuplicateID)
	}
	from, to := d.search(q.Inventory)
	if from == to {
		return d.unsigned(q, noInventory, there.at)
	}
	return d.signed(q, there.at, d.home(from, to), d.xmlSigner())
}

// search returns the range of the home's meters in the fleet.
func (d *DCC) search(s duis.InventorySearch) (from, to int) {
	switch {
	case s.Device != 0:
		if t, ok := d.find(s.Device); ok {
			return d.Fleet.Home(d.Fleet.Meter(t.meter).Hub)
		}
		return d.Fleet.Home(s.Device) // perhaps it is a hub
	case s.MPxN != "":
		if i, ok := d.supplyPoint(s.MPxN); ok {
			return d.Fleet.Home(d.Fleet.Meter(i).Hub)
		}
		return 0, 0
	}
	// By address. It follows from the hub, and is kept nowhere: the whole fleet is gone
	// through.
	for i := range d.Fleet.Len() {
		if hub := d.Fleet.Meter(i).Hub; s.UPRN != "" && uprn(hub) == s.UPRN || s.PostCode != "" && postCode(hub) == s.PostCode && address(hub) == s.AddressIdentifier {
			return d.Fleet.Home(hub)
		}
	}
	return 0, 0
}

// A home's address, made up from its hub: nobody lives there.
func uprn(hub servicerequests.EUI) string { return fmt.Sprintf("1%011d", uint64(hub)%100_000_000_000) }

func address(hub servicerequests.EUI) string { return strconv.Itoa(1 + int(hub%199)) }

func postCode(hub servicerequests.EUI) string {
	letter := func(by uint64) byte { return 'A' + byte(uint64(hub)/by%26) }
	return fmt.Sprintf("ZZ%d %d%c%c", 1+uint64(hub)/199%9, uint64(hub)/1791%10, letter(17_910), letter(465_660))
}

func (d *DCC) supplyPoint(text string) (i int, ok bool) {
	for _, kind := range []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME} {
		if n, err := fleet.ParseMPxN(text, kind); err == nil {
			return d.Fleet.FindMPxN(n)
		}
	}
	return 0, false
}

// home lists the hub, the meters behind it and the gas proxy.
func (d *DCC) home(from, to int) duis.Inventory {
	first := d.Fleet.Meter(from)
	hub := first.Hub
	if d.Swapped != nil && d.Swapped(hub) {
		hub ^= anotherOne
	}
	list := duis.Inventory{d.entry(first, hub, servicerequests.CHF)}
	for i := from; i < to; i++ {
		m := d.Fleet.Meter(i)
		device := d.entry(m, m.Device, m.Type)
		device.ImportMPxN = m.MPxN.String()
		list = append(list, device)
		if d.Exchanged != nil && d.Exchanged(m.Device) {
			before := device
			before.ID, before.Status = before.ID^anotherOne, "Decommissioned"
			list = append(list, before)
		}
		if gpf := m.GPF(); gpf != 0 {
			device := d.entry(m, gpf, servicerequests.GPF)
			device.ImportMPxN = m.MPxN.String()
			list = append(list, device)
		}
	}
	return list
}

// anotherOne makes of a device's EUI that of another, which no fleet has.
const anotherOne = 1 << 33

// Inventory data of the simulator's devices.
const (
	manufacturer    = "5AFE"
	smetsVersion    = "SMETS2 V5.1"
	chtsVersion     = "CHTS V1.4"
	firmwareVersion = "00000001"
	listed          = "Active" // on the DCC's lists of firmware and of products
)

// gbcsVersions are those of models: not all of a fleet are of one.
var gbcsVersions = [...]string{"1.0", "2.0", "3.2", "4.1", gbcsVersion}

// versionOf is the GBCS version that devices of a model are certified to.
func versionOf(model string) string {
	sum := 0
	for _, c := range []byte(model) {
		sum += int(c)
	}
	return gbcsVersions[sum%len(gbcsVersions)]
}

func (d *DCC) entry(m fleet.Meter, device servicerequests.EUI, kind servicerequests.DeviceType) duis.Device {
	e := duis.Device{
		ID: device, Type: kind.String(), Status: "Commissioned",
		Manufacturer: manufacturer, Model: strings.ToUpper(m.Model.Name()),
		SMETSCHTSVersion: smetsVersion, FirmwareVersion: firmwareVersion,
		FirmwareVersionStatus: listed, CPLStatus: listed,
		UPRN: uprn(m.Hub), PostCode: postCode(m.Hub), AddressIdentifier: address(m.Hub),
		CSPRegion: m.Region.String(), GBCSVersion: versionOf(m.Model.Name()),
	}
	if kind == servicerequests.CHF || kind == servicerequests.GPF {
		e.SMETSCHTSVersion = chtsVersion
		e.Model, e.GBCSVersion = "SIM-HUB", versionOf("SIM-HUB")
	}
	if d.Register.Suspended(device) {
		e.Status = "Suspended"
	}
	return e
}
