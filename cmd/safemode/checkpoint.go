package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"safemode/cmd/cli"
	"safemode/servicerequests/safefile"
)

func newJournalKey(std stdio) *cobra.Command {
	var out, name string
	c := &cobra.Command{
		Use:   "key --out FILE [--name NAME]",
		Short: "Make the key that signs a journal's checkpoints",
		Long: `Makes an Ed25519 key in the signed note format: FILE, for journal.checkpoint_key in the
configuration, and FILE.pub, with which anyone can check the checkpoints. Give FILE.pub
and copies of the checkpoints to somebody else: only then do they pin anything.`,
		Example: `  safemode journal key --out checkpoint.key --name srp.example`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			public, err := cli.CheckpointKey(out, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(std.out, "%s\n", public)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "file of the private key; a new one")
	c.Flags().StringVar(&name, "name", "safemode", "name of the key, like a host's")
	required(c, "out")
	return c
}

// loadCheckpointKey reads a private key of journal key, and the public one beside it.
func loadCheckpointKey(name string) (note.Signer, note.Verifier, error) {
	private, err := safefile.Read(name, safefile.Small, safefile.Secret)
	if err != nil {
		return nil, nil, failWith(exitUsage, fmt.Errorf("journal.checkpoint_key: %w", err))
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(private)))
	clear(private)
	if err != nil {
		return nil, nil, failWith(exitUsage, fmt.Errorf("journal.checkpoint_key: %s is no key of safemode journal key", name))
	}
	verifier, err := loadCheckpointVerifier(name + ".pub")
	if err != nil {
		return nil, nil, err
	}
	if signer.Name() != verifier.Name() || signer.KeyHash() != verifier.KeyHash() {
		return nil, nil, failWith(exitUsage, fmt.Errorf("%s.pub is not the public key of %s", name, name))
	}
	return signer, verifier, nil
}

// loadCheckpointVerifier reads a public key of journal key.
func loadCheckpointVerifier(name string) (note.Verifier, error) {
	public, err := safefile.Read(name, safefile.Small, safefile.Own)
	if err != nil {
		return nil, failWith(exitUsage, err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(public)))
	if err != nil {
		return nil, failWith(exitUsage, fmt.Errorf("%s is no public key of safemode journal key", name))
	}
	return verifier, nil
}
