package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine"
	"safemode/engine/incident"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/signing"
	"safemode/servicerequests/safefile"
)

func newIncident(io stdio) *cobra.Command {
	var journalPath, configPath, out, logPath, signerLog string
	var keys bool
	c := &cobra.Command{
		Use:   "incident --journal FILE --out DIR",
		Short: "A pack for the DCC's service desk, or for keys that may be compromised",
		Long: `Writes what a service desk asks for when something went wrong: what and since when,
which regions and services, Request IDs and times of what did not succeed, counts,
versions, events, and with --log the program's log (standard error in a file) without
ids. It may be run while a sweep writes the journal. README.txt in the folder says what
each file is, and who may have it.

With --keys it writes what was signed instead, by which certificate and since when, and
which originator counters were used. With the signer's log it also names each signature
that the journal does not have. Exit code 4: there are such.`,
		Example: `  safemode incident --journal journal.db --out incident
  safemode incident --journal journal.db --config safemode.yaml --log sweep.log --out incident
  safemode incident --journal journal.db --keys --signer-log signer/log/signer.db --out keys`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if signerLog != "" && !keys {
				return failWith(exitUsage, errors.New("--signer-log goes with --keys"))
			}
			st, err := engine.StatusOf(c.Context(), journalPath, "", nil, placeOf(configPath, "", journalPath))
			if err != nil {
				return failWith(journalCode(err), err)
			}
			if configPath != "" {
				conf, err := loadConfig(configPath)
				if err != nil {
					return err
				}
				if is := string(conf.Environment); is != st.Environment {
					return failWith(exitUsage, fmt.Errorf("%s: environment %s, and the journal is of environment %s: take the sweep's configuration", configPath, is, st.Environment))
				}
			}
			j, err := journal.OpenReadOnly(journalPath)
			if err != nil {
				return failWith(journalCode(err), err)
			}
			defer j.Close()
			if keys {
				return packKeys(c.Context(), io, j, signerLog, out, st.Identity)
			}
			return packIncident(c.Context(), io, j, logPath, out, &st)
		},
	}
	f := c.Flags()
	f.StringVar(&journalPath, "journal", "", "the sweep's journal")
	f.StringVar(&configPath, "config", "", "the sweep's configuration: refuses a journal of another environment")
	f.StringVar(&out, "out", "", "folder for the pack; new or empty")
	f.StringVar(&logPath, "log", "", "the program's log, to be added without ids")
	f.BoolVar(&keys, "keys", false, "the pack for keys that may be compromised")
	f.StringVar(&signerLog, "signer-log", "", "with --keys: log of the signer (signer.db in its folder)")
	required(c, "journal", "out")
	c.MarkFlagsMutuallyExclusive("keys", "log")
	return c
}

// packIncident writes the pack for the service desk.
func packIncident(ctx context.Context, streams stdio, j *journal.Journal, logPath, out string, st *record.Status) error {
	p, err := incident.Read(j.Records(ctx, 1), incident.What{
		Identity: st.Identity, State: st.State, Cause: st.Cause, Reason: st.Reason, Program: version(), Made: time.Now().UTC(),
	})
	if err != nil {
		return failWith(journalCode(err), err)
	}
	var log io.Reader
	if logPath != "" {
		f, err := safefile.Open(logPath, safefile.List, safefile.Checked)
		if err != nil {
			return failWith(exitUsage, fmt.Errorf("--log: %w", err))
		}
		defer f.Close()
		log = f
	}
	if err := p.Write(out, log); err != nil {
		return failWith(exitFailed, err)
	}
	fmt.Fprintf(streams.out, "%s: a pack for the DCC's service desk. Read README.txt first.\n", out)
	return nil
}

// packKeys writes the pack for keys.
func packKeys(ctx context.Context, streams stdio, j *journal.Journal, signerLog, out string, id record.Identity) error {
	var digest func(record.Record) ([]byte, error)
	if signerLog != "" {
		digest = func(r record.Record) ([]byte, error) {
			k, err := signing.KnownOf(r)
			return k.Digest, err
		}
	}
	k, err := incident.ReadKeys(j.Records(ctx, 1), digest)
	if err != nil {
		return failWith(journalCode(err), err)
	}
	k.Program, k.Made = version(), time.Now().UTC()
	if signerLog != "" {
		log, err := journal.OpenReadOnly(signerLog)
		if err != nil {
			return failWith(journalCode(err), fmt.Errorf("--signer-log: %w", err))
		}
		defer log.Close()
		if err := k.ReadSigner(log.Records(ctx, 1)); err != nil {
			return failWith(journalCode(err), err)
		}
	}
	if err := k.Write(out, id); err != nil {
		return failWith(exitFailed, err)
	}
	fmt.Fprintf(streams.out, "%s: what was signed. Read README.txt first.\n", out)
	if k.Foreign > 0 {
		return failWith(exitNotHeld, fmt.Errorf("the signer signed %d that the journal does not have: see signer.csv", k.Foreign))
	}
	return nil
}
