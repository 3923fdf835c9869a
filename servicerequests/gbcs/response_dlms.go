package gbcs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"safemode/servicerequests"
)

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

func (resp *Response) readDLMS(r *reader, h Header) {
	u := &resp.UseCase
	n := byte(len(resp.Results))
	r.expect(accessResponse, "access response")
	r.invokeID(h.Counter)
	r.expect("\x00\x00", "access response")
	r.expectByte(n, "number of data")
	present := resp.readData(r, h)
	r.expectByte(n, "number of results")
	for i := range resp.Results {
		r.expectByte(u.choice(), "result's choice")
		resp.Results[i] = r.u8("result")
		if hasDatum := present&(1<<i) != 0; u.returnsData() && hasDatum != (resp.Results[i] == 0) {
			r.fail("datum and result contradict each other")
		}
	}
}

// readData reads the data; present has a bit for each that is not null.
func (resp *Response) readData(r *reader, h Header) (present uint32) {
	if !resp.UseCase.returnsData() {
		for range resp.Results {
			r.expect("\x00", "datum of a set or action")
		}
		return 0
	}
	if resp.UseCase.Code == codeECS26a {
		resp.Configuration = new(PrepaymentConfiguration)
		return resp.Configuration.readDLMS(r)
	}
	if r.null() {
		return 0
	}
	switch resp.UseCase.Code {
	case codeECS45:
		r.expect("\x16", "control state")
		switch r.u8("control state") {
		case 0:
			resp.Supply = servicerequests.Disabled
		case 1:
			resp.Supply = servicerequests.Enabled
		case 2:
			resp.Supply = servicerequests.Armed
		default:
			r.fail("control state is none of 00, 01, 02")
		}
	case codeECS26j:
		r.expect("\x02\x02\x16", "account mode")
		switch r.u8("account mode") {
		case 1:
			resp.Mode = servicerequests.Credit
		case 2:
			resp.Mode = servicerequests.Prepayment
		default:
			r.fail("account mode is neither 01 nor 02")
		}
		r.expect(accountActive, "account status")
	case codeECS82:
		resp.HasBalance, resp.Balance = true, r.doubleLong("balance")
	case codeECS19:
		r.expect("\x02\x02", "protected attributes")
		readProtection(r, h)
		r.expect("\x09", "encrypted values")
		r.expectByte(byte(len(securityHeader)+electricityPrepayLength+macLength), "length of encrypted values")
		r.expect(securityHeader, "security header")
		resp.Ciphertext = r.take(electricityPrepayLength+macLength, "encrypted values")
	}
	return 1
}

// accountActive is the status of the account that 6.2.9 reads: always 02, active.
const accountActive = "\x16\x02"

// null reads a null datum if the next one is null.
func (r *reader) null() bool {
	if r.what == "" && r.left() > 0 && r.b[r.off] == 0 {
		r.off++
		return true
	}
	return false
}

// doubleLong reads a datum of a signed 32 bit amount.
func (r *reader) doubleLong(what string) servicerequests.Millipence {
	r.expect("\x05", what)
	return servicerequests.Millipence(int32(r.u32(what)))
}

func (resp *Response) appendDLMS(b []byte, h Header) ([]byte, error) {
	u := &resp.UseCase
	n := byte(len(resp.Results))
	b = append(b, accessResponse...)
	b = append(b, byte(h.Counter>>16), byte(h.Counter>>8), byte(h.Counter), 0, 0, n)
	b, err := resp.appendData(b, h)
	if err != nil {
		return nil, err
	}
	b = append(b, n)
	for _, code := range resp.Results {
		b = append(b, u.choice(), code)
	}
	return b, nil
}

func (resp *Response) appendData(b []byte, h Header) ([]byte, error) {
	code := resp.UseCase.Code
	if !resp.UseCase.returnsData() {
		for range resp.Results {
			b = append(b, 0)
		}
		return b, nil
	}
	if code == codeECS26a {
		return resp.Configuration.appendDLMS(b, resp.Results)
	}
	if resp.Results[0] != 0 {
		return append(b, 0), nil
	}
	switch code {
	case codeECS45:
		switch resp.Supply {
		case servicerequests.Disabled:
			return append(b, 0x16, 0), nil
		case servicerequests.Enabled:
			return append(b, 0x16, 1), nil
		case servicerequests.Armed:
			return append(b, 0x16, 2), nil
		}
		return nil, fmt.Errorf("supply state %s", resp.Supply)
	case codeECS26j:
		switch resp.Mode {
		case servicerequests.Credit:
			b = append(b, 2, 2, 0x16, 1)
		case servicerequests.Prepayment:
			b = append(b, 2, 2, 0x16, 2)
		default:
			return nil, fmt.Errorf("payment mode %s", resp.Mode)
		}
		return append(b, accountActive...), nil
	case codeECS82:
		return appendDoubleLong(b, resp.Balance)
	default: // ECS19
		if len(resp.Ciphertext) != electricityPrepayLength+macLength {
			return nil, errors.New("ciphertext is not that of ECS19")
		}
		b = appendProtection(append(b, 2, 2), h)
		b = append(b, 9, byte(len(securityHeader)+len(resp.Ciphertext)))
		b = append(b, securityHeader...)
		return append(b, resp.Ciphertext...), nil
	}
}

func appendDoubleLong(b []byte, amount servicerequests.Millipence) ([]byte, error) {
	if int64(amount) != int64(int32(amount)) {
		return nil, fmt.Errorf("amount %s does not fit 32 bits", amount)
	}
	return binary.BigEndian.AppendUint32(append(b, 5), uint32(amount)), nil
}
