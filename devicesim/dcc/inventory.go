package dcc

import (
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

// search returns the range of the home's meters in the fleet. The DCC knows no
// addresses here, so only a device or an MPxN can be found.
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
	}
	return 0, 0
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
	list := duis.Inventory{d.entry(first, first.Hub, servicerequests.CHF)}
	for i := from; i < to; i++ {
		m := d.Fleet.Meter(i)
		device := d.entry(m, m.Device, m.Type)
		device.ImportMPxN = m.MPxN.String()
		list = append(list, device)
		if gpf := m.GPF(); gpf != 0 {
			device := d.entry(m, gpf, servicerequests.GPF)
			device.ImportMPxN = m.MPxN.String()
			list = append(list, device)
		}
	}
	return list
}

// What the simulator's devices say of themselves.
const (
	manufacturer    = "5AFE"
	smetsVersion    = "SMETS2 V5.1"
	chtsVersion     = "CHTS V1.4"
	firmwareVersion = "00000001"
)

func (d *DCC) entry(m fleet.Meter, device servicerequests.EUI, kind servicerequests.DeviceType) duis.Device {
	e := duis.Device{
		ID: device, Type: kind.String(), Status: "Commissioned",
		Manufacturer: manufacturer, Model: strings.ToUpper(m.Model.Name()),
		SMETSCHTSVersion: smetsVersion, FirmwareVersion: firmwareVersion,
		CSPRegion: m.Region.String(), GBCSVersion: gbcsVersion,
	}
	if kind == servicerequests.CHF || kind == servicerequests.GPF {
		e.SMETSCHTSVersion = chtsVersion
		e.Model = "SIM-HUB"
	}
	if d.Register.Suspended(device) {
		e.Status = "Suspended"
	}
	return e
}
