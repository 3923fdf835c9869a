package engine

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// checkKeys compares keys with the environment: test keys are never used with the live
// DCC, and live keys never with a simulator.
func checkKeys(o Options) error {
	test := o.Plan.Environment == Simulator
	var faults []error
	if !test && (o.DCC.TLS == nil || o.Inbox.TLS == nil) {
		faults = append(faults, fmt.Errorf("%w: the environment is %s, and it needs mutual TLS both towards the DCC and at the inbox", ErrRefused, o.Plan.Environment))
	}
	check := func(what string, c *smki.Certificate, purpose smki.Purpose) {
		if err := CheckCertificate(c, purpose, o.Plan.Environment, o.DCC.Authorities); err != nil {
			faults = append(faults, fmt.Errorf("%w: %s: %w", ErrRefused, what, err))
		}
	}
	stands := map[servicerequests.EUI]bool{}
	for _, id := range o.Identities {
		if stands[id.EUI] {
			faults = append(faults, fmt.Errorf("%w: identity %v stands there twice", ErrRefused, id.EUI))
		}
		stands[id.EUI] = true
		check(fmt.Sprintf("identity %v: XML signing certificate", id.EUI), id.XMLSigning.Certificate, smki.SignsRequests)
		check(fmt.Sprintf("identity %v: digital signing certificate", id.EUI), id.DigitalSigning.Certificate, smki.SignsPreCommands)
		check(fmt.Sprintf("identity %v: key agreement certificate", id.EUI), id.KeyAgreement.Certificate, smki.SupplierAgrees)
		for _, c := range []*smki.Certificate{id.XMLSigning.Certificate, id.DigitalSigning.Certificate, id.KeyAgreement.Certificate} {
			if c.EUI != id.EUI {
				faults = append(faults, fmt.Errorf("%w: identity %v: a certificate belongs to %v", ErrRefused, id.EUI, c.EUI))
			}
		}
	}
	for _, address := range []string{o.DCC.URL, o.DCC.SMKIURL} {
		for _, id := range o.Identities {
			for _, c := range []*smki.Certificate{id.XMLSigning.Certificate, id.DigitalSigning.Certificate, id.KeyAgreement.Certificate} {
				if c.IsPublished() && !loopback(address) {
					faults = append(faults, fmt.Errorf("%w: identity %v: anybody can have the private key of certificate %s (the DCC's published test set), and %s is not loopback",
						ErrRefused, id.EUI, c.SerialText(), address))
				}
			}
		}
	}
	for _, c := range o.DCC.Transform {
		check("the DCC's Transform certificate", c, smki.SignsResponses)
	}
	for _, c := range o.DCC.XMLSigning {
		check("the DCC's XML signing certificate", c, smki.SignsResponses)
	}
	return errors.Join(faults...)
}

// CheckCertificate checks that one certificate fits its purpose and the environment and, if
// authorities are named, that it chains to them.
func CheckCertificate(c *smki.Certificate, purpose smki.Purpose, environment string, authorities []*smki.Certificate) error {
	err := c.CheckPurpose(purpose)
	switch test := environment == Simulator; {
	case test && !c.IsTest():
		return errors.Join(err, fmt.Errorf("it is not of a test PKI (issuer %s), and the environment is %s", c.Issuer, environment))
	case !test && c.IsTest():
		return errors.Join(err, fmt.Errorf("it is of a test PKI (issuer %s), and the environment is %s", c.Issuer, environment))
	case len(authorities) > 0:
		return errors.Join(err, c.VerifyChain(authorities))
	}
	return err
}

// loopback says whether a URL can only lead to this machine.
func loopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
