package report

import (
	"math"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// balanceRead is one read of a meter's balance.
type balanceRead struct {
	counter uint64
	Money
}

// tells says whether the answers to a service hold something for the handover
// that their outcome does not repeat.
func tells(s servicerequests.Service) bool {
	switch s {
	case servicerequests.ReadMeterBalance, servicerequests.ReadPaymentMode, servicerequests.ReadPrepaymentConfiguration:
		return true
	}
	return false
}

// learn takes from a request that ended what the handover needs. The answer that its
// outcome rests on was proven and correlated before the outcome was written; one that
// cannot be read now tells nothing, as if it had not come.
func (m *meter) learn(r *request, o record.OutcomeBody, raw []byte) {
	if o.Class != record.ClassSuccess {
		return
	}
	if r.Service == servicerequests.SwitchToCredit && m.SwitchedAt.IsZero() {
		m.SwitchedAt = o.AnsweredAt
	}
	if o.Proxy != 0 {
		m.proxy = o.Proxy
	}
	if !tells(r.Service) || r.ID.Target != m.Device && r.ID.Target == m.Target.Proxy && r.ID.Target != m.proxy {
		return // a gas proxy that only the portfolio names may be another home's
	}
	answer, ok := readAnswer(raw)
	if !ok {
		return
	}
	switch r.Service {
	case servicerequests.ReadMeterBalance:
		read := balanceRead{r.ID.Counter, Money{At: o.AnsweredAt}}
		if answer.HasBalance {
			read.Balance = &answer.Balance
		}
		if answer.HasCreditModeBalance {
			read.CreditModeDue = &answer.CreditModeBalance
		}
		m.balances = append(m.balances, read)
	case servicerequests.ReadPaymentMode:
		if answer.HasSuspendDebt && m.SwitchedAt.IsZero() {
			m.Settings.SuspendDebt = &SuspendDebt{answer.SuspendDebtDisabled, answer.SuspendDebtEmergency}
		}
	case servicerequests.ReadPrepaymentConfiguration:
		if m.SwitchedAt.IsZero() {
			m.Settings.Configuration = answer.Configuration
		}
	}
}

// readAnswer reads the device's answer in a journalled response.
func readAnswer(raw []byte) (gbcs.Response, bool) {
	if raw == nil {
		return gbcs.Response{}, false
	}
	outer, err := duis.InspectResponse(raw)
	if err != nil {
		return gbcs.Response{}, false
	}
	content, ok := outer.Content.(duis.DeviceResponse)
	if !ok {
		return gbcs.Response{}, false
	}
	message, err := gbcs.Parse(content.Payload)
	if err != nil {
		return gbcs.Response{}, false
	}
	answer, err := gbcs.DecodeResponse(message)
	return answer, err == nil
}

// splitBalances separates the balances before the switch from those after it. A request with
// a counter below that of the first signed 1.6 came before.
func (m *meter) splitBalances() {
	switched := uint64(math.MaxUint64)
	for _, r := range m.requests {
		if r.Service == servicerequests.SwitchToCredit && r.signed {
			switched = min(switched, r.ID.Counter)
		}
	}
	for _, b := range m.balances {
		switch {
		case b.counter > switched:
			m.After = b.Money
		case m.Before.At.IsZero():
			m.Before = b.Money
		}
	}
	if m.After.Balance != nil && m.Verdict.Verdict != "" {
		m.Verdict.End.Balance = m.After.Balance // it may have been read after the verdict
	}
}
