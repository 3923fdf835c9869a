package directory

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"safemode/servicerequests"
	"safemode/servicerequests/xmltree"
)

// service is the SMKI service as a client sees it.
type service struct {
	client *http.Client
	urls   map[string]string // of each question, with the API key
}

// The questions, as the service's paths name them.
const (
	questionSearch   = "certificatesearch"
	questionRetrieve = "retrievecertificate"
)

func serviceAt(client *http.Client, base *url.URL, apiKey string) service {
	s := service{client, map[string]string{}}
	for _, question := range [...]string{questionSearch, questionRetrieve} {
		u := base.JoinPath("services", question)
		u.RawQuery = url.Values{"apikey": {apiKey}}.Encode()
		s.urls[question] = u.String()
	}
	return s
}

// result is one entry of a search.
type result struct{ serial, status, usage string }

// maxReply bounds a reply, in bytes: a certificate has about 500, and a search
// answers for one device.
const maxReply = 256 << 10

// The fields that a search goes by.
const (
	subjectOrganisation = "CertificateSubjectName"
	subjectDevice       = "CertificateSubjectAltName"
)

func (s service) search(ctx context.Context, field string, eui servicerequests.EUI) ([]result, error) {
	root, err := s.post(ctx, questionSearch,
		"<CertificateSearchRequest><"+field+">"+eui.String()+"</"+field+"></CertificateSearchRequest>")
	if err != nil {
		return nil, err
	}
	var found []result
	for n := range root.Descendants() {
		if n.Local() == "Result" {
			found = append(found, result{
				serial: child(n, "CertificateSerial"),
				status: child(n, "CertificateStatus"),
				usage:  child(n, "CertificateUsage"),
			})
		}
	}
	return found, nil
}

// maxSerial bounds a serial in digits: 20 octets are 49 decimal ones (RFC 5280
// 4.1.2.2), and some more that are leading zeros.
const maxSerial = 64

// isSerial says whether the text may name a certificate of the service. It is a token
// of hexadecimal digits, and nothing is read out of it: it goes back as it came.
func isSerial(text string) bool {
	return text != "" && len(text) <= maxSerial && strings.Trim(text, "0123456789ABCDEFabcdef") == ""
}

func (s service) retrieve(ctx context.Context, serial string) (der []byte, err error) {
	if !isSerial(serial) {
		return nil, fmt.Errorf("%w: it names a certificate by %.80q", errUnavailable, serial)
	}
	root, err := s.post(ctx, questionRetrieve,
		"<CertificateDataRequest><CertificateSerial>"+serial+"</CertificateSerial></CertificateDataRequest>")
	if err != nil {
		return nil, err
	}
	for n := range root.Descendants() {
		if n.Local() != "CertificateBody" {
			continue
		}
		text, _ := n.Text()
		der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, fmt.Errorf("%w: certificate %s: %w", errUnavailable, serial, err)
		}
		return der, nil
	}
	return nil, fmt.Errorf("%w: no body in the answer for certificate %s", errUnavailable, serial)
}

// post asks one question and returns the root of the answer. Every fault but
// "none found" leaves the question open.
func (s service) post(ctx context.Context, question, body string) (root xmltree.Node, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.urls[question], strings.NewReader(body))
	if err != nil {
		return root, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	req.Header.Set("Content-Type", "application/xml")
	resp, err := s.client.Do(req)
	if err != nil {
		return root, fmt.Errorf("%w: %s: %w", errUnavailable, question, withoutURL(err))
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it will be
	var reply bytes.Buffer
	reply.Grow(int(min(max(resp.ContentLength, 0), 4<<10)) + bytes.MinRead) // and for the end to be seen
	_, err = reply.ReadFrom(io.LimitReader(resp.Body, maxReply+1))
	raw := reply.Bytes()
	switch {
	case resp.StatusCode == http.StatusPaymentRequired:
		return root, fmt.Errorf("%w: the SMKI service knows none", errNoCertificate)
	case resp.StatusCode != http.StatusOK:
		return root, fmt.Errorf("%w: %s: HTTP status %d", errUnavailable, question, resp.StatusCode)
	case err != nil:
		return root, fmt.Errorf("%w: %s: %w", errUnavailable, question, err)
	case len(raw) > maxReply:
		return root, fmt.Errorf("%w: %s: answer over %d bytes", errUnavailable, question, maxReply)
	}
	doc, err := xmltree.Parse(raw)
	if err != nil {
		return root, fmt.Errorf("%w: %s: %w", errUnavailable, question, err)
	}
	return doc.Root(), nil
}

// withoutURL takes the URL, and with it the API key, out of an error.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// child returns the text of the first child with this local name.
func child(n xmltree.Node, local string) string {
	for c := range n.Children() {
		if c.Local() == local {
			text, _ := c.Text()
			return strings.TrimSpace(text)
		}
	}
	return ""
}
