package duis

import (
	"fmt"

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
	l := layout{sequence: d.root(doc, "Response")}
	r.layout(&l)
	if signed {
		l.skipSignature()
	}
	l.end()
	if d.err != nil {
		return Response{}, d.err
	}
	return r, nil
}
