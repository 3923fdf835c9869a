package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

func newDUISVerify(io stdio) *cobra.Command {
	var certFile, at string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify --cert PEM [FILE|-]",
		Short: "Prove the signature of a DUIS document",
		Long: `Exit 0 and the header of the proven document as JSON, or exit 1 and the reason.
The document must name the given certificate by issuer and serial. Validity in
time is checked only where --at asks for it.`,
		Example: `  safemode duis verify --cert dcc.pem response.xml`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cert, err := cli.Certificate(certFile)
			if err != nil {
				return err
			}
			if at != "" {
				t, err := time.Parse(time.RFC3339, at)
				if err != nil {
					return failWith(exitUsage, fmt.Errorf("--at %q: want a time like 2026-11-01T12:00:00Z", at))
				}
				if err := cert.CheckValidAt(t); err != nil {
					return failWith(exitFailed, err)
				}
			}
			text, err := readInput(c.Context(), io.in, first(args), documentLimit)
			if err != nil {
				return err
			}
			keys, err := newOnlyKey(cert)
			if err != nil {
				return failWith(exitUsage, fmt.Errorf("%s: %w", certFile, err))
			}
			proven, err := xmldsig.Verify(text, keys)
			if err != nil {
				return failWith(exitFailed, err)
			}
			header, err := headerOf(proven)
			if err != nil {
				return failWith(exitFailed, err)
			}
			return printFacts(io.out, header, asJSON)
		},
	}
	c.Flags().StringVar(&certFile, "cert", "", "PEM file of the certificate that must have signed")
	c.Flags().StringVar(&at, "at", "", "also check that the certificate is valid at this time (RFC 3339)")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "cert")
	return c
}

// onlyKey knows one certificate, by issuer and serial.
type onlyKey struct {
	ref xmldsig.KeyRef
	key *ecdsa.PublicKey
}

func newOnlyKey(cert *smki.Certificate) (onlyKey, error) {
	ref, err := xmldsig.NewKeyRef(cert.Issuer, cert.SerialText())
	return onlyKey{ref, cert.PublicKey}, err
}

// Key finds the certificate's key, for the document that names the certificate.
func (k onlyKey) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	if ref != k.ref {
		return nil, fmt.Errorf("%w: the given certificate is %s", xmldsig.ErrUnknownKey, k.ref)
	}
	return k.key, nil
}

// provenHeader is what verify prints.
type provenHeader struct {
	Document         string `json:"document"` // request or response
	RequestID        string `json:"request_id,omitempty"`
	ResponseID       string `json:"response_id,omitempty"`
	CommandVariant   int    `json:"command_variant,omitempty"`
	ResponseCode     string `json:"response_code,omitempty"`
	ResponseDateTime string `json:"response_date_time,omitempty"`
	ServiceReference string `json:"service_reference,omitempty"`
	SRV              string `json:"service_reference_variant,omitempty"`
	Content          string `json:"content,omitempty"`
	Issuer           string `json:"issuer"`
	Serial           string `json:"serial"`
	SHA256           string `json:"sha256"` // of the proven bytes
}

// headerOf reads the header from the proven bytes.
func headerOf(p xmldsig.Proven) (provenHeader, error) {
	h := provenHeader{Issuer: p.KeyRef.Issuer, Serial: p.KeyRef.Serial, SHA256: fmt.Sprintf("%x", sha256.Sum256(p.Document))}
	tree, err := xmltree.Parse(p.Document)
	if err == nil {
		switch h.Document = strings.ToLower(tree.Root().Local()); h.Document {
		case "request":
			err = h.readRequest(p.Document)
		case "response":
			err = h.readResponse(p.Document)
		default:
			err = fmt.Errorf("its root is %q", tree.Root().Local())
		}
	}
	if err != nil {
		return h, fmt.Errorf("signature proven, but the document is no DUIS request or response of known form: %w", err)
	}
	return h, nil
}

func (h *provenHeader) readRequest(document []byte) error {
	r, err := duis.DecodeRequest(document)
	if err != nil {
		return err
	}
	h.RequestID, h.CommandVariant = r.ID.String(), int(r.CommandVariant)
	h.ServiceReference, h.SRV = r.ServiceReference, r.SRV
	if h.Content = r.Variant.Element; r.SignedPreCommand != nil {
		h.Content = "SignedPreCommand"
	}
	return nil
}

func (h *provenHeader) readResponse(document []byte) error {
	r, err := duis.DecodeResponse(document)
	if err != nil {
		return err
	}
	h.ResponseCode, h.ResponseDateTime = string(r.Code), r.At.UTC().Format(time.RFC3339Nano)
	h.ServiceReference, h.SRV = r.ServiceReference, r.SRV
	if r.RequestID != (servicerequests.RequestID{}) {
		h.RequestID = r.RequestID.String()
	}
	if r.ResponseID != (servicerequests.RequestID{}) {
		h.ResponseID = r.ResponseID.String()
	}
	if r.Content != nil {
		h.Content = contentName(r.Content)
	}
	return nil
}

func contentName(c duis.Content) string {
	switch c := c.(type) {
	case duis.PreCommand:
		return "PreCommand"
	case duis.DeviceResponse:
		return "GBCSPayload"
	case duis.Inventory:
		return "DSPInventory"
	case duis.FutureDatedAlert:
		return "FutureDatedDeviceAlertMessage"
	case duis.DeviceAlert:
		return "DeviceAlertMessage"
	case duis.DCCAlert:
		return "DCCAlertMessage"
	case duis.Other:
		return c.Element
	}
	return fmt.Sprintf("%T", c)
}
