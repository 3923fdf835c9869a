package duis

import "safemode/servicerequests"

// Device is one entry of the DCC's Smart Metering Inventory, in DUIS's words.
// ID, Type, Manufacturer and Model are always there; of the others an empty
// text means that the DCC says nothing.
type Device struct {
	ID                    servicerequests.EUI
	Type                  string // ESME, GSME, GPF, CHF, HCALCS, PPMID, IHD or CAD
	Status                string // like Commissioned or Suspended
	Manufacturer, Model   string
	SMETSCHTSVersion      string
	FirmwareVersion       string
	FirmwareVersionStatus string
	CPLStatus             string
	DateCommissioned      string // like 2025-12-28Z
	ImportMPxN            string
	SecondaryImportMPAN   string
	ExportMPAN            string
	ESMEVariant           string
	UPRN                  string
	PostCode              string
	AddressIdentifier     string
	CSPRegion             string // like "4G Central"; also Unknown and SMETS1
	GBCSVersion           string
	HANVariant            string
	SMETS1ServiceProvider string // S1SP
	Connectivity          string
}

// DeviceType returns the type; UnknownDevice for those that this module has no
// dealings with.
func (d Device) DeviceType() servicerequests.DeviceType {
	t, _ := servicerequests.ParseDeviceType(d.Type)
	return t
}

// Region returns the CSP region; UnknownRegion for absent, Unknown and SMETS1.
func (d Device) Region() servicerequests.Region {
	region, _ := servicerequests.ParseRegion(d.CSPRegion)
	return region
}

// SMETS1 says whether the device is an enrolled SMETS1 device, which takes
// none of this module's requests.
func (d Device) SMETS1() bool { return d.CSPRegion == "SMETS1" || d.SMETS1ServiceProvider != "" }

var (
	deviceTypes  = []string{"ESME", "GSME", "GPF", "CHF", "HCALCS", "PPMID", "IHD", "CAD"}
	statuses     = []string{"Pending", "Whitelisted", "InstalledNotCommissioned", "Commissioned", "Decommissioned", "Withdrawn", "Suspended", "Recovery", "Recovered"}
	listStatuses = []string{"Active", "Cancelled", "Expired", "Withdrawn"}
	cspRegions   = []string{"North", "Central", "South", "4G North", "4G Central", "4G South", "Unknown", "SMETS1"}
	connectivity = []string{"Cellular", "Virtual"}

	esmeVariants = []string{
		"A", "B", "C", "AD", "BD", "CD", "ADE", "BDE", "CDE", "ADF", "BDF", "CDF", "ADEF", "BDEF", "CDEF",
		"ADG", "ADEG", "AF", "BF", "CF", "AEF", "BEF", "CEF", "AG", "AEG",
	}

	postCodeLength = length{6, 8}
	addressLength  = length{0, 30}
	mpanLength     = length{13, 13}
	anyText        = length{1, 100} // xs:string in the schema; the limit is an assumption
)

// deviceField is one text element of a Device, in the schema's order. The two
// required ones may be empty, all others are left out when they are.
type deviceField struct {
	local    string
	text     func(*Device) *string
	required bool
	values   []string // nil: any text within limit
	limit    length
}

var deviceFields = []deviceField{
	{local: "DeviceType", text: func(d *Device) *string { return &d.Type }, required: true, values: deviceTypes},
	{local: "DeviceStatus", text: func(d *Device) *string { return &d.Status }, values: statuses},
	{local: "DeviceManufacturer", text: func(d *Device) *string { return &d.Manufacturer }, required: true, limit: length{0, 30}},
	{local: "DeviceModel", text: func(d *Device) *string { return &d.Model }, required: true, limit: length{0, 30}},
	{local: "SMETSCHTSVersion", text: func(d *Device) *string { return &d.SMETSCHTSVersion }, limit: length{1, 20}},
	{local: "DeviceFirmwareVersion", text: func(d *Device) *string { return &d.FirmwareVersion }, limit: length{1, 8}},
	{local: "DeviceFirmwareVersionStatus", text: func(d *Device) *string { return &d.FirmwareVersionStatus }, values: listStatuses},
	{local: "CPLStatus", text: func(d *Device) *string { return &d.CPLStatus }, values: listStatuses},
	{local: "DateCommissioned", text: func(d *Device) *string { return &d.DateCommissioned }, limit: length{10, 16}},
	{local: "ImportMPxN", text: func(d *Device) *string { return &d.ImportMPxN }, limit: length{1, 13}},
	{local: "SecondaryImportMPAN", text: func(d *Device) *string { return &d.SecondaryImportMPAN }, limit: mpanLength},
	{local: "ExportMPAN", text: func(d *Device) *string { return &d.ExportMPAN }, limit: mpanLength},
	{local: "ESMEVariant", text: func(d *Device) *string { return &d.ESMEVariant }, values: esmeVariants},
	{local: "UPRN", text: func(d *Device) *string { return &d.UPRN }, limit: length{1, 12}},
	{local: propertyFilter},
	{local: "CSPRegion", text: func(d *Device) *string { return &d.CSPRegion }, values: cspRegions},
	{local: "DeviceGBCSVersion", text: func(d *Device) *string { return &d.GBCSVersion }, limit: anyText},
	{local: "HANVariant", text: func(d *Device) *string { return &d.HANVariant }, limit: anyText},
	{local: "S1SP", text: func(d *Device) *string { return &d.SMETS1ServiceProvider }, limit: anyText},
	{local: "Connectivity", text: func(d *Device) *string { return &d.Connectivity }, values: connectivity},
}

// propertyFilter is the one element of a Device that holds two others.
const propertyFilter = "PropertyFilter"

const maxDevices = 17

func (i *Inventory) layout(l *layout) {
	l.element(i.element(), func(l *layout) {
		n := 0
		for ; l.writes() && n < len(*i) || !l.writes() && l.d.err == nil && (n == 0 || !l.next.IsZero()); n++ {
			if !l.writes() {
				*i = append(*i, Device{})
			}
			l.element("Device", (*i)[n].layout)
		}
		if n == 0 || n > maxDevices {
			l.fail("DSPInventory", "%d devices, want 1 to %d", n, maxDevices)
		}
	})
}

func (d *Device) layout(l *layout) {
	l.eui("DeviceID", &d.ID)
	for _, f := range deviceFields {
		if f.local == propertyFilter {
			if l.has(propertyFilter, d.PostCode != "" || d.AddressIdentifier != "") {
				l.element(propertyFilter, func(l *layout) {
					l.text("PostCode", &d.PostCode, postCodeLength)
					l.text("AddressIdentifier", &d.AddressIdentifier, addressLength)
				})
			}
			continue
		}
		text := f.text(d)
		switch {
		case !f.required && !l.has(f.local, *text != ""):
		case f.values != nil:
			l.oneOf(f.local, text, f.values)
		default:
			l.text(f.local, text, f.limit)
		}
	}
}
