package main

import (
	"crypto/ecdsa"
	"fmt"

	"github.com/spf13/cobra"

	"safemode/config"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
)

func newSign(std stdio) *cobra.Command {
	var certFile, keyFile string
	c := &cobra.Command{
		Use:   "sign FILE --cert CERT.pem --key KEY.pem",
		Short: "Sign a direction, a roster or a freeze statement, as the person who recorded it",
		Long: `Signs the file of a direction, a roster or a freeze statement as it is, and writes FILE.sig
beside it: ECDSA on P-256 over SHA-256, the same as

  openssl dgst -sha256 -sign KEY.pem -out FILE.sig FILE

A direction and a freeze statement (that the supplier's everyday adapter sends nothing
under these identities: config/freeze.example.yaml) are signed by a recorder on the
roster, the roster by the holder of the certificate that the configuration pins. A
changed file must be signed again.`,
		Example: `  safemode sign direction.yaml --cert pki/staff/rita.pem --key pki/staff/rita.key`,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cert, key, err := loadPerson(certFile, keyFile)
			if err != nil {
				return err
			}
			text, err := safefile.Read(args[0], safefile.Small, safefile.Checked)
			if err != nil {
				return failWith(exitUsage, err)
			}
			what, err := describeRecord(text)
			if err != nil {
				return failWith(exitUsage, fmt.Errorf("%s: %w", args[0], err))
			}
			if err := writeSignature(args[0], key, text); err != nil {
				return err
			}
			fmt.Fprintf(std.out, "%s: %s, signed by %s\n", args[0]+direction.SignatureSuffix, what, cert.CommonName)
			if w := wayHere(std, config.Night{}); args[0] == w.Direction {
				w.say(std, w.check())
			}
			return nil
		},
	}
	addIdentityFlags(c, &certFile, &keyFile)
	return c
}

// writeSignature signs a text and writes the signature beside its file.
func writeSignature(path string, key *ecdsa.PrivateKey, text []byte) error {
	signature, err := direction.Sign(key, text)
	if err != nil {
		return failWith(exitFailed, err)
	}
	return writeFile(path+direction.SignatureSuffix, 0o600, durable.Bytes(signature))
}

// describeRecord says in a few words what is signed. Only a whole direction, roster or
// freeze statement is.
func describeRecord(text []byte) (string, error) {
	d, err := direction.Parse(text)
	if err == nil {
		return fmt.Sprintf("direction %s, SRVs %v, up to %d meters", d.Reference, d.PermittedSRVs, d.MaximumMeters), nil
	}
	r, rosterErr := direction.ParseRoster(text)
	if rosterErr == nil {
		return fmt.Sprintf("roster of %d people", len(r.People)), nil
	}
	f, freezeErr := direction.ReadFreeze(text, nil)
	if freezeErr == nil {
		return f.String(), nil
	}
	// The one that it is nearest to is meant: the others' faults say nothing of it.
	nearest := err
	for _, other := range []error{rosterErr, freezeErr} {
		if faultsIn(other) < faultsIn(nearest) {
			nearest = other
		}
	}
	return "", nearest
}

// faultsIn is how many faults an error joins.
func faultsIn(err error) (n int) {
	switch e := err.(type) { //nolint:errorlint // each level is looked at for itself
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			n += faultsIn(one)
		}
		return n
	case interface{ Unwrap() error }:
		return max(1, faultsIn(e.Unwrap()))
	}
	return 1
}
