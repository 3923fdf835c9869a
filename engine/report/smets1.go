package report

import (
	"fmt"
	"io"
	"strconv"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/table"
)

// SMETS1 counts the meters of the first generation: a group of their own among the rows that
// are not covered. They are sent nothing, so the sweep knows nothing of them.
type SMETS1 struct {
	Meters     int `json:"meters"`
	Homes      int `json:"homes"`      // hubs; a meter whose hub the journal does not hold counts by itself
	Prepayment int `json:"prepayment"` // of Meters, by the portfolio
}

// countSMETS1 counts the rows of SMETS1 meters; nil if there are none.
func countSMETS1(rows []record.RejectedBody) *SMETS1 {
	var s SMETS1
	hubs := map[servicerequests.EUI]bool{}
	for _, row := range rows {
		if !row.SMETS1 {
			continue
		}
		s.Meters++
		if row.Hub == 0 || !hubs[row.Hub] {
			s.Homes++
		}
		hubs[row.Hub] = true
		if row.Claimed == servicerequests.Prepayment {
			s.Prepayment++
		}
	}
	if s.Meters == 0 {
		return nil
	}
	return &s
}

// text says how many there are, of how many rows of the portfolio.
func (s *SMETS1) text(rows int) string {
	if s == nil {
		return "The portfolio has no SMETS1 meters."
	}
	return fmt.Sprintf("%d of %d rows of the portfolio are SMETS1 meters, in %d homes; %d of them are in prepayment, as the portfolio has it. "+
		"Nothing is ever sent to them: whoever takes over has to help these homes by other means. smets1.csv lists them.", s.Meters, rows, s.Homes, s.Prepayment)
}

// smets1Sections is the group's part of a page.
func (r *Report) smets1Sections() []section {
	s := r.Summary.SMETS1
	if s == nil {
		return nil
	}
	return []section{{Heading: "SMETS1 meters", Text: s.text(len(r.Meters) + len(r.NotCovered))}}
}

// WriteSMETS1 writes smets1.csv: every SMETS1 meter of the portfolio.
func (r *Report) WriteSMETS1(w io.Writer) error {
	out := table.NewWriter(w)
	out.Write("line", "device_id", "chf_id", "mpxn", "claimed_mode")
	for _, row := range r.NotCovered {
		if !row.SMETS1 {
			continue
		}
		hub := ""
		if row.Hub != 0 {
			hub = row.Hub.String()
		}
		out.Write(strconv.Itoa(row.Line), row.Device, hub, row.MPxN, row.Claimed.String())
	}
	return out.End()
}
