//go:build cgo

package main

import (
	"errors"
	"fmt"

	"safemode/cmd/cli"
	"safemode/cmd/signercmd"
	"safemode/config"
	"safemode/engine/token"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// loadConfig reads the signer's configuration.
func loadConfig(path string) (*config.Signer, error) {
	c, err := config.LoadSigner(path)
	return c, cli.Fail(cli.Usage, err)
}

// tokenOptions is how the configured token is opened.
func tokenOptions(p config.PKCS11) token.Options {
	o := token.Options{
		Module: p.Module, Token: p.Token, Sessions: p.Sessions, Timeout: p.Timeout,
		Agreement: token.Level(p.Agreement), KDFNumber: uint(p.KDF), PIN: token.PINFile(p.PINFile),
	}
	if len(p.PINCommand) > 0 {
		o.PIN = token.PINCommand(p.PINCommand)
	}
	return o
}

// keyKinds are an identity's keys, by their names in the configuration.
var keyKinds = []struct {
	name, file string
	purpose    smki.Purpose
	use        token.Use
	uri        func(config.SignerIdentity) string
}{
	{"xml_signing", "xml-signing", smki.SignsRequests, token.Signs, func(i config.SignerIdentity) string { return i.XMLSigning }},
	{"digital_signing", "digital-signing", smki.SignsPreCommands, token.Signs, func(i config.SignerIdentity) string { return i.DigitalSigning }},
	{"key_agreement", "key-agreement", smki.SupplierAgrees, token.Agrees, func(i config.SignerIdentity) string { return i.KeyAgreement }},
}

// heldKey is a key that the configuration says is in the token.
type heldKey struct {
	eui  servicerequests.EUI
	kind string
	token.Named
}

// heldKeys are the keys that are to be in the token, with what their certificates say.
func heldKeys(c *config.Signer) ([]heldKey, error) {
	var list []heldKey
	var faults []error
	for n, id := range c.Identities {
		for _, kind := range keyKinds {
			uri := kind.uri(id)
			if uri == "" {
				continue
			}
			name := fmt.Sprintf("identities[%d].%s", n, kind.name)
			certificate, err := signercmd.Certificate(id, kind.file, kind.purpose)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", name, err))
				continue
			}
			list = append(list, heldKey{id.EUI, kind.name, token.Named{Name: name, URI: uri, Public: certificate.PublicKey, Use: kind.use}})
		}
	}
	if len(list) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("no key of the configuration is in a token: name one by a URI, like xml_signing: \"pkcs11:object=xml-signing\""))
	}
	return list, cli.Fail(cli.Usage, errors.Join(faults...))
}
