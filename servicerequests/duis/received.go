package duis

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// ReceivedRequest is a Service Request or Signed Pre-Command as it came in.
// Unlike [Request] it can be anything that the catalogue knows.
type ReceivedRequest struct {
	ID                servicerequests.RequestID
	FirstInSequence   bool
	Preceding         servicerequests.RequestID // zero: none
	CommandVariant    servicerequests.CommandVariant
	ServiceReference  string
	SRV               string
	ExecutionDateTime time.Time // UTC; zero: none, that is, immediate

	// Variant is the row of the catalogue. A Signed Pre-Command of 1.6 does not
	// say in XML which mode it switches to: then Mode is UnknownMode and
	// UseCases is nil, and the GBCS message has to be looked at.
	Variant servicerequests.Variant

	SignedPreCommand []byte           // CommandVariant 5 to 7: the signed GBCS message
	Prepayment       *PrepaymentTerms // 1.6 to Prepayment, first half
	Inventory        InventorySearch  // 8.2
}

// PrepaymentTerms are the settings that come with a switch to Prepayment.
type PrepaymentTerms struct {
	SuspendDebtDisabled  bool
	SuspendDebtEmergency bool
	DisablementThreshold int32
}

// InventorySearch is what 8.2 asks for: exactly one of Device, UPRN, MPxN, or
// PostCode with AddressIdentifier.
type InventorySearch struct {
	Device                      servicerequests.EUI
	UPRN                        string
	MPxN                        string
	PostCode, AddressIdentifier string
}

// DecodeRequest reads a request without Signature: the bytes that a signature
// check has proven, or an unsigned document. On an error, which wraps
// [ErrFormat], ID and header are there as far as they could be read, so that
// the DCC's side can name what it refuses.
func DecodeRequest(b []byte) (ReceivedRequest, error) { return decodeRequest(b, false) }

// Inspect is DecodeRequest for a request that may carry a Signature, which is
// neither checked nor read. It is for checks of outgoing requests, never for
// trusting incoming ones.
func Inspect(b []byte) (ReceivedRequest, error) { return decodeRequest(b, true) }

func decodeRequest(b []byte, signed bool) (ReceivedRequest, error) {
	doc, err := xmltree.Parse(b)
	if err != nil {
		return ReceivedRequest{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer doc.Release()
	return readRequest(doc, signed)
}

// ReadRequest is [DecodeRequest] for the tree that a signature check has left.
func ReadRequest(doc *xmltree.Document) (ReceivedRequest, error) { return readRequest(doc, false) }

func readRequest(doc *xmltree.Document, signed bool) (ReceivedRequest, error) {
	var r ReceivedRequest
	var d decoder
	top := d.root(doc, "Request")
	r.readHeader(&d, top.required("Header"))
	r.readBody(&d, top.required("Body"))
	if signed {
		top.skipSignature()
	}
	top.end()
	return r, d.err
}

func (r *ReceivedRequest) readHeader(d *decoder, header xmltree.Node) {
	s := d.children(header)
	r.ID = d.requestID(s.required("RequestID"))
	if n := s.optional("FirstInSequence"); !n.IsZero() {
		r.FirstInSequence = d.boolean(n)
	}
	if n := s.optional("PrecedingServiceRequestID"); !n.IsZero() {
		r.Preceding = d.requestID(n)
	}
	node := s.required("CommandVariant")
	r.CommandVariant = servicerequests.CommandVariant(d.uint(node, 8))
	if d.err == nil && (r.CommandVariant < 1 || r.CommandVariant > 8) { // 9 is the DCC's own
		d.fail(node, "%d is no User's Command Variant", r.CommandVariant)
	}
	r.ServiceReference, r.SRV = d.serviceReferences(&s)
	s.end()
}

// signedPreCommand says whether the Command Variant takes one (DUIS 5.4).
func (r *ReceivedRequest) signedPreCommand() bool {
	return r.CommandVariant >= 5 && r.CommandVariant <= 7
}

func (r *ReceivedRequest) readBody(d *decoder, body xmltree.Node) {
	s := d.children(body)
	element := s.any()
	s.end()
	if d.err != nil {
		return
	}
	if signed := element.Local() == "SignedPreCommand"; signed != r.signedPreCommand() {
		d.fail(element, "does not go with Command Variant %d", r.CommandVariant)
		return
	}
	row, known := servicerequests.FindVariant(func(v *servicerequests.Variant) bool {
		return v.SRV == r.SRV && (v.Element == element.Local() || r.signedPreCommand())
	})
	switch {
	case !known:
		d.err = fmt.Errorf("%w: %s as SRV %s", ErrUnknownService, element.Local(), r.SRV)
		return
	case row.ServiceReference != r.ServiceReference:
		d.fail(element, "SRV %s belongs to service %s", r.SRV, row.ServiceReference)
		return
	case r.signedPreCommand() && !row.Critical:
		d.fail(element, "SRV %s has none", r.SRV)
		return
	}
	r.Variant = row
	r.ServiceReference, r.SRV = row.ServiceReference, row.SRV // the same, and not part of the message, which would live as long
	r.readElement(d, element)
}

// readElement reads what stands in the Body's one element.
func (r *ReceivedRequest) readElement(d *decoder, element xmltree.Node) {
	s := d.children(element)
	switch {
	case r.signedPreCommand():
		r.ExecutionDateTime = d.time(s.optional("ExecutionDateTime"))
		r.SignedPreCommand = d.payload(s.required("GBCSPayload"))
		if r.Variant.Mode != servicerequests.UnknownMode {
			r.Variant.Mode, r.Variant.UseCases = servicerequests.UnknownMode, nil
			r.Variant.Name = "Update Payment Mode"
		}
	case r.SRV == "1.6":
		r.ExecutionDateTime = d.time(s.optional("ExecutionDateTime"))
		r.readMode(d, s.any())
	case r.SRV == "4.3", r.SRV == "4.13", r.SRV == "4.18": // ReadDataOnDemandOrFutureDated
		if s.next.IsZero() {
			d.empty(element)
		}
		r.ExecutionDateTime = d.time(s.optional("ExecutionDateTime"))
	case r.SRV == "8.2":
		r.Inventory.read(d, s.any())
	default:
		d.empty(element)
	}
	s.end()
}

func (r *ReceivedRequest) readMode(d *decoder, mode xmltree.Node) {
	want := servicerequests.Credit
	switch mode.Local() {
	case "Credit":
		d.empty(mode)
	case "Prepayment":
		want = servicerequests.Prepayment
		s := d.children(mode)
		terms := PrepaymentTerms{
			SuspendDebtDisabled:  d.boolean(s.required("SuspendDebtDisabled")),
			SuspendDebtEmergency: d.boolean(s.required("SuspendDebtEmergency")),
		}
		node := s.required("DisablementThreshold")
		threshold, err := strconv.ParseInt(d.text(node), 10, 32)
		if err != nil {
			d.fail(node, "is no 32-bit number")
		}
		terms.DisablementThreshold = int32(threshold)
		s.end()
		r.Prepayment = &terms
	default:
		d.fail(mode, "is no payment mode")
		return
	}
	if v, ok := servicerequests.FindVariant(func(v *servicerequests.Variant) bool { return v.SRV == r.SRV && v.Mode == want }); ok {
		r.Variant = v
	}
}

func (i *InventorySearch) read(d *decoder, by xmltree.Node) {
	switch by.Local() {
	case "DeviceID":
		i.Device = d.eui(by)
	case "UPRN":
		i.UPRN = strconv.FormatUint(d.uint(by, 64), 10)
		if i.UPRN == "0" || len(i.UPRN) > 12 {
			d.fail(by, "is no number of 1 to 12 digits")
		}
	case "MPxN":
		i.MPxN = d.shortText(by, length{1, 13})
	case "PropertyFilter":
		i.PostCode, i.AddressIdentifier = d.propertyFilter(by)
	default:
		d.fail(by, "is nothing to search an inventory by")
	}
}

// propertyFilter reads the two parts of an address.
func (d *decoder) propertyFilter(n xmltree.Node) (postCode, address string) {
	s := d.children(n)
	postCode = d.shortText(s.required("PostCode"), postCodeLength)
	address = d.shortText(s.required("AddressIdentifier"), addressLength)
	s.end()
	return postCode, address
}

// Service returns the member of the permitted set that the request's XML asks
// for. Everything else is refused with an error that wraps
// [servicerequests.ErrNotPermitted]: other services, a Command Variant that the
// engine does not use, an execution time, a sequence. A Signed Pre-Command is
// what its GBCS message says: the XML alone permits nothing.
func (r ReceivedRequest) Service() (servicerequests.Service, error) {
	mode := ""
	switch {
	case r.SRV != "1.6":
	case r.SignedPreCommand != nil:
		mode = servicerequests.Credit.String() // the GBCS message must be it
	default:
		mode = r.Variant.Mode.String()
	}
	service, err := servicerequests.ParseService(r.SRV, mode)
	switch {
	case err != nil:
		return 0, err
	case !slices.Contains(r.Variant.CommandVariants, r.CommandVariant):
		return 0, r.refuse("Command Variant %d", r.CommandVariant)
	case !r.ExecutionDateTime.IsZero():
		return 0, r.refuse("an execution time")
	case r.FirstInSequence || r.Preceding != servicerequests.RequestID{}:
		return 0, r.refuse("a sequence")
	case service == servicerequests.ReadInventory && r.Inventory.Device == 0:
		return 0, r.refuse("a search by anything but the device")
	}
	return service, nil
}

func (r ReceivedRequest) refuse(format string, args ...any) error {
	return fmt.Errorf("SRV %s with %s: %w", r.SRV, fmt.Sprintf(format, args...), servicerequests.ErrNotPermitted)
}
