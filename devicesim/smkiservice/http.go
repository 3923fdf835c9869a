package smkiservice

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmltree"

	"go.uber.org/zap"
)

// maxBody is far above any request, which has one name in it.
const maxBody = 4096

// Values that DCC Boxed answers, by its client library.
const (
	statusNoneFound = http.StatusPaymentRequired
	statusBadSearch = http.StatusUnauthorized
)

// Statuses of a certificate.
const (
	inUse   = "I"
	revoked = "R" // assumption
)

// searchRequest is a search that was read: one of the three is set.
type searchRequest struct {
	subjectName  string              // an authority's common name
	organisation servicerequests.EUI // also of a subject name
	device       servicerequests.EUI
}

func (s *service) serveSearch(w http.ResponseWriter, r *http.Request) {
	names, ok := readTexts(r, "CertificateSearchRequest", "CertificateSubjectName", "CertificateSubjectAltName")
	if !ok {
		w.WriteHeader(statusBadSearch)
		return
	}
	request, err := readSearch(names[0], names[1])
	if err != nil {
		w.WriteHeader(statusBadSearch)
		return
	}
	found, err := s.search(request)
	switch {
	case err != nil:
		s.fail(w, err)
	case len(found) == 0:
		w.WriteHeader(statusNoneFound)
	default:
		b := s.open(make([]byte, 0, 1024), "CertificateSearchResponse")
		for _, c := range found {
			b = s.appendResult(b, c)
		}
		writeXML(w, append(b, "</CertificateSearchResponse>"...))
	}
}

func (s *service) serveRetrieve(w http.ResponseWriter, r *http.Request) {
	serial, ok := readTexts(r, "CertificateDataRequest", "CertificateSerial")
	if !ok {
		w.WriteHeader(statusBadSearch)
		return
	}
	c, err := s.retrieve(serial[0])
	switch {
	case err != nil:
		s.fail(w, err)
	case c == nil:
		w.WriteHeader(statusNoneFound)
	default:
		b := s.open(make([]byte, 0, 2048), "CertificateDataResponse")
		b = append(b, "<CertificateResponse><CertificateBody>"...)
		b = append(base64.StdEncoding.AppendEncode(b, c.Raw), "</CertificateBody>"...)
		b = appendSubject(b, c)
		writeXML(w, append(b, "</CertificateResponse></CertificateDataResponse>"...))
	}
}

func readSearch(name, altName string) (request searchRequest, err error) {
	switch {
	case (name == "") == (altName == ""):
		return request, errors.New("want one of the two names")
	case altName != "":
		request.device, err = servicerequests.ParseEUI(altName)
		return request, err
	}
	request.subjectName = name
	if eui, err := servicerequests.ParseEUI(name); err == nil {
		request.organisation = eui
	}
	return request, nil
}

// The texts of CertificateUsage.
var usages = map[smki.Usage]string{smki.DigitalSignature: "DS", smki.KeyAgreement: "KA", smki.CertSign: "CS"}

func (s *service) appendResult(b []byte, c *smki.Certificate) []byte {
	status := inUse
	if s.Revoked != nil && !c.Device && s.Revoked(c.EUI) {
		status = revoked
	}
	b = append(b, "<Result>"...)
	b = appendElement(b, "CertificateSerial", s.serial(c))
	b = appendElement(b, "CertificateStatus", status)
	b = appendElement(b, "CertificateUsage", usages[c.Usage])
	if c.Role != smki.NoRole {
		b = appendElement(b, "CertificateRole", strconv.Itoa(int(c.Role)))
	}
	b = appendSubject(b, c)
	b = appendElement(b, "ManufacturingFlag", "false")
	return append(b, "</Result>"...)
}

// open begins an answer with what DCC says in each of its own.
func (s *service) open(b []byte, root string) []byte {
	b = append(append(append(b, '<'), root...), '>')
	b = appendElement(b, "ResponseCode", "0")
	b = appendElement(b, "ResponseMessage", "Success")
	return appendElement(b, "AuditReference", strconv.FormatUint(s.answers.Add(1), 10))
}

// appendSubject names the subject of a certificate.
func appendSubject(b []byte, c *smki.Certificate) []byte {
	switch {
	case c.Device:
		return appendElement(b, "CertificateSubjectAltName", c.EUI.String())
	case c.EUI != 0:
		return appendElement(b, "CertificateSubjectName", c.EUI.String())
	}
	return appendElement(b, "CertificateSubjectName", c.CommonName)
}

func appendElement(b []byte, name, text string) []byte {
	b = append(append(append(b, '<'), name...), '>')
	b = xmltree.AppendText(b, text)
	return append(append(append(b, "</"...), name...), '>')
}

// readTexts reads the texts of some elements of a request, each empty where there is
// none; namespaces and other elements do not matter.
func readTexts(r *http.Request, root string, names ...string) (texts []string, ok bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, false
	}
	doc, err := xmltree.Parse(body)
	if err != nil || doc.Root().Local() != root {
		return nil, false
	}
	defer doc.Release()
	texts = make([]string, len(names))
	for n := range doc.Root().Children() {
		for i, name := range names {
			if n.Local() == name {
				text, _ := n.Text() // one that holds elements has none
				texts[i] = strings.TrimSpace(text)
			}
		}
	}
	return texts, true
}

func writeXML(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/xml;charset=utf-8")
	// A client that has gone away needs no answer.
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n")
	_, _ = w.Write(body)
}

func (s *service) fail(w http.ResponseWriter, err error) {
	s.Log.Error("no certificate could be made", zap.Error(err))
	w.WriteHeader(http.StatusInternalServerError)
}
