package duis

import (
	"fmt"
	"slices"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// DecodeResponse reads a response without Signature: the bytes that a
// signature check has proven, or an unsigned acknowledgement. EUIs and Request
// IDs come out the same whatever case they were written in. Errors wrap
// [ErrFormat].
func DecodeResponse(b []byte) (Response, error) { return decodeResponse(b, false) }

// InspectResponse is DecodeResponse for a response that may carry a Signature,
// which is neither checked nor read. It is for recorded responses that were proven
// when they came in, never for trusting one.
func InspectResponse(b []byte) (Response, error) { return decodeResponse(b, true) }

// InspectTree is [InspectResponse] for a document that has been parsed.
func InspectTree(doc *xmltree.Document) (Response, error) { return readResponse(doc, true) }

func decodeResponse(b []byte, signed bool) (Response, error) {
	doc, err := xmltree.Parse(b)
	if err != nil {
		return Response{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	defer doc.Release()
	return readResponse(doc, signed)
}

// ReadResponse is [DecodeResponse] for a document that has been parsed: the tree that
// a signature check has left, or that of an unsigned acknowledgement.
func ReadResponse(doc *xmltree.Document) (Response, error) { return readResponse(doc, false) }

func readResponse(doc *xmltree.Document, signed bool) (Response, error) {
	var r Response
	d := decoder{folded: true}
	top := d.root(doc, "Response")
	r.readHeader(&d, top.required("Header"))
	body := d.children(top.required("Body"))
	r.readBody(&d, body.any())
	body.end()
	if signed {
		top.skipSignature()
	}
	top.end()
	if d.err != nil {
		return Response{}, d.err
	}
	return r, nil
}

func (r *Response) readHeader(d *decoder, header xmltree.Node) {
	s := d.children(header)
	if n := s.optional("RequestID"); !n.IsZero() {
		r.RequestID = d.anyRequestID(n)
	}
	if n := s.optional("ResponseID"); !n.IsZero() {
		r.ResponseID = d.anyRequestID(n)
	}
	node := s.required("ResponseCode")
	r.Code = servicerequests.ResponseCode(d.text(node))
	if d.err == nil && !validCode(r.Code) {
		d.fail(node, "%q has not the form of one", r.Code)
	}
	r.At = d.time(s.required("ResponseDateTime"))
	s.end()
}

func (r *Response) readBody(d *decoder, message xmltree.Node) {
	s := d.children(message)
	switch message.Local() {
	case "ResponseMessage":
		r.ServiceReference, r.SRV = d.serviceReferences(&s)
		if !s.next.IsZero() {
			r.Content = d.responseContent(s.any())
		}
	case "DeviceAlertMessage":
		r.Content = DeviceAlert{
			Code:      d.alertCode(s.required("AlertCode")),
			Throttled: d.throttled(&s),
			Payload:   d.payload(s.required("GBCSPayload")),
		}
	case "DCCAlertMessage":
		r.Content = d.dccAlert(&s)
	case SMETS1Message: // see [ReadSMETS1]
		r.Content = Other{message.Local()}
		return
	default:
		d.fail(message, "is no message that a Body holds")
	}
	s.end()
}

func (d *decoder) responseContent(n xmltree.Node) Content {
	switch n.Local() {
	case "GBCSPayload":
		return DeviceResponse{d.payload(n)}
	case "DSPInventory":
		return d.inventory(n)
	case "PreCommand":
		s := d.children(n)
		c := PreCommand{
			GBCSVersion: d.shortText(s.required("GBCSVersion"), anyText),
			Payload:     d.payload(s.required("GBCSPayload")),
		}
		s.end()
		return c
	case "FutureDatedDeviceAlertMessage":
		s := d.children(n)
		node := s.required("FutureDatedAlertCode")
		c := FutureDatedAlert{
			Code:        d.alertCode(node),
			Payload:     d.payload(s.required("GBCSPayload")),
			Instruction: uint16(d.uint(s.required("InstructionNumber"), 16)),
			Total:       uint16(d.uint(s.required("TotalCommandInstructions"), 16)),
		}
		if c.Code != 0x8F66 && c.Code != 0x8F67 {
			d.fail(node, "%04X is neither 8F66 nor 8F67", c.Code)
		}
		s.end()
		return c
	}
	if !slices.Contains(otherContents, n.Local()) {
		d.fail(n, "is nothing that a response carries")
	}
	return Other{n.Local()}
}

func (d *decoder) throttled(s *sequence) Throttled {
	return Throttled{
		SequenceID: uint32(d.uint(s.optional("ThrottledAlertSequenceId"), 32)),
		Count:      uint32(d.uint(s.optional("ThrottledAlertCount"), 32)),
	}
}
