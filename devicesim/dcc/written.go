package dcc

import (
	"bytes"
	"slices"

	"safemode/devicesim/fault"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/xmldsig"
)

// write encodes a response and signs it; s nil: it has no Signature. How it is written
// varies, if it does, with the device and the service.
func (d *DCC) write(r duis.Response, s *xmldsig.Signer) ([]byte, error) {
	document, err := duis.AppendResponse(make([]byte, 0, 2048), r)
	if err != nil {
		return nil, err
	}
	return d.seal(document, s, r.RequestID.Target, r.SRV)
}

// seal signs a document that is in canonical form, in the form that is drawn for it.
func (d *DCC) seal(document []byte, s *xmldsig.Signer, device servicerequests.EUI, srv string) (_ []byte, err error) {
	var form fault.Form
	if d.Form != nil {
		form = d.Form(device, srv)
	}
	if form.Namespaces {
		document = unusedNamespaces(document)
	}
	if s != nil {
		if document, err = s.Sign(document); err != nil {
			return nil, err
		}
	}
	// Like DCC's Java software: a carriage return that is no line end. That software folds
	// no other element, and its validator refuses a folded GBCSPayload.
	if form.Folded {
		document = fold(document, "<ds:SignatureValue>", "&#13;\n")
	}
	document = slices.Concat([]byte(declarations[form.Declaration]), document)
	if form.Mark {
		document = slices.Concat([]byte("\ufeff"), document)
	}
	return document, nil
}

// declarations are XML declarations in the forms that XML writers use; the first is none.
var declarations = [...]string{
	"",
	`<?xml version="1.0" encoding="UTF-8"?>`,
	"<?xml version='1.0' encoding='utf-8'?>\r\n",
	`<?xml version="1.0" encoding="UTF-8" standalone="no"?>` + "\n",
}

// unusedNamespaces declares on the root what recorded answers declare and do not use. They
// are part of what is signed, in the order of the canonical form.
func unusedNamespaces(document []byte) []byte {
	const own = ` xmlns:sr="http://www.dccinterface.co.uk/ServiceUserGateway"`
	at := bytes.Index(document, []byte(own))
	if at < 0 || bytes.Contains(document, []byte("xmlns:ds=")) { // the canonical form declares nothing twice
		return document
	}
	return slices.Concat(document[:at],
		[]byte(` xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:ra="http://www.dccinterface.co.uk/ResponseAndAlert"`+own+
			` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`), document[at+len(own):])
}

// fold breaks the text of the last element with this tag into lines of 76 characters.
func fold(document []byte, tag, with string) []byte {
	const line = 76
	from := bytes.LastIndex(document, []byte(tag))
	if from < 0 {
		return document
	}
	from += len(tag)
	to := from + bytes.IndexByte(document[from:], '<')
	folded := slices.Clone(document[:from])
	for part := range slices.Chunk(document[from:to], line) {
		if len(folded) > from {
			folded = append(folded, with...)
		}
		folded = append(folded, part...)
	}
	return append(folded, document[to:]...)
}
