// Package signercmd holds the commands of the signer: the process that has the supplier's
// keys. The program safemode offers them with keys in files; safemode-signer, which is built
// with cgo, offers the same with keys in a PKCS#11 token.
package signercmd

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/engine/plan"
	"safemode/engine/signer"
	"safemode/engine/signing"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// Program is what the commands are part of.
type Program struct {
	Name     string // of the program and its group of commands, for examples
	Out, Err io.Writer
	Logger   func(w io.Writer, verbose bool) *zap.Logger
	// Token opens the token that a configuration names. Nil: this program has none.
	Token func(context.Context, *config.Signer, *zap.Logger) (Token, error)
}

// Token has keys, by their URIs.
type Token interface {
	Signer(ctx context.Context, uri string, public *ecdsa.PublicKey) (crypto.Signer, error)
	Agreement(ctx context.Context, uri string, public *ecdh.PublicKey) (gbcs.Agreement, error)
	Close() error
}

// Commands are the commands of a running signer.
func (p Program) Commands() []*cobra.Command {
	return []*cobra.Command{p.serve(), p.freeze(), p.thaw(), p.accept()}
}

// keys are the keys of all identities, wherever they are.
type keys struct {
	identities map[servicerequests.EUI]signer.Identity
	agreements map[servicerequests.EUI]gbcs.Agreement
	token      Token // nil: none was opened
}

func (k keys) close() error {
	if k.token == nil {
		return nil
	}
	return k.token.Close()
}

// open opens the keys that a configuration names: in the token those with a URI, in the
// PKI folder the others. Each must fit its certificate.
func (p Program) open(ctx context.Context, c *config.Signer, log *zap.Logger) (k keys, err error) {
	k = keys{identities: map[servicerequests.EUI]signer.Identity{}, agreements: map[servicerequests.EUI]gbcs.Agreement{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	inToken := slices.ContainsFunc(c.Identities, func(id config.SignerIdentity) bool {
		return id.XMLSigning != "" || id.DigitalSigning != "" || id.KeyAgreement != ""
	})
	if inToken && p.Token == nil {
		return k, errors.New("keys are in a token, which this program cannot open: run safemode-signer")
	}
	if inToken {
		if k.token, err = p.Token(ctx, c, log); err != nil {
			return k, err
		}
	}
	var faults []error
	for _, id := range c.Identities {
		if err := k.add(ctx, id); err != nil {
			faults = append(faults, fmt.Errorf("identity %s: %w", id.EUI, err))
		}
	}
	return k, errors.Join(faults...)
}

// add adds one identity.
func (k keys) add(ctx context.Context, id config.SignerIdentity) error {
	xml, xmlKey, err := k.signing(ctx, id, "xml-signing", id.XMLSigning, smki.SignsRequests)
	if err != nil {
		return err
	}
	_, digital, err := k.signing(ctx, id, "digital-signing", id.DigitalSigning, smki.SignsPreCommands)
	if err != nil {
		return err
	}
	c, err := Certificate(id, "key-agreement", smki.SupplierAgrees)
	if err != nil {
		return err
	}
	public, err := c.PublicKey.ECDH()
	if err != nil {
		return err
	}
	if id.KeyAgreement != "" {
		k.agreements[id.EUI], err = k.token.Agreement(ctx, id.KeyAgreement, public)
	} else {
		var key *ecdsa.PrivateKey
		var private *ecdh.PrivateKey
		if key, err = keyFile(id, "key-agreement", c); err == nil {
			private, err = key.ECDH()
		}
		k.agreements[id.EUI] = gbcs.AgreementOf(private)
	}
	k.identities[id.EUI] = signer.Identity{
		XML: xmldsig.Signer{Key: xmlKey, Issuer: xml.Issuer, Serial: xml.SerialText()}, PreCommand: digital,
	}
	return err
}

// signing is the key of one kind, with its certificate.
func (k keys) signing(ctx context.Context, id config.SignerIdentity, name, uri string, purpose smki.Purpose) (*smki.Certificate, crypto.Signer, error) {
	c, err := Certificate(id, name, purpose)
	if err != nil {
		return nil, nil, err
	}
	if uri != "" {
		key, err := k.token.Signer(ctx, uri, c.PublicKey)
		return c, key, err
	}
	key, err := keyFile(id, name, c)
	return c, key, err
}

// Certificate reads one of an identity's certificates.
func Certificate(id config.SignerIdentity, name string, purpose smki.Purpose) (*smki.Certificate, error) {
	path := filepath.Join(id.PKIDir, "supplier", name+".pem")
	c, err := cli.Certificate(path)
	if err != nil {
		return nil, err
	}
	if err = c.CheckPurpose(purpose); err == nil && c.EUI != id.EUI {
		err = fmt.Errorf("the certificate belongs to %v, not to %v", c.EUI, id.EUI)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// keyFile reads the key beside a certificate.
func keyFile(id config.SignerIdentity, name string, c *smki.Certificate) (*ecdsa.PrivateKey, error) {
	return cli.Key(filepath.Join(id.PKIDir, "supplier", name+".key"), safefile.Secret, c)
}

// loaded is a configuration with everything that it names except keys.
type loaded struct {
	*config.Signer
	plan   *plan.Plan
	roster *direction.Roster
	trust  direction.Trust
	gates  *direction.Gates
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
	pinned, err := cli.Certificate(l.Roster.SignedBy)
	if err != nil {
		return l, err
	}
	if l.roster, err = direction.LoadRoster(l.Roster.File, pinned); err != nil {
		return l, err
	}
	var authorities []*smki.Certificate
	for _, path := range l.Authorities {
		c, err := cli.Certificate(path)
		if err != nil {
			return l, err
		}
		authorities = append(authorities, c)
	}
	l.trust = direction.Trust{Chained: smki.Trust(authorities).Verify}
	if err := cli.MakeDir(l.Folder); err != nil {
		return l, err
	}
	return l, l.watch(authorities)
}

// watch makes the gates that the configuration names.
func (l *loaded) watch(authorities []*smki.Certificate) error {
	g := direction.GateOptions{Direction: &l.plan.Direction, MaxAge: l.Gates.MaxAge, Poll: time.Second}
	if len(l.Gates.RevocationLists) > 0 || l.Gates.CheckExpiry {
		r := direction.RevocationOptions{
			Lists: l.Gates.RevocationLists, Authorities: authorities, CheckExpiry: l.Gates.CheckExpiry, Poll: l.Gates.Poll,
			ListAge: l.Gates.RevocationListAge, Memory: durable.Folder(l.Folder),
		}
		for _, id := range l.Identities {
			for name, purpose := range map[string]smki.Purpose{
				"xml-signing": smki.SignsRequests, "digital-signing": smki.SignsPreCommands, "key-agreement": smki.SupplierAgrees,
			} {
				c, err := Certificate(id, name, purpose)
				if err != nil {
					return err
				}
				r.Certificates = append(r.Certificates, c)
			}
		}
		revocations := direction.NewRevocations(r)
		g.Certificates, l.trust.Revoked = revocations, revocations.Revoked
	}
	if l.Gates.FreezeFile != "" {
		g.Frozen = direction.NewFreezeFile(direction.FreezeOptions{
			Path: l.Gates.FreezeFile, Roster: l.roster, Trust: l.trust, Identities: l.plan.Originators,
		})
	}
	l.gates = direction.NewGates(g)
	return nil
}

// options are those of the service, without what signs.
func (l *loaded) options() signing.Options {
	return signing.Options{
		Folder: l.Folder, Plan: l.plan, Roster: l.roster, Trust: l.trust, MaxValidity: l.Roster.ApprovalsAtMost, Broker: l.DCC, Gates: l.gates,
		Limits: signing.Limits{Commands: l.Limits.Commands, PerHour: l.Limits.PerHour, Floor: l.Limits.CounterFloor},
	}
}
