package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/cmd/rehearsal"
	"safemode/engine/durable"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

func newPKI(io stdio) *cobra.Command {
	return group("pki", "Test certificates", newPKIInit(io), newPKIRevoke(io))
}

func newPKIInit(io stdio) *cobra.Command {
	var out, supplier string
	var seed uint64
	var asJSON bool
	c := &cobra.Command{
		Use:   "init --out DIR",
		Short: "Make a test SMKI hierarchy",
		Long: `Makes a folder with the certificates and keys of a test supplier, a test DCC, their
authorities and of test people: two approvers, an operator (olga) and a recorder
(rita), who has signed their roster; and, in tls/, of mutual TLS between that supplier
and that DCC on the loopback. The issuers' names mark them as test certificates:
neither a live sweep nor a real meter takes them. With --seed the same seed makes the
same folder.`,
		Example: `  safemode pki init --out pki
  safemode pki init --out pki --supplier 90-B3-D5-1F-30-01-00-00 --seed 1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var t smki.TestFolder
			if supplier != "" {
				eui, err := servicerequests.ParseEUI(supplier)
				if err != nil {
					return failWith(exitUsage, fmt.Errorf("--supplier: %w", err))
				}
				t.Supplier = eui
			}
			if c.Flags().Changed("seed") {
				t.Seed = rehearsal.Seed(seed)
			}
			names, err := rehearsal.WritePKI(out, t)
			if err != nil {
				return err
			}
			return printResult(io.out, asJSON, map[string]any{"out": out, "files": names}, "%d files in %s\n", len(names), out)
		},
	}
	c.Flags().StringVar(&out, "out", "", "folder to make; it must not exist or be empty")
	c.Flags().StringVar(&supplier, "supplier", "", "EUI of the supplier (default "+smki.TestSupplier.String()+")")
	c.Flags().Uint64Var(&seed, "seed", 0, "make all keys from this number instead of by chance")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "out")
	return c
}

func newPKIRevoke(io stdio) *cobra.Command {
	var dir, out string
	var files []string
	var valid time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "revoke --pki DIR --out FILE [--cert FILE]...",
		Short: "Make a test revocation list",
		Long: `Makes a certificate revocation list that an authority of a test folder has signed, for
gates.revocation_lists of the configuration. It names the certificates of --cert; with
none it names nobody. An existing file is replaced as a whole: so the gate of a sweep
that runs can be closed, and opened again.

All certificates must be of one issuer of the folder, which is the list's; without any
it is the issuer of the supplier's certificates.`,
		Example: `  safemode pki revoke --pki pki --out revoked.crl
  safemode pki revoke --pki pki --out revoked.crl --cert pki/supplier/digital-signing.pem`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if valid <= 0 {
				return fmt.Errorf("--valid %v: want more than 0s", valid)
			}
			if err := revoke(dir, out, files, valid); err != nil {
				return err
			}
			return printResult(io.out, asJSON, map[string]any{"out": out, "revoked": len(files)}, "%s: certificates revoked: %d\n", out, len(files))
		},
	}
	c.Flags().StringVar(&dir, "pki", "", "folder that pki init has made, with the authorities' keys")
	c.Flags().StringVar(&out, "out", "", "the list's file; replaced if it exists")
	c.Flags().StringArrayVar(&files, "cert", nil, "PEM file of a certificate to revoke; may be given several times")
	c.Flags().DurationVar(&valid, "valid", 7*24*time.Hour, "how long the list says that it holds")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "pki", "out")
	return c
}

// revoke writes a list of a test folder's authority.
func revoke(dir, out string, files []string, valid time.Duration) error {
	folder, err := loadPKI(dir, smki.LoadFolder)
	if err != nil {
		return err
	}
	var certificates []*smki.Certificate
	issuer := folder.Supplier.DigitalSigning.Certificate.Issuer
	for _, name := range files {
		c, err := cli.Certificate(name)
		if err != nil {
			return err
		}
		certificates = append(certificates, c)
		issuer = c.Issuer
	}
	for _, id := range [...]smki.SigningIdentity{folder.Issuing, folder.DeviceIssuing, folder.Root} {
		if id.Certificate == nil || id.Key == nil || id.Certificate.Subject != issuer {
			continue
		}
		now := time.Now()
		authority := smki.Authority(id)
		text, err := authority.Revoke(now.UnixMicro(), now.Truncate(time.Second), now.Add(valid), certificates...)
		if err != nil {
			return failWith(exitUsage, err)
		}
		return writeFile(out, 0o600, durable.Bytes(text))
	}
	return failWith(exitUsage, fmt.Errorf("%s has no key of %q, who would have to sign the list", dir, issuer))
}
