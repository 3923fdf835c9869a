package proof

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// ClaimKind is the kind of message that a message claims to be.
type ClaimKind uint8

// The kinds of claims.
const (
	ClaimOther    ClaimKind = iota // it cannot be read, or is nothing that is delivered
	ClaimResponse                  // a device's response
	ClaimSilence                   // a response code without data: the DCC says that no answer came
	ClaimAlert                     // a device's alert
	ClaimDCCAlert                  // an alert of the DCC's own
)

func (k ClaimKind) String() string {
	return [...]string{"other", "response", "silence", "alert", "dcc_alert"}[k]
}

// Claim is what a message says of itself. It is not proven, so nothing may be done because
// of it: it serves to store a message until [Verifier.Delivery] has judged it. Only FromDCC
// is proven: the DCC has signed the message, which does not make its content true.
type Claim struct {
	Kind    ClaimKind
	FromDCC bool // a key of the DCC that is configured has signed it, whatever it may sign

	ID     servicerequests.RequestID    // of the request that it answers; zero: none
	Device servicerequests.EUI          // that answers or alerts; 0: none
	Code   servicerequests.ResponseCode // empty: it cannot be read
	SRV    string                       // empty: none
	Alert  string                       // alert code, like 8F32 or AD1; empty: no alert

	Err error // of ClaimOther: why it is that
}

// Claim reads what a message claims. It needs no device's keys and does no I/O. The error
// means that the message is no XML at all; it is an [*Error] of kind ErrInvalid.
func (v *Verifier) Claim(raw []byte) (Claim, error) {
	c, err := v.File(raw)
	if err != nil {
		return c, err
	}
	tree, err := xmltree.Parse(raw)
	if err != nil {
		return Claim{}, &Error{Kind: ErrInvalid, Err: err}
	}
	defer tree.Release()
	_, err = xmldsig.VerifyTree(tree, v.either)
	c.FromDCC = err == nil
	return c, nil
}

// File is [Verifier.Claim] without FromDCC, for a message from a sender that is known by other
// means; its signature is checked when it is judged. XML that is larger than the tree takes,
// or has more than DUIS uses, gives a ClaimOther.
func (v *Verifier) File(raw []byte) (Claim, error) {
	tree, err := xmltree.Parse(raw)
	if err != nil && wellFormed(raw) {
		return Claim{Err: err}, nil
	}
	if err != nil {
		return Claim{}, &Error{Kind: ErrInvalid, Err: err}
	}
	defer tree.Release()
	var c Claim
	r, err := duis.InspectTree(tree)
	if err == nil {
		c.read(r)
	} else {
		c.Err = err
	}
	return c, nil
}

// wellFormed says whether the standard library can read a document as XML. It accepts more
// than package xmltree: comments, CDATA, processing instructions, and any size.
func wellFormed(raw []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(raw, []byte("\ufeff"))))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	roots, depth := 0, 0
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF):
			return roots == 1 && depth == 0
		case err != nil:
			return false
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(t)) > 0 {
				return false
			}
		}
		if depth < 0 || roots > 1 {
			return false
		}
	}
}

// read fills in what a message claims.
func (c *Claim) read(r duis.Response) {
	c.ID, c.Code, c.SRV = r.RequestID, r.Code, r.SRV
	switch content := r.Content.(type) {
	case nil:
		c.Kind, c.Device = ClaimSilence, r.RequestID.Target
	case duis.DeviceResponse:
		c.Kind, c.Device = ClaimResponse, r.RequestID.Target
	case duis.DeviceAlert:
		c.alert(content.Code, content.Payload)
	case duis.FutureDatedAlert:
		c.alert(content.Code, content.Payload)
	case duis.DCCAlert:
		c.Kind, c.Alert, c.ID = ClaimDCCAlert, content.Code, servicerequests.RequestID{}
	default:
		c.Err = fmt.Errorf("%T is not delivered to an inbox", content)
	}
}

// alert fills in what a device's alert claims: only the message inside it names the device.
func (c *Claim) alert(code uint16, payload []byte) {
	c.Kind, c.Alert, c.ID = ClaimAlert, fmt.Sprintf("%04X", code), servicerequests.RequestID{}
	if m, err := gbcs.Parse(payload); err == nil {
		c.Device = m.Originator
	}
}

// Content reads the alert in a message without proving it, for records of messages that were
// proven before. If the message is no alert, neither Alert nor DCCAlert is set.
func (v *Verifier) Content(raw []byte) (d Delivery, err error) {
	r, err := duis.InspectResponse(raw)
	if err != nil {
		return d, err
	}
	d.At = r.At
	var payload []byte
	switch content := r.Content.(type) {
	case duis.DCCAlert:
		d.DCCAlert = &content
		return d, nil
	case duis.DeviceAlert:
		payload = content.Payload
	case duis.FutureDatedAlert:
		payload = content.Payload
	default:
		return d, nil
	}
	if d.Message, err = gbcs.Parse(payload); err != nil {
		return Delivery{}, err
	}
	alert, err := gbcs.DecodeAlert(d.Message)
	if err != nil {
		return Delivery{}, err
	}
	d.Device, d.Alert = d.Message.Originator, &alert
	return d, nil
}
