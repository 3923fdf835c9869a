package report

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"safemode/servicerequests"
)

// Write puts summary.json, summary.txt, meters.csv and not_covered.csv into a
// directory, which it makes if there is none. Each file is replaced as a
// whole, durably, and may be read by its owner only.
func (r *Report) Write(directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, file := range [...]struct {
		name  string
		write func(io.Writer) error
	}{
		{"meters.csv", r.WriteMeters},
		{"not_covered.csv", r.WriteNotCovered},
		{"summary.txt", r.WriteText},
		{"summary.json", r.Summary.WriteJSON}, // last: where it is, the others are
	} {
		if err := replace(filepath.Join(directory, file.name), file.write); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// WriteJSON writes the summary as one line.
func (s Summary) WriteJSON(w io.Writer) error { return json.NewEncoder(w).Encode(s) }

// WriteMeters writes meters.csv; see the package comment for its columns.
func (r *Report) WriteMeters(w io.Writer) error {
	out := csv.NewWriter(w)
	header := []string{
		"device_id", "device_type", "mpxn", "csp_region", "verdict", "as_of", "reason",
		"found_mode", "found_supply", "found_balance", "end_mode", "end_supply", "end_balance",
	}
	for _, s := range servicerequests.Services {
		header = append(header, s.SRV()+"_outcome", s.SRV()+"_code")
	}
	header = append(header, "attempts", "first_sent_at", "last_response_at", "request_ids")
	if err := out.Write(header); err != nil {
		return err
	}
	for _, m := range r.Meters {
		if err := out.Write(m.line()); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func (m Meter) line() []string {
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
		ids = append(ids, r.ID.String())
		last[r.Service] = r
	}
	for _, s := range servicerequests.Services {
		line = append(line, last[s].Class, last[s].Code)
	}
	return append(line, strconv.Itoa(len(m.Requests)), timestamp(firstSent), timestamp(m.LastResponseAt), strings.Join(ids, " "))
}

// WriteNotCovered writes not_covered.csv: line in the portfolio, device_id as
// it stands there, reason.
func (r *Report) WriteNotCovered(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"line", "device_id", "reason"}); err != nil {
		return err
	}
	for _, row := range r.NotCovered {
		if err := out.Write([]string{strconv.Itoa(row.Line), row.Device, row.Reason}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
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

// replace writes a file beside its place and puts it there once it is whole.
func replace(path string, write func(io.Writer) error) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 64<<10)
	err = write(out)
	if err = errors.Join(err, out.Flush(), f.Sync(), f.Close()); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}
