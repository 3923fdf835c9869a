package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
)

const messageLimit = 64 << 10 // bytes of text; a GBCS message in scope has under 1,200 bytes

func newGBCS(io stdio) *cobra.Command {
	return group("gbcs", "Decode, verify and sign GBCS messages", newGBCSDecode(io), newGBCSVerify(io), newGBCSSign(io))
}

// readMessage takes a message from the command line, or from standard input for
// "-", as hexadecimal or base64 with any white space. Text that is neither ends
// with the given exit code.
func readMessage(ctx context.Context, in io.Reader, argument string, code int) ([]byte, error) {
	text := []byte(argument)
	if argument == "-" {
		var err error
		if text, err = readInput(ctx, in, "-", messageLimit); err != nil {
			return nil, err
		}
	}
	text = bytes.Join(bytes.Fields(text), nil)
	if b, err := hex.AppendDecode(nil, text); err == nil {
		return b, nil
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return nil, failWith(code, errors.New("the message is neither hexadecimal nor base64"))
	}
	return b, nil
}

// printFacts writes one line of JSON for scripts, or the same over several lines
// for people.
func printFacts(w io.Writer, facts any, asJSON bool) error {
	if asJSON {
		return printJSON(w, facts)
	}
	text, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		return failWith(exitFailed, err)
	}
	return writeLine(w, text)
}

func newGBCSDecode(io stdio) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "decode [--json] HEX|BASE64|-",
		Short: "Every field of a GBCS message",
		Long: `Prints every field of a Pre-Command, Command, Response or Alert. It proves nothing:
neither signature nor MAC is checked. The payloads of the use cases that a sweep has
to do with, and of alerts, are decoded; of any other message the payload is shown as
bytes, and a note says so. Where the payload of a known use case cannot be read, the
rest is printed and the command ends with exit 1.`,
		Example: `  safemode gbcs decode --json DF09010000000000000419...
  safemode gbcs decode - < message.b64`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := readMessage(c.Context(), io.in, args[0], exitUsage)
			if err != nil {
				return err
			}
			m, err := gbcs.Parse(b)
			if err != nil {
				return failWith(exitUsage, err)
			}
			d := gbcs.Describe(m)
			if err := printFacts(io.out, d, asJSON); err != nil {
				return err
			}
			if d.Error != "" {
				return failWith(exitFailed, errors.New(d.Error))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	return c
}

func newGBCSVerify(io stdio) *cobra.Command {
	var certFile string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify --cert PEM HEX|-",
		Short: "Prove the signature of a GBCS message",
		Long: `Exit 0 and the message's fields, or exit 1 and the reason. The certificate must be
for digital signatures and belong to the message's originator; its validity in
time is not checked. A MAC is not checked.`,
		Example: `  safemode gbcs verify --cert device-ds.pem DF0902...`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cert, err := cli.Certificate(certFile)
			if err != nil {
				return err
			}
			b, err := readMessage(c.Context(), io.in, args[0], exitUsage)
			if err != nil {
				return err
			}
			m, err := gbcs.Parse(b)
			if err != nil {
				return failWith(exitFailed, err)
			}
			if cert.Usage != smki.DigitalSignature {
				return failWith(exitFailed, fmt.Errorf("%s: its usage is %v, not %v", certFile, cert.Usage, smki.DigitalSignature))
			}
			if cert.EUI != m.Originator {
				return failWith(exitFailed, fmt.Errorf("%s belongs to %v, the message comes from %v", certFile, cert.EUI, m.Originator))
			}
			if err := m.VerifySignature(cert.PublicKey); err != nil {
				return failWith(exitFailed, err)
			}
			return printFacts(io.out, gbcs.Describe(m), asJSON)
		},
	}
	c.Flags().StringVar(&certFile, "cert", "", "PEM file of the originator's certificate")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "cert")
	return c
}

func newGBCSSign(io stdio) *cobra.Command {
	var flags requestFlags
	var certFile, keyFile string
	c := &cobra.Command{
		Use:   "sign --srv SRV --originator EUI --target EUI --counter N --cert PEM --key PEM HEX|-",
		Short: "Sign a Pre-Command, if it is byte for byte what was asked for",
		Long: `Signs a Pre-Command only if it is, byte for byte, what the flags may produce under
the permitted set (2.5, 1.6 to Credit, 7.3), and prints the Signed Pre-Command as
hexadecimal. Everything else ends with exit 3 and the reason, before the key is
used. The device type follows from the message code.`,
		Example: `  safemode gbcs sign --srv 7.3 --originator 90-B3-D5-1F-30-01-00-00 --target 00-DB-12-34-56-78-90-A0 --counter 1000 \
    --cert pki/supplier/digital-signing.pem --key pki/supplier/digital-signing.key DF0901...`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			service, id, err := flags.parse("credit")
			if err != nil {
				return err
			}
			cert, key, err := loadTestSigner(certFile, keyFile, smki.SignsPreCommands)
			if err != nil {
				return err
			}
			preCommand, err := readMessage(c.Context(), io.in, args[0], exitRefused)
			if err != nil {
				return err
			}
			if cert.EUI != id.Originator {
				return failWith(exitRefused, fmt.Errorf("%s belongs to %v, not to the originator %v", certFile, cert.EUI, id.Originator))
			}
			expected := gbcs.Expected{Service: service, Device: servicerequests.ESME, ID: id}
			if err := expected.For(preCommand).Match(preCommand); err != nil {
				return failWith(exitRefused, err)
			}
			signed, err := gbcs.Sign(preCommand, key)
			if err != nil {
				return failWith(exitFailed, err)
			}
			return writeLine(io.out, hex.AppendEncode(nil, signed))
		},
	}
	flags.add(c)
	addIdentityFlags(c, &certFile, &keyFile)
	return c
}
