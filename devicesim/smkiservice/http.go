package smkiservice

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"

	"go.uber.org/zap"
)

// maxBody is far above any request, which has one name in it.
const maxBody = 4096

// What DCC Boxed answers, by its client library.
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

type searchRequestXML struct {
	XMLName        xml.Name `xml:"CertificateSearchRequest"`
	SubjectName    string   `xml:"CertificateSubjectName"`
	SubjectAltName string   `xml:"CertificateSubjectAltName"`
}

type searchResponseXML struct {
	XMLName xml.Name    `xml:"CertificateSearchResponse"`
	Results []resultXML `xml:"Result"`
}

type resultXML struct {
	Serial string `xml:"CertificateSerial"`
	Status string `xml:"CertificateStatus"`
	Usage  string `xml:"CertificateUsage"`
	Role   string `xml:"CertificateRole,omitempty"`
}

type dataRequestXML struct {
	XMLName xml.Name `xml:"CertificateDataRequest"`
	Serial  string   `xml:"CertificateSerial"`
}

type dataResponseXML struct {
	XMLName        xml.Name `xml:"CertificateDataResponse"`
	Body           string   `xml:"CertificateResponse>CertificateBody"`
	SubjectName    string   `xml:"CertificateResponse>CertificateSubjectName,omitempty"`
	SubjectAltName string   `xml:"CertificateResponse>CertificateSubjectAltName,omitempty"`
}

func (s *service) serveSearch(w http.ResponseWriter, r *http.Request) {
	var body searchRequestXML
	if !readXML(w, r, &body) {
		return
	}
	request, err := body.read()
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
		answer := searchResponseXML{}
		for _, c := range found {
			answer.Results = append(answer.Results, s.describe(c))
		}
		s.writeXML(w, answer)
	}
}

func (s *service) serveRetrieve(w http.ResponseWriter, r *http.Request) {
	var body dataRequestXML
	if !readXML(w, r, &body) {
		return
	}
	c, err := s.retrieve(strings.TrimSpace(body.Serial))
	switch {
	case err != nil:
		s.fail(w, err)
	case c == nil:
		w.WriteHeader(statusNoneFound)
	default:
		answer := dataResponseXML{Body: base64.StdEncoding.EncodeToString(c.Raw)}
		switch {
		case c.Device:
			answer.SubjectAltName = c.EUI.String()
		case c.EUI != 0:
			answer.SubjectName = c.EUI.String()
		default:
			answer.SubjectName = c.CommonName
		}
		s.writeXML(w, answer)
	}
}

func (x searchRequestXML) read() (request searchRequest, err error) {
	name, altName := strings.TrimSpace(x.SubjectName), strings.TrimSpace(x.SubjectAltName)
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

func (s *service) describe(c *smki.Certificate) resultXML {
	result := resultXML{Serial: c.SerialText(), Status: inUse}
	if s.Revoked != nil && !c.Device && s.Revoked(c.EUI) {
		result.Status = revoked
	}
	switch c.Usage {
	case smki.DigitalSignature:
		result.Usage = "DS"
	case smki.KeyAgreement:
		result.Usage = "KA"
	case smki.CertSign:
		result.Usage = "CS"
	}
	if c.Role != smki.NoRole {
		result.Role = strconv.Itoa(int(c.Role))
	}
	return result
}

// readXML answers a request that it cannot read.
func readXML(w http.ResponseWriter, r *http.Request, into any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = xml.Unmarshal(body, into)
	}
	if err != nil {
		w.WriteHeader(statusBadSearch)
		return false
	}
	return true
}

func (s *service) writeXML(w http.ResponseWriter, answer any) {
	body, err := xml.Marshal(answer)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	// A client that has gone away needs no answer.
	_, _ = w.Write(append([]byte(xml.Header), body...))
}

func (s *service) fail(w http.ResponseWriter, err error) {
	s.Log.Error("no certificate could be made", zap.Error(err))
	w.WriteHeader(http.StatusInternalServerError)
}
