package proof

import (
	"cmp"
	"fmt"

	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// providerMessage is what a SMETS1 Service Provider says in a message that the DCC has signed, and
// whether that is proven. It is the reason why the message is other traffic.
type providerMessage struct {
	duis.SMETS1
	unread error           // it cannot be read; SMETS1 is empty then
	signer *xmldsig.KeyRef // the provider's key that has signed it; nil: that is not proven
	failed error           // why not; nil: no key of a provider is configured
}

func (p *providerMessage) Error() string {
	switch {
	case p.unread != nil:
		return fmt.Sprintf("what a SMETS1 Service Provider says cannot be read: %v", p.unread)
	case p.signer != nil:
		return fmt.Sprintf("SMETS1: %s; signed by %s", p.SMETS1, p.signer)
	case p.failed != nil:
		return fmt.Sprintf("SMETS1: %s; the provider's signature is not proven: %v", p.SMETS1, p.failed)
	}
	return fmt.Sprintf("SMETS1: %s; no key of a provider is configured", p.SMETS1)
}

// Unwrap returns what could not be read or proven.
func (p *providerMessage) Unwrap() error { return cmp.Or(p.unread, p.failed) }

// providerMessage reads and verifies what a provider says; nil if the message has nothing of one.
func (v *Verifier) providerMessage(tree *xmltree.Document, r duis.Response) *providerMessage {
	switch c := r.Content.(type) {
	case duis.Other:
		if c.Element != duis.SMETS1Message {
			return nil
		}
	case duis.DCCAlert:
		if event, ok := c.Event.(duis.OtherEvent); !ok || event.Element != duis.S1SPAlertEvent {
			return nil
		}
	default:
		return nil
	}
	p := &providerMessage{}
	if p.SMETS1, p.unread = duis.ReadSMETS1(tree); p.unread != nil {
		return p
	}
	if said := p.SMETS1; said.Answers && said.Request != r.RequestID {
		p.failed = fmt.Errorf("the document answers %s, the provider's message in it %s", r.RequestID, said.Request)
		return p
	}
	if len(v.s1sp.certificates) == 0 {
		return p
	}
	signer, err := xmldsig.VerifyHandedOn(tree, v.s1sp)
	if p.failed = err; err == nil {
		p.signer = &signer
	}
	return p
}

// newProviderKeys makes the set of keys of SMETS1 Service Providers. Their role is not checked: no public
// text says which it is.
func newProviderKeys(certificates []*smki.Certificate, revoked func(*smki.Certificate) bool) (keySet, error) {
	p := keySet{map[xmldsig.KeyRef]*smki.Certificate{}, revoked}
	for _, c := range certificates {
		ref, err := xmldsig.NewKeyRef(c.Issuer, c.SerialText())
		if err != nil {
			return p, fmt.Errorf("s1sp: %s: %w", c.Subject, err)
		}
		p.certificates[ref] = c
	}
	return p, nil
}
