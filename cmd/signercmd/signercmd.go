// Package signercmd holds the commands of the signer: the process that has the supplier's
// keys. The program safemode offers them with keys in files; safemode-signer, which is built
// with cgo, offers the same with keys in a PKCS#11 token.
package signercmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/config"
	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/engine/signer"
	"safemode/engine/signing"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// Keys are the keys of all identities, wherever they are.
type Keys struct {
	Identities map[servicerequests.EUI]signer.Identity
	Agreements map[servicerequests.EUI]gbcs.Agreement
	Close      func() error
}

// Program is what the commands are part of.
type Program struct {
	Out, Err io.Writer
	Logger   func(w io.Writer, verbose bool) *zap.Logger
	// Open opens the keys that a configuration names.
	Open func(ctx context.Context, c *config.Signer) (Keys, error)
}

// Commands are the commands of a running signer.
func (p Program) Commands() []*cobra.Command {
	return []*cobra.Command{p.serve(), p.freeze(), p.thaw(), p.accept()}
}

// FileKeys opens keys in files. A configuration that names one in a token is refused.
func FileKeys(_ context.Context, c *config.Signer) (Keys, error) {
	k := Keys{Identities: map[servicerequests.EUI]signer.Identity{}, Agreements: map[servicerequests.EUI]gbcs.Agreement{}, Close: func() error { return nil }}
	var faults []error
	for _, id := range c.Identities {
		if id.XMLSigning != "" || id.DigitalSigning != "" || id.KeyAgreement != "" {
			faults = append(faults, fmt.Errorf("identity %s: its keys are in a token, which this program cannot open: run safemode-signer", id.EUI))
			continue
		}
		folder, err := smki.LoadSupplier(safefile.Dir(id.PKIDir))
		if err != nil {
			faults = append(faults, fmt.Errorf("identity %s: %s: %w", id.EUI, id.PKIDir, err))
			continue
		}
		for _, name := range folder.Exposed {
			faults = append(faults, fmt.Errorf("%s/%s: others than its owner may read or change it: chmod 600", id.PKIDir, name))
		}
		if got := folder.Supplier.XMLSigning.Certificate.EUI; got != id.EUI {
			faults = append(faults, fmt.Errorf("identity %s: the certificates in %s are of %s", id.EUI, id.PKIDir, got))
		}
		k.Identities[id.EUI] = IdentityOf(folder)
		k.Agreements[id.EUI] = gbcs.AgreementOf(folder.Supplier.KeyAgreement.Key)
	}
	return k, errors.Join(faults...)
}

// IdentityOf is the identity of a folder, with the signing keys that it has.
func IdentityOf(f *smki.Folder) signer.Identity {
	c := f.Supplier.XMLSigning.Certificate
	return signer.Identity{
		XML:        xmldsig.Signer{Key: f.Supplier.XMLSigning.Key, Issuer: c.Issuer, Serial: c.SerialText()},
		PreCommand: f.Supplier.DigitalSigning.Key,
	}
}

// loaded is a configuration with what it names beside keys.
type loaded struct {
	*config.Signer
	plan   *plan.Plan
	roster *direction.Roster
	trust  direction.Trust
}

func load(path string) (l loaded, err error) {
	if l.Signer, err = config.LoadSigner(path); err != nil {
		return l, err
	}
	if err := errors.Join(l.Validate(), l.ValidateService()); err != nil {
		return l, fmt.Errorf("%s:\n%w", path, err)
	}
	if l.plan, err = plan.Open(l.Plan); err != nil {
		return l, err
	}
	if l.plan.Environment != string(l.Environment) {
		return l, fmt.Errorf("the plan is for environment %s, the configuration for %s", l.plan.Environment, l.Environment)
	}
	pinned, err := certificate(l.Roster.SignedBy)
	if err != nil {
		return l, err
	}
	if l.roster, err = direction.LoadRoster(l.Roster.File, pinned); err != nil {
		return l, err
	}
	var authorities []*smki.Certificate
	for _, path := range l.Authorities {
		c, err := certificate(path)
		if err != nil {
			return l, err
		}
		authorities = append(authorities, c)
	}
	l.trust = direction.Trust{Chained: smki.Trust(authorities).Verify}
	return l, os.MkdirAll(l.Folder, 0o700)
}

// options are those of the service, without what signs.
func (l *loaded) options() signing.Options {
	return signing.Options{
		Folder: l.Folder, Plan: l.plan, Roster: l.roster, Trust: l.trust, Longest: l.Roster.ApprovalsAtMost, Broker: l.DCC,
		Limits: signing.Limits{Commands: l.Limits.Commands, PerHour: l.Limits.PerHour, Floor: l.Limits.CounterFloor},
	}
}

func certificate(path string) (*smki.Certificate, error) {
	text, err := safefile.Read(path, safefile.Small, safefile.Own)
	if err != nil {
		return nil, err
	}
	c, err := smki.ParseCertificatePEM(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
