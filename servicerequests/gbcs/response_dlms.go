package gbcs

import "safemode/servicerequests"

// DLMS access response: DA, 20 and the invoke id, date-time 00, specification 00,
// a count and so many data, the count again and so many results of choice (as in
// the request) and code.
//
// A datum is 00 (null) for a set and an action. For a get, and for the one action
// that returns something (ECS19), it is null if and only if the result is not 0.
const accessResponse = "\xDA\x20"

// choice returns the choice byte of the use case's results.
func (u *UseCase) choice() byte {
	switch u.Code {
	case codeECS45, codeECS26j, codeECS82, codeECS26a:
		return get[0]
	case codeECS02, codeECS03:
		return set[0]
	}
	return action[0]
}

func (u *UseCase) returnsData() bool { return u.choice() == get[0] || u.Code == codeECS19 }

// electricitySupply and accountModes are in the order of their numbers in an ESME, the modes
// from 1 on.
var (
	electricitySupply = []servicerequests.SupplyState{servicerequests.Disabled, servicerequests.Enabled, servicerequests.Armed}
	accountModes      = []servicerequests.PaymentMode{servicerequests.Credit, servicerequests.Prepayment}
)

func (resp *Response) dlms(l *layout, h Header) {
	u := &resp.UseCase
	n := byte(len(resp.Results))
	l.fixed(accessResponse, "access response")
	l.invokeID(h.Counter)
	l.fixed("\x00\x00", "access response")
	l.one(n, "number of data")
	present := resp.data(l, h)
	l.one(n, "number of results")
	for i := range resp.Results {
		l.one(u.choice(), "result's choice")
		l.u8(&resp.Results[i], "result")
		if hasDatum := present&(1<<i) != 0; u.returnsData() && hasDatum != (resp.Results[i] == 0) {
			l.fail("datum and result contradict each other")
		}
	}
}

// data is the data; present has a bit for each that is not null.
func (resp *Response) data(l *layout, h Header) (present uint32) {
	if !resp.UseCase.returnsData() {
		for range resp.Results {
			l.fixed("\x00", "datum of a set or action")
		}
		return 0
	}
	if resp.UseCase.Code == codeECS26a {
		return resp.Configuration.dlms(l, resp.Results)
	}
	if l.null(resp.Results[0] != 0) {
		return 0
	}
	switch resp.UseCase.Code {
	case codeECS45:
		l.fixed("\x16", "control state")
		named(l, &resp.Supply, 0, electricitySupply, "control state")
	case codeECS26j:
		l.fixed("\x02\x02\x16", "account mode")
		named(l, &resp.Mode, 1, accountModes, "account mode")
		l.fixed("\x16\x02", "account status") // always active
	case codeECS82:
		resp.HasBalance = true
		l.doubleLong(&resp.Balance, "balance")
	case codeECS19:
		l.fixed("\x02\x02", "protected attributes")
		l.protection(h)
		l.fixed("\x09", "encrypted values")
		l.encrypted(&resp.Ciphertext, electricityPrepayLength)
	}
	return 1
}

// null reads a null datum if the next one is null.
func (r *reader) null() bool {
	if r.what == "" && r.left() > 0 && r.b[r.off] == 0 {
		r.off++
		return true
	}
	return false
}
