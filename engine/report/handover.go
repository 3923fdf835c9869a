package report

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/table"
)

// handoverHeader names the columns of devices.csv; see the package comment.
var handoverHeader = []string{
	"device_id", "device_type", "chf_id", "mpxn", "csp_region", "verdict", "reason", "as_of",
	"found_mode", "found_supply", "end_mode", "end_supply", "switched_at", "switched_by",
	"balance_before", "balance_before_at", "balance_after", "balance_after_at",
	"credit_mode_due_before", "credit_mode_due_after",
	"emergency_credit", "emergency_credit_limit", "emergency_credit_threshold", "low_credit_threshold", "disablement_threshold",
	"suspend_debt_disabled", "suspend_debt_emergency", "maximum_meter_balance", "maximum_credit_threshold",
	"debt_recovery_1", "debt_recovery_1_period_s", "debt_recovery_2", "debt_recovery_2_period_s", "debt_recovery_per_payment",
}

// WriteHandover writes devices.csv of the handover pack: every planned meter.
func (r *Report) WriteHandover(w io.Writer) error {
	return r.handoverLines(w, func(*Meter) bool { return true })
}

// WriteArmed writes the meters of homes that need a call: they are in credit mode and
// stay off until somebody presses the button.
func (r *Report) WriteArmed(w io.Writer) error {
	return r.handoverLines(w, func(m *Meter) bool { return m.Verdict.Verdict == record.VerdictArmed })
}

// writeUnreachable writes the meters of which nothing trustworthy is known.
func (r *Report) writeUnreachable(w io.Writer) error {
	return r.handoverLines(w, func(m *Meter) bool { return m.Verdict.Verdict == record.VerdictUnknown })
}

func (r *Report) handoverLines(w io.Writer, wanted func(*Meter) bool) error {
	out := table.NewWriter(w)
	out.Write(handoverHeader...)
	for i := range r.Meters {
		if m := &r.Meters[i]; wanted(m) {
			out.Write(m.handover()...)
		}
	}
	return out.End()
}

func (m *Meter) handover() []string {
	v := m.Verdict
	line := []string{
		m.Device.String(), m.Target.Type.String(), m.Target.Hub.String(), m.Target.MPxN, m.Target.Region.String(),
		v.Verdict, v.Reason, timestamp(v.AsOf),
		v.Found.Mode.String(), v.Found.Supply.String(), v.End.Mode.String(), v.End.Supply.String(),
		timestamp(m.SwitchedAt), m.switchedBy(),
		pounds(m.Before.Balance), timestamp(m.Before.At), pounds(m.After.Balance), timestamp(m.After.At),
		pounds(m.Before.CreditModeDue), pounds(m.After.CreditModeDue), m.emergencyCredit(),
	}
	return append(line, m.Settings.columns()...)
}

// switchedBy names the request that switched the meter; empty if none did.
func (m *Meter) switchedBy() string {
	for _, q := range m.Requests {
		if q.Service == servicerequests.SwitchToCredit && q.Class == record.ClassSuccess && q.ID != (servicerequests.RequestID{}) {
			return q.ID.String()
		}
	}
	return ""
}

// emergencyCredit says what became of 2.5: activated (the meter says that emergency
// credit is active, and may have been before), refused by the meter, unknown where
// no answer came, and not_asked.
func (m *Meter) emergencyCredit() string {
	state := "not_asked"
	for _, q := range m.Requests {
		if q.Service != servicerequests.ActivateEmergencyCredit {
			continue
		}
		switch {
		case q.Class == record.ClassSuccess:
			return "activated"
		case q.Class == record.ClassNegative:
			state = "refused"
		case state == "not_asked":
			state = "unknown"
		}
	}
	return state
}

// columns are the settings in the order of handoverHeader; empty where not read.
func (s Settings) columns() []string {
	suspendDisabled, suspendEmergency := "", ""
	if s.SuspendDebt != nil {
		suspendDisabled, suspendEmergency = strconv.FormatBool(s.SuspendDebt.Disabled), strconv.FormatBool(s.SuspendDebt.Emergency)
	}
	c := s.Configuration
	if c == nil {
		return []string{"", "", "", "", suspendDisabled, suspendEmergency, "", "", "", "", "", "", ""}
	}
	if s.SuspendDebt == nil && c.Account.Mode == servicerequests.Prepayment {
		suspendDisabled, suspendEmergency = strconv.FormatBool(c.Account.SuspendDebtDisabled), strconv.FormatBool(c.Account.SuspendDebtEmergency)
	}
	line := []string{
		c.EmergencyCreditLimit.String(), c.EmergencyCreditThreshold.String(), c.LowCreditThreshold.String(), c.DisablementThreshold.String(),
		suspendDisabled, suspendEmergency, c.MaximumMeterBalance.String(), c.MaximumCreditThreshold.String(),
	}
	for _, d := range c.DebtRecovery {
		line = append(line, d.Rate.String(), strconv.FormatUint(uint64(d.Period), 10))
	}
	return append(line, strconv.Itoa(int(c.DebtRecoveryPerPayment)))
}

// Handover is counters.json of the handover pack: what the next owner of the keys must
// know before the first command.
type Handover struct {
	Heading
	AsOf       time.Time            `json:"as_of"` // the last record of the journal
	Ended      string               `json:"ended"` // finished, halted, interrupted, or empty: still open
	Meters     int                  `json:"meters"`
	NotCovered int                  `json:"not_covered"`
	SMETS1     *SMETS1              `json:"smets1,omitempty"` // of NotCovered: smets1.csv
	Verdicts   Verdicts             `json:"verdicts"`
	Homes      Homes                `json:"homes"` // both fuels together
	Calls      Calls                `json:"calls"` // homes that need a person: calls.csv
	Notices    []Notice             `json:"solr_notices"`
	Counters   []OriginatorCounters `json:"counters"` // the next counter must be above last
	// Settings are those that have no column: calendars and special days, by device.
	Settings map[servicerequests.EUI]*gbcs.PrepaymentConfiguration `json:"prepayment_configuration"`
}

// Handover sums up what is handed over.
func (r *Report) Handover() Handover {
	h := Handover{
		Heading: r.heading(), AsOf: r.Last, Ended: r.Ended,
		Meters: len(r.Meters), NotCovered: len(r.NotCovered), SMETS1: r.Summary.SMETS1, Verdicts: r.Summary.Verdicts, Homes: r.Summary.Homes, Calls: r.Summary.Calls, Notices: r.Notices, Counters: r.Counters,
		Settings: map[servicerequests.EUI]*gbcs.PrepaymentConfiguration{},
	}
	for i := range r.Meters {
		if c := r.Meters[i].Settings.Configuration; c != nil {
			h.Settings[r.Meters[i].Device] = c
		}
	}
	return h
}

// writeJSON writes it as one line.
func (h Handover) writeJSON(w io.Writer) error { return json.NewEncoder(w).Encode(h) }
