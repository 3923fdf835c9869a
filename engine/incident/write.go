package incident

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"safemode/engine/durable"
	"safemode/engine/record"
	"safemode/servicerequests/table"
)

// file is one of a pack.
type file struct {
	name, says string
	content    []byte
}

// longestLine of a log is in bytes.
const longestLine = 1 << 20

// Write writes the pack for the service desk into a folder, which must be new or empty. log
// may be nil.
func (p *Pack) Write(folder string, log io.Reader) error {
	w := &p.What
	about, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	files, err := tables(
		sheet{"services.csv", "how requests ended, by region, service, class and code", p.servicesTable()},
		sheet{"requests.csv", "Request IDs and times of each request that did not succeed", p.requestsTable()},
		sheet{"events.csv", "starts, orders, halts and ends", append([][]string{{"at", "record", "event", "detail"}}, p.events...)},
	)
	if err != nil {
		return err
	}
	files = append([]file{{"incident.json", "what, since when, versions and counts", append(about, '\n')}}, files...)
	if log != nil {
		text, err := redacted(log)
		if err != nil {
			return err
		}
		files = append(files, file{"log.txt", "the program's log, without ids, names and what people wrote", text})
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("INCIDENT, for the DCC's service desk")
	line("%s", w.Banner())
	line("")
	line("Sweep:      %s, of the supplier %s", w.SweepID, w.Supplier)
	line("State:      %s", w.State)
	if w.Cause != "" || w.Reason != "" {
		line("Why:        %s", strings.TrimPrefix(strings.TrimPrefix(w.Cause+": "+w.Reason, ": "), "halted: "))
	}
	line("Since:      %s by the sweep's clock", instant(w.Since))
	line("Meters:     %d", w.Meters)
	for _, row := range p.worst() {
		line("            %s", row)
	}
	line("Versions:   journal written by %s; this pack by %s at %s, real time", strings.Join(w.Versions, ", "), w.Program, instant(w.Made))
	line("")
	line("Request IDs hold the EUI-64 of devices: give this to the DCC, and to nobody else.")
	line("It holds no MPxN, balance, message, name of a person, or what people wrote.")
	return write(folder, b.String(), files)
}

// mostWorst is how many ways README.txt names.
const mostWorst = 10

// worst are the ways in which most requests did not succeed, most requests first.
func (p *Pack) worst() (rows []string) {
	failed := slices.DeleteFunc(p.servicesTable()[1:], func(t []string) bool { return t[2] == record.ClassSuccess.String() })
	slices.SortStableFunc(failed, func(a, b []string) int { // numbers without leading zeros
		return cmp.Or(cmp.Compare(len(b[4]), len(a[4])), cmp.Compare(b[4], a[4]))
	})
	for _, t := range failed[:min(len(failed), mostWorst)] {
		rows = append(rows, fmt.Sprintf("%s, SRV %s, %s: %s requests, sent %s to %s", t[0], t[1], strings.TrimSpace(t[2]+" "+t[3]), t[4], t[5], t[6]))
	}
	if more := len(failed) - len(rows); more > 0 {
		rows = append(rows, fmt.Sprintf("and %d further ways: see services.csv", more))
	}
	return rows
}

// Write writes the pack for keys into a folder, which must be new or empty.
func (k *Keys) Write(folder string, id record.Identity) error {
	sheets := []sheet{
		{"certificates.csv", "by which certificate, since when, and how often", k.certificatesTable()},
		{"signatures.csv", "each signature of the journal", append([][]string{{"at", "record", "kind", "srv", "request_id", "certificate", "sha256"}}, k.signatures...)},
		{"counters.csv", "originator counters that the journal used", k.countersTable()},
	}
	if k.Signer {
		sheets = append(sheets,
			sheet{"signer.csv", "each signature of the signer's log, and whether the journal has it", append([][]string{{"at", "record", "what", "srv", "request_id", "digest", "in_journal"}}, k.signer...)},
			sheet{"refusals.csv", "what the signer refused to sign", append([][]string{{"at", "record", "srv", "request_id", "code", "reason"}}, k.refusals...)},
		)
	}
	files, err := tables(sheets...)
	if err != nil {
		return err
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("KEYS THAT MAY BE COMPROMISED: what was signed, by which certificate, since when")
	line("%s", id.Banner())
	line("")
	line("Sweep %s, of the supplier %s; written by %s at %s, real time.", id.SweepID, id.Supplier, k.Program, instant(k.Made))
	for _, row := range k.certificatesTable()[1:] {
		line("%s: %s signatures, %s to %s", row[0], row[3], row[1], row[2])
	}
	for _, row := range k.countersTable()[1:] {
		line("Originator %s: %s counters, %s to %s. A message under another one in that time is not this sweep's.", row[0], row[1], row[2], row[3])
	}
	switch {
	case !k.Signer:
		line("No signer's log was given: only what the journal has is here.")
	case k.Foreign == 0:
		line("The signer's log has %d signatures, and the journal has them all.", len(k.signer))
	default:
		line("THE SIGNER SIGNED %d THAT THE JOURNAL DOES NOT HAVE: see in_journal in signer.csv.", k.Foreign)
	}
	line("")
	line("Nothing here is proven: safemode audit and safemode evidence do that. Freeze the signer")
	line("(safemode signer freeze), have the certificates revoked, and tell the SMKI PMA.")
	line("Request IDs hold the EUI-64 of devices: give this to who must look into it, and to nobody else.")
	return write(folder, b.String(), files)
}

// sheet is a file that is a table.
type sheet struct {
	name, says string
	rows       [][]string
}

// tables makes files of sheets.
func tables(sheets ...sheet) (files []file, err error) {
	for _, s := range sheets {
		var b bytes.Buffer
		if err := table.NewWriter(&b).WriteAll(s.rows); err != nil {
			return nil, err
		}
		files = append(files, file{s.name, s.says, b.Bytes()})
	}
	return files, nil
}

// written are the fields of a log in which people's names, and what people wrote, may be.
var written = [...]string{"by", "from", "person", "reason", "to_do"}

// redacted is a log without ids, a line for each of its JSON objects. Other lines, such as the
// program's output on a terminal, are left out.
func redacted(log io.Reader) ([]byte, error) {
	var b bytes.Buffer
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, longestLine)
	out := 0
	for lines.Scan() {
		var entry map[string]any
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			out++
			continue
		}
		for _, name := range written {
			if _, there := entry[name]; there {
				entry[name] = "[hidden]"
			}
		}
		line, err := json.Marshal(entry)
		if err != nil {
			return nil, err
		}
		b.WriteString(record.Hide(string(line)) + "\n")
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	if out > 0 {
		fmt.Fprintf(&b, "%d lines that are no log entries were left out\n", out)
	}
	return b.Bytes(), nil
}

// write puts a pack into a folder: its files, a README.txt that lists them, and SHA256SUMS.
func write(folder, about string, files []file) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if there, err := os.ReadDir(folder); err != nil {
		return err
	} else if len(there) > 0 {
		return fmt.Errorf("%s is not empty: a pack has a folder of its own", folder)
	}
	about += "\nFiles:\n"
	for _, f := range files {
		about += fmt.Sprintf("  %-18s %s\n", f.name, f.says)
	}
	about += "  SHA256SUMS         check with: sha256sum -c SHA256SUMS\nTimes are by the sweep's clock, UTC.\n"
	files = append([]file{{"README.txt", "", []byte(about)}}, files...)
	sums := ""
	for _, f := range files {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256(f.content), f.name)
	}
	files = append(files, file{"SHA256SUMS", "", []byte(sums)})
	for _, f := range files {
		if err := durable.Replace(filepath.Join(folder, f.name), 0o600, durable.Bytes(f.content)); err != nil {
			return err
		}
	}
	return nil
}
