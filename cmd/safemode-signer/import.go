//go:build cgo

package main

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine/token"
	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

func newImport(io stdio) *cobra.Command {
	var path, kind, from, password, identity string
	var asJSON bool
	c := &cobra.Command{
		Use:   "import --config FILE --key KIND --from FILE",
		Short: "Bring a private key into the token",
		Long: `Brings a private key from a file into the configured token, to where the configuration
names it: its URI needs an object. The file is PEM (SEC 1, PKCS#8 or encrypted PKCS#8) or
PKCS#12. In the token the key is sensitive, cannot be taken out, and is for one use.

That the key is the certificate's is proven before, and by use in the token after; a key
that does not prove it is taken back. A key of the same label or id is not overwritten.

The file is left as it is: destroy it when the key has a backup of the token's own kind.`,
		Example: `  safemode-signer import --config signer.yaml --key xml_signing --from xml-signing.key
  safemode-signer import --config signer.yaml --key key_agreement --from ka.p12 --password-file password`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			configuration, err := loadConfig(path)
			if err != nil {
				return err
			}
			held, err := chosen(configuration, kind, identity)
			if err != nil {
				return err
			}
			key := token.Import{URI: held.URI, Public: held.Public, Use: held.Use}
			if key.Key, err = readKey(from, password); err != nil {
				return err
			}
			if !key.Key.PublicKey.Equal(key.Public) {
				return cli.Fail(cli.Usage, fmt.Errorf("%s is not the private key of the certificate of %s", from, held.Name))
			}
			opened, err := token.Open(c.Context(), tokenOptions(configuration.PKCS11))
			if err != nil {
				return tokenError(err)
			}
			defer func() {
				if unclosed := opened.Close(); err == nil {
					err = tokenError(unclosed)
				}
			}()
			uri, err := opened.Import(c.Context(), key)
			if err != nil {
				return tokenError(err)
			}
			if !asJSON {
				fmt.Fprintf(io.err, "%s still holds the key: destroy it when the token has a backup\n", from)
			}
			return cli.Result(io.out, asJSON, map[string]any{"key": held.Name, "uri": uri}, "%s is in the token, and proven to be its certificate's: %s\n", held.Name, uri)
		},
	}
	c.Flags().StringVar(&path, "config", "", "the signer's configuration")
	c.Flags().StringVar(&kind, "key", "", "xml_signing, digital_signing or key_agreement")
	c.Flags().StringVar(&from, "from", "", "file with the private key")
	c.Flags().StringVar(&password, "password-file", "", "file with the key file's password, which nobody else may read")
	c.Flags().StringVar(&identity, "identity", "", "EUI of the identity; not needed where there is one")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	cli.Require(c, "config", "key", "from")
	return c
}

// tokenError gives a token's error its exit code.
func tokenError(err error) error {
	if errors.Is(err, token.ErrRefused) {
		return cli.Fail(cli.Refused, err)
	}
	return cli.Fail(cli.Failed, err)
}

// chosen is the key of the configuration that the flags name.
func chosen(c *config.Signer, kind, identity string) (heldKey, error) {
	var eui servicerequests.EUI
	var err error
	switch {
	case identity != "":
		if eui, err = servicerequests.ParseEUI(identity); err != nil {
			return heldKey{}, cli.Fail(cli.Usage, fmt.Errorf("--identity: %w", err))
		}
	case len(c.Identities) == 1:
		eui = c.Identities[0].EUI
	default:
		return heldKey{}, cli.Fail(cli.Usage, errors.New("there are several identities: say which with --identity"))
	}
	held, err := heldKeys(c)
	if err != nil {
		return heldKey{}, err
	}
	for _, key := range held {
		if key.eui == eui && key.kind == kind {
			return key, nil
		}
	}
	return heldKey{}, cli.Fail(cli.Usage, fmt.Errorf("--key %s: identity %v has no such key with a URI in the configuration", kind, eui))
}

// readKey reads the private key, from files that nobody else may read.
func readKey(from, password string) (key *ecdsa.PrivateKey, err error) {
	var secret []byte
	if password != "" {
		if secret, err = safefile.Read(password, safefile.Small, safefile.Secret); err != nil {
			return nil, cli.Fail(cli.Usage, err)
		}
		defer clear(secret)
	}
	text, err := safefile.Read(from, safefile.Small, safefile.Secret)
	if err != nil {
		return nil, cli.Fail(cli.Usage, err)
	}
	defer clear(text)
	if key, err = token.ReadKey(text, bytes.TrimRight(secret, "\r\n")); err != nil {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("%s: %w", from, err))
	}
	return key, nil
}
