package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// signatureNamespace is XML Signature's (W3C, 10 June 2008).
const signatureNamespace = "http://www.w3.org/2000/09/xmldsig#"

const documentLimit = 1 << 20 // bytes; a DUIS document in scope has a few thousand

func newDUIS(io stdio) *cobra.Command {
	return group("duis", "Build, sign and verify DUIS XML", newDUISBuild(io), newDUISSign(io), newDUISVerify(io))
}

// requestFlags name a Service Request on the command line.
type requestFlags struct {
	srv, mode, originator, target, counter string
}

func (f *requestFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.srv, "srv", "", "Service Reference Variant, like 7.3")
	flags.StringVar(&f.mode, "mode", "", "for 1.6: credit, the only permitted mode")
	flags.StringVar(&f.originator, "originator", "", "EUI of the supplier")
	flags.StringVar(&f.target, "target", "", "EUI of the device; for 8.2 of the DCC")
	flags.StringVar(&f.counter, "counter", "", "originator counter, 1 to 2^63-1")
	required(c, "srv", "originator", "target", "counter")
}

// parse reads the flags. A service outside the permitted set is refused, all
// else that is wrong is wrong usage. defaultMode stands for an absent --mode.
func (f *requestFlags) parse(defaultMode string) (servicerequests.Service, servicerequests.RequestID, error) {
	var id servicerequests.RequestID
	service, err := f.service(defaultMode)
	if errors.Is(err, servicerequests.ErrNotPermitted) {
		return 0, id, failWith(exitRefused, err)
	}
	var faults []error
	fault := func(flag string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	fault("srv", err)
	id.Originator, err = servicerequests.ParseEUI(f.originator)
	fault("originator", err)
	id.Target, err = servicerequests.ParseEUI(f.target)
	fault("target", err)
	id.Counter, err = servicerequests.ParseCounter(f.counter)
	fault("counter", err)
	return service, id, failWith(exitUsage, errors.Join(faults...))
}

// service tells what is forbidden, or not known to be permitted, from what is
// not the name of a service at all.
func (f *requestFlags) service(defaultMode string) (servicerequests.Service, error) {
	mode := f.mode
	if f.srv == "1.6" {
		mode = cmp.Or(mode, defaultMode)
	}
	switch {
	case strings.Trim(f.srv, "0123456789.") != "" || f.srv == "":
		return 0, fmt.Errorf("%q: want a Service Reference Variant like 6.2.9", f.srv)
	case f.srv == "1.6" && mode == "":
		return 0, errors.New("1.6 needs --mode credit")
	case mode != "" && mode != servicerequests.Credit.String() && mode != servicerequests.Prepayment.String():
		return 0, fmt.Errorf("1.6 with --mode %q: want credit", mode)
	}
	return servicerequests.ParseService(f.srv, mode)
}

func newDUISBuild(io stdio) *cobra.Command {
	var flags requestFlags
	var device string
	c := &cobra.Command{
		Use:   "build",
		Short: "Unsigned DUIS XML of one permitted Service Request",
		Example: `  safemode duis build --srv 7.3 --originator 90-B3-D5-1F-30-01-00-00 --target 00-DB-12-34-56-78-90-A0 --counter 1000
  safemode duis build --srv 1.6 --mode credit --originator 90B3D51F30010000 --target 00DB1234567890A0 --counter 1001
  safemode duis build --srv 8.2 --device 00-DB-12-34-56-78-90-A0 --originator 90-B3-D5-1F-30-01-00-00 --target 90-B3-D5-1F-30-00-00-02 --counter 1002`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			service, id, err := flags.parse("")
			if err != nil {
				return err
			}
			request := duis.Request{ID: id, Service: service}
			if service == servicerequests.ReadInventory {
				if request.InventoryDevice, err = servicerequests.ParseEUI(device); err != nil {
					return failWith(exitUsage, fmt.Errorf("--device: %w", err))
				}
			} else if device != "" {
				return failWith(exitUsage, errors.New("--device goes with --srv 8.2 only"))
			}
			b, err := duis.AppendRequest(nil, request)
			if err != nil {
				return failWith(exitFailed, err)
			}
			return writeLine(io.out, b)
		},
	}
	flags.add(c)
	c.Flags().StringVar(&device, "device", "", "for 8.2: EUI of the device whose home is asked for")
	return c
}

func newDUISSign(io stdio) *cobra.Command {
	var certFile, keyFile string
	c := &cobra.Command{
		Use:   "sign --cert PEM --key PEM [FILE|-]",
		Short: "Sign a DUIS request of the permitted set with a test certificate",
		Long: `Signs a DUIS request and writes compact signed XML. An existing Signature is
replaced, comments and the white space between elements are dropped. Refused with
exit 3: every request outside the permitted set, also inside a Signed Pre-Command,
and certificates that are not of a test PKI.`,
		Example: `  safemode duis build --srv 7.3 ... | safemode duis sign --cert pki/supplier/xml-signing.pem --key pki/supplier/xml-signing.key`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cert, key, err := loadTestSigner(certFile, keyFile, smki.SignsRequests)
			if err != nil {
				return err
			}
			text, err := readInput(c.Context(), io.in, first(args), documentLimit)
			if err != nil {
				return err
			}
			document, err := unsignedForm(text)
			if err != nil {
				return failWith(exitUsage, err)
			}
			if err := checkRequest(document); err != nil {
				return failWith(exitRefused, err)
			}
			x := xmldsig.Signer{Key: key, Issuer: cert.Issuer, Serial: cert.SerialText()}
			signed, err := x.Sign(document)
			if err != nil {
				return failWith(exitFailed, err)
			}
			return writeLine(io.out, signed)
		},
	}
	addIdentityFlags(c, &certFile, &keyFile)
	return c
}

// unsignedForm reads a document that a person or another tool wrote and returns
// its canonical form without Signature, comments and indentation.
func unsignedForm(text []byte) ([]byte, error) {
	doc, err := xmltree.ParseSample(text)
	if err != nil {
		return nil, err
	}
	root := doc.Root()
	var signature xmltree.Node
	for n := range root.Children() {
		if n.Is(signatureNamespace, "Signature") {
			signature = n
		}
	}
	return doc.AppendCompact(nil, root, signature), nil
}

// checkRequest refuses every request outside the permitted set. A Signed
// Pre-Command must be, without its signature, byte for byte a Pre-Command of the
// service that the XML names, under the same Request ID.
func checkRequest(document []byte) error {
	request, err := duis.DecodeRequest(document)
	if err != nil {
		return err
	}
	service, err := request.Service()
	if err != nil || request.SignedPreCommand == nil {
		return err
	}
	expected := gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: request.ID}
	if err := expected.For(request.SignedPreCommand).MatchSigned(request.SignedPreCommand); err != nil {
		return fmt.Errorf("Signed Pre-Command: %w", err)
	}
	return nil
}
