package rehearsal

import (
	"io"
	"time"

	"safemode/cmd/cli"
	"safemode/devicesim"
	"safemode/servicerequests/table"
)

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
