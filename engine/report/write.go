package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// Options says what is written beside the reports that are always written.
type Options struct {
	// WeekTo is the last instant of the weekly report, by the sweep's clock; zero:
	// the last record.
	WeekTo time.Time

	// Inventory and Transfers are lists to compare the journal with; with neither
	// there is no reconciliation. Without Transfers the days on which homes leave are those
	// of the list that the sweep had.
	Inventory, Transfers List

	// Sign signs the handover pack: ECDSA over a SHA-256 digest, in ASN.1. Nil: the
	// pack is not signed. PublicKey is what checks it, in PEM.
	Sign      func(digest []byte) ([]byte, error)
	PublicKey []byte

	// Called is what a call centre has done, by MPxN. Say returns what to do about a verdict
	// with a reason; nil: the list names only the button.
	Called map[string]Called
	Say    func(verdict, reason string) string
}

type file struct {
	name  string
	write func(io.Writer) error
}

// Write puts the reports into a directory, which it makes if there is none: see
// the package comment for the files. Each is replaced as a whole, durably, and may
// be read by its owner only.
func (r *Report) Write(directory string, o Options) error {
	if o.WeekTo.IsZero() {
		o.WeekTo = r.Last
	}
	if o.Say == nil {
		o.Say = func(string, string) string { return "" }
	}
	list := r.CallSheet(o.Called, o.Say)
	weekly := r.Weekly(o.WeekTo, o.Transfers)
	weekly.CallList = list.Progress
	files := []file{
		{"meters.csv", r.WriteMeters},
		{"calls.csv", r.WriteCalls},
		{"call_list.csv", list.WriteCSV},
		{"call_list.xlsx", list.WriteXLSX},
		{"not_covered.csv", r.writeNotCovered},
		{"smets1.csv", r.WriteSMETS1},
		{"transfers.csv", func(w io.Writer) error { return r.WriteTransfers(w, o.Transfers) }},
		{"orders.csv", r.WriteEvents},
		{"weekly.json", weekly.writeJSON},
		{"weekly.csv", weekly.writeCSV},
		{"weekly.html", weekly.WriteHTML},
	}
	if o.Inventory != nil || o.Transfers != nil {
		c := r.Reconcile(o.Inventory, o.Transfers)
		files = append(files, file{"reconciliation.csv", c.WriteCSV}, file{"reconciliation.html", c.writeHTML})
	}
	files = append(files,
		file{"summary.txt", r.WriteText},
		file{"summary.html", r.WriteHTML},
		file{"summary.json", r.Summary.WriteJSON}, // last: where it is, the others are
	)
	pack := []file{
		{"devices.csv", r.WriteHandover},
		{"calls.csv", r.WriteCalls},
		{"armed.csv", r.WriteArmed},
		{"unreachable.csv", r.writeUnreachable},
		{"not_covered.csv", r.writeNotCovered},
		{"smets1.csv", r.WriteSMETS1},
		{"counters.json", r.Handover().writeJSON},
		{"handover.html", r.WriteHandoverHTML},
	}
	if err := writePack(filepath.Join(directory, "handover"), pack, o); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, f := range files {
		if err := durable.Replace(filepath.Join(directory, f.name), 0o600, f.write); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// writePack writes the files of the handover with their digests, in the form that
// sha256sum reads, and the signature over those.
func writePack(directory string, files []file, o Options) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, f := range files {
		digest := sha256.New()
		err := durable.Replace(filepath.Join(directory, f.name), 0o600, func(w io.Writer) error { return f.write(io.MultiWriter(w, digest)) })
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", digest.Sum(nil), f.name)
	}
	seal := []file{{"SHA256SUMS", durable.Bytes(sums.Bytes())}}
	if o.Sign == nil {
		// A signature that lies there from before is not over these sums.
		if err := durable.Remove(filepath.Join(directory, "SHA256SUMS.sig")); err != nil {
			return err
		}
	} else {
		digest := sha256.Sum256(sums.Bytes())
		signature, err := o.Sign(digest[:])
		if err != nil {
			return fmt.Errorf("signing the handover: %w", err)
		}
		seal = append(seal,
			file{"SHA256SUMS.sig", durable.Bytes(signature)},
			file{"signer.pub.pem", durable.Bytes(o.PublicKey)},
		)
	}
	for _, f := range seal {
		if err := durable.Replace(filepath.Join(directory, f.name), 0o600, f.write); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON writes the summary as one line.
func (s Summary) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(s) }

// WriteMeters writes meters.csv; see the package comment for its columns.
func (r *Report) WriteMeters(w io.Writer) error {
	out := table.NewWriter(w)
	header := []string{
		"device_id", "device_type", "mpxn", "csp_region", "verdict", "as_of", "reason",
		"found_mode", "found_supply", "found_balance", "end_mode", "end_supply", "end_balance",
	}
	for _, s := range servicerequests.Services {
		header = append(header, s.SRV()+"_outcome", s.SRV()+"_code")
	}
	header = append(header, "attempts", "first_sent_at", "last_response_at", "request_ids")
	out.Write(header...)
	for i := range r.Meters {
		out.Write(r.Meters[i].line()...)
	}
	return out.End()
}

func (m *Meter) line() []string {
	v := m.Verdict
	line := []string{
		m.Device.String(), m.Target.Type.String(), m.Target.MPxN, m.Target.Region.String(), v.Verdict, timestamp(v.AsOf), v.Reason,
		v.Found.Mode.String(), v.Found.Supply.String(), pounds(v.Found.Balance),
		v.End.Mode.String(), v.End.Supply.String(), pounds(v.End.Balance),
	}
	var firstSent time.Time
	var ids []string
	last := map[servicerequests.Service]Request{}
	for _, r := range m.Requests {
		if firstSent.IsZero() {
			firstSent = r.SentAt
		}
		if r.ID != (servicerequests.RequestID{}) { // not redacted
			ids = append(ids, r.ID.String())
		}
		last[r.Service] = r
	}
	for _, s := range servicerequests.Services {
		outcome := ""
		if r, asked := last[s]; asked {
			outcome = r.Class.String()
		}
		line = append(line, outcome, last[s].Code)
	}
	return append(line, strconv.Itoa(len(m.Requests)), timestamp(firstSent), timestamp(m.LastResponseAt), strings.Join(ids, " "))
}

// writeNotCovered writes not_covered.csv: line in the portfolio, device_id as
// it stands there, reason.
func (r *Report) writeNotCovered(w io.Writer) error {
	out := table.NewWriter(w)
	out.Write("line", "device_id", "reason")
	for _, row := range r.NotCovered {
		out.Write(strconv.Itoa(row.Line), row.Device, row.Reason)
	}
	return out.End()
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func pounds(m *servicerequests.Millipence) string {
	if m == nil {
		return ""
	}
	return m.String()
}
