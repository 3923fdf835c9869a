package rehearsal

import (
	"fmt"
	"io"
	"time"

	"safemode/cmd/cli"
	"safemode/devicesim"
	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// WriteDirection writes the direction of a rehearsal. It permits everything of the
// permitted set for a month.
func WriteDirection(path string, supplier servicerequests.EUI, meters int, from time.Time) error {
	return cli.WriteFile(path, 0o600, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `# A direction for a rehearsal. No Authority has issued it.
reference: REHEARSAL
date: %s
issuing_body: nobody (rehearsal)
document_sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
supplier:
  eui: %v
  mpids: [TEST]
srp: nobody (rehearsal)
permitted_srvs: ["1.6", "2.5", "7.3", "7.4", "6.2.9", "4.18", "4.13", "8.2"]
fuels: [electricity, gas]
maximum_meters: %d
not_before: %s
not_after: %s
clauses:
  arm_gas: true
  read_prepayment_configuration: true
`, from.Format(time.DateOnly), supplier, meters, from.Format(time.RFC3339), from.AddDate(0, 1, 0).Format(time.RFC3339))
		return err
	})
}

// WriteTransfers writes the list of transfers of a simulator: the homes that leave by its fault
// profile, without those that nobody announces. It returns how many meters they have.
func WriteTransfers(path string, leaving []devicesim.Leaving, now time.Time) (listed int, err error) {
	rows := [][]string{{"mpxn", "effective_date", "incoming_mpid", "source", "as_of"}}
	for _, l := range leaving {
		if l.Listed {
			rows = append(rows, []string{l.MPxN.String(), l.Effective.UTC().Format(time.RFC3339Nano), "SOLR", "simulator", now.UTC().Format(time.RFC3339)})
		}
	}
	return len(rows) - 1, cli.WriteFile(path, 0o600, func(w io.Writer) error { return table.NewWriter(w).WriteAll(rows) })
}
