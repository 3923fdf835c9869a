package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/config"
	"safemode/engine/directory"
	"safemode/engine/journal"
	"safemode/engine/portfolio"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

func newEvidence(io stdio) *cobra.Command {
	var journalPath, device, mpxn, configFile, out string
	var asJSON bool
	c := &cobra.Command{
		Use:   "evidence --journal FILE (--device EUI | --mpxn MPAN) --out DIR",
		Short: "One meter's whole story, with the bytes and what they prove",
		Long: `Writes every record that the journal holds of one meter: what was sent and received,
byte for byte, what was noted, and for each what it proves and to whom. go doc
./engine/report Story.Write lists the files.

With a configuration it checks each signature with the public keys of the supplier,
the DCC and the device (which it asks of the SMKI service), and writes those keys
beside what they check. Private keys are not read.`,
		Example: `  safemode evidence --journal journal.db --device 00-DB-12-E0-00-00-00-01 --config safemode.yaml --out evidence
  safemode evidence --journal journal.db --mpxn 1000000000017 --out evidence`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			eui, err := evidenceOf(c.Context(), journalPath, device, mpxn)
			if err != nil {
				return err
			}
			var witnesses report.Witnesses
			if configFile != "" {
				conf, err := loadConfig(configFile)
				if err != nil {
					return err
				}
				if witnesses, err = loadWitnesses(conf); err != nil {
					return err
				}
				if err := addDevice(c.Context(), conf, newLogger(io.err, false), eui, witnesses); err != nil {
					fmt.Fprintf(io.err, "the device's key could not be had, its signatures stay unchecked: %v\n", err)
				}
			}
			story, err := ofJournal(c.Context(), journalPath, func(records iter.Seq2[record.Record, error]) (*report.Story, error) {
				return report.Tell(records, eui)
			})
			if err != nil {
				return err
			}
			if err := newFolder(out); err != nil {
				return failWith(exitUsage, fmt.Errorf("--out %s: %w", out, err))
			}
			if err := story.Write(out, witnesses); err != nil {
				return failWith(exitFailed, err)
			}
			return printResult(io.out, asJSON, struct {
				Environment string              `json:"environment"` // simulator or live
				Device      servicerequests.EUI `json:"device_id"`
				Records     int                 `json:"records"`
				Out         string              `json:"out"`
			}{environmentOf(story), eui, len(story.Records), out},
				"%s\n%d records of %v in %s\n", record.Identity{Environment: environmentOf(story)}.Banner(), len(story.Records), eui, out)
		},
	}
	f := c.Flags()
	f.StringVar(&journalPath, "journal", "", "the sweep's journal: "+journalFlag)
	f.StringVar(&device, "device", "", "EUI-64 of the planned meter")
	f.StringVar(&mpxn, "mpxn", "", "MPAN or MPRN of the planned meter, instead of --device")
	f.StringVar(&out, "out", "", "folder for the evidence; it must be new or empty")
	f.StringVar(&configFile, "config", "", "configuration of the sweep: its keys check the signatures")
	f.BoolVar(&asJSON, "json", false, "print what was written as one line of JSON")
	required(c, "journal", "out")
	c.MarkFlagsOneRequired("device", "mpxn")
	c.MarkFlagsMutuallyExclusive("device", "mpxn")
	return c
}

// evidenceOf is the meter that is asked for, by its id or by its home's number.
func evidenceOf(ctx context.Context, journalPath, device, mpxn string) (eui servicerequests.EUI, err error) {
	if device != "" {
		eui, err = servicerequests.ParseEUI(device)
		if err != nil {
			err = failWith(exitUsage, fmt.Errorf("--device: %w", err))
		}
		return eui, err
	}
	wanted, err := portfolio.PlainMPxN(strings.ReplaceAll(mpxn, " ", ""))
	if err != nil {
		return eui, failWith(exitUsage, fmt.Errorf("--mpxn: %w", err))
	}
	j, err := journal.OpenReadOnly(journalPath)
	if err != nil {
		return eui, failWith(journalCode(err), err)
	}
	defer j.Close()
	var found []string
	for r, err := range j.Records(ctx, 1) {
		if err != nil {
			return eui, failWith(journalCode(err), fmt.Errorf("%s: %w", journalPath, err))
		}
		if r.Kind == record.Opened { // the whole plan stands before
			break
		}
		if r.Kind != record.Target {
			continue
		}
		body, err := record.Decode[record.TargetBody](r)
		if err != nil {
			return eui, failWith(exitHalted, fmt.Errorf("%s: %w", journalPath, err))
		}
		if is, err := portfolio.PlainMPxN(body.MPxN); err == nil && is == wanted { // an older plan may have an invalid MPxN
			eui, found = r.Device, append(found, r.Device.String())
		}
	}
	switch len(found) {
	case 0:
		return eui, failWith(exitUsage, fmt.Errorf("--mpxn %s: no meter of the plan in %s has it", mpxn, journalPath))
	case 1:
		return eui, nil
	}
	return eui, failWith(exitUsage, fmt.Errorf("--mpxn %s: %d meters have it: name one by --device: %s", mpxn, len(found), strings.Join(found, ", ")))
}

// environmentOf is what the first start of a story's sweep says; empty: none does.
func environmentOf(story *report.Story) string {
	for _, r := range story.Records {
		if r.Kind != record.Opened {
			continue
		}
		if opening, err := record.Decode[record.Opening](r); err == nil {
			return opening.Environment
		}
	}
	return ""
}

// loadWitnesses reads the certificates of the supplier and the DCC.
func loadWitnesses(conf *config.Config) (report.Witnesses, error) {
	w := report.Witnesses{XML: map[xmldsig.KeyRef]report.Witness{}, Message: map[servicerequests.EUI]report.Witness{}}
	var faults []error
	witness := func(name string, c *smki.Certificate) {
		ref, err := xmldsig.NewKeyRef(c.Issuer, c.SerialText())
		if err != nil {
			faults = append(faults, err)
			return
		}
		w.XML[ref] = report.Witness{Name: name + "-" + c.SerialText(), Key: c.PublicKey}
	}
	for _, c := range loadCertificates(conf.DCC.TransformCertificates, &faults) {
		witness("dcc-transform", c)
	}
	for _, c := range loadCertificates(conf.DCC.XMLSigningCertificates, &faults) {
		witness("dcc-xml-signing", c)
	}
	for _, id := range conf.Identities {
		supplier := filepath.Join(id.PKIDir, "supplier")
		for _, c := range loadCertificates([]string{filepath.Join(supplier, "xml-signing.pem")}, &faults) {
			witness("supplier-xml-signing", c)
		}
		for _, c := range loadCertificates([]string{filepath.Join(supplier, "digital-signing.pem")}, &faults) {
			w.Message[id.EUI] = report.Witness{Name: "supplier-digital-signing-" + c.SerialText(), Key: c.PublicKey}
		}
	}
	return w, failWith(exitUsage, errors.Join(faults...))
}

// addDevice asks the SMKI service for a device's certificate.
func addDevice(ctx context.Context, conf *config.Config, log *zap.Logger, device servicerequests.EUI, w report.Witnesses) error {
	var faults []error
	authorities := loadCertificates(conf.DCC.Authorities, &faults)
	if err := errors.Join(faults...); err != nil {
		return err
	}
	guard, err := loadClientTLS(conf.DCC.TLS, secretFiles{strict: conf.Environment == config.Live, log: log})
	if err != nil {
		return err
	}
	devices, err := directory.New(directory.Options{URL: conf.DCC.SMKIURL, TLS: guard, Authorities: authorities})
	if err != nil {
		return err
	}
	defer devices.Close()
	keys, err := devices.Keys(ctx, device)
	if err != nil {
		return err
	}
	name := "device-" + strings.ToLower(device.String())
	w.Message[device] = report.Witness{Name: name, Key: keys.DigitalSignature[0]}
	return nil
}
