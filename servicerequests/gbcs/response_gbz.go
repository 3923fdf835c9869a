package gbcs

import (
	"encoding/binary"
	"errors"
	"fmt"

	"safemode/servicerequests"
)

// ZCL clusters.
const (
	clusterPrice      = 0x0700
	clusterMetering   = 0x0702
	clusterPrepayment = 0x0705
	clusterCalendar   = 0x0707
)

// Component control bits.
const (
	notLast         = 0x00
	last            = 0x01
	encryptedValues = 0x02
)

// ZCL data types.
const (
	typeBitmap8  = 0x18
	typeBitmap16 = 0x19
	typeUint16   = 0x21
	typeUint32   = 0x23
	typeInt32    = 0x2B
	typeEnum8    = 0x30
)

// Frames from the server (frame control 08 profile-wide, 09 and 19 cluster).
const (
	readAttributesResponse = 0x01
	defaultResponse        = 0x0B
)

// amountDecimals is attribute 0617 (trailing digit): five decimals, so that
// amounts are millipence. The low nibble is not looked at.
const amountDecimals = 0x50

// A Response has the ZCL sequence of the request component that it answers.
// A component that cannot be carried out is answered by a Default Response: frame 08, sequence,
// 0B, the command (FF if it was not executed after an earlier failure), status.

func (r *reader) components(n byte) {
	r.expect("\x01\x09", "GBZ profile")
	r.expectByte(n, "number of components")
}

// open begins a component; until shut, reads stop at its end.
func (r *reader) open(control byte, cluster uint16) {
	r.expectByte(control, "component's control")
	if r.u16("cluster") != cluster {
		r.fail("cluster is not as its use case has it")
	}
	n := int(r.u16("component's length"))
	if n > r.left() {
		r.fail("component is cut short")
		return
	}
	r.end = r.off + n
}

func (r *reader) shut() {
	if r.what == "" && r.off != r.end {
		r.fail("bytes are left over in a component")
	}
	r.end = len(r.b)
}

// attribute reads one record of a Read Attributes Response: id, status and, if
// that is 0, type and value. A signed value is sign-extended.
func (r *reader) attribute(id uint16, typ byte) (value int64, status byte) {
	if r.le16("attribute") != id {
		r.fail("attribute is not the one that was asked for")
	}
	if status = r.u8("attribute's status"); status != 0 {
		return 0, status
	}
	r.expectByte(typ, "attribute's type")
	switch typ {
	case typeBitmap8, typeEnum8:
		value = int64(r.u8("value"))
	case typeBitmap16, typeUint16:
		value = int64(r.le16("value"))
	case typeUint32:
		value = int64(r.le32("value"))
	case typeInt32:
		value = int64(int32(r.le32("value")))
	}
	return value, 0
}

// refusal reads a Default Response, if the component is one, and returns its
// status. Command is the one refused; 0xFF is accepted where a component before
// it failed.
func (r *reader) refusal(sequence, command byte, afterFailure bool) (status byte, ok bool) {
	if r.what != "" || r.left() != 5 || r.b[r.off+2] != defaultResponse {
		return 0, false
	}
	r.expect("\x08", "Default Response")
	r.expectByte(sequence, "sequence")
	r.expectByte(defaultResponse, "Default Response")
	if refused := r.u8("refused command"); refused != command && !(afterFailure && refused == 0xFF) {
		r.fail("Default Response is to another command")
	}
	return r.u8("status"), true
}

func (r *reader) refused(sequence, command byte, afterFailure bool) (status byte, ok bool) {
	status, ok = r.refusal(sequence, command, afterFailure)
	if ok && status == 0 {
		r.fail("Default Response says success where the use case answers otherwise")
	}
	return status, ok
}

func (resp *Response) readGBZ(r *reader) {
	results := resp.Results
	switch code := resp.UseCase.Code; code {
	case codeGCS06:
		r.components(1)
		r.open(last, clusterPrepayment)
		status, ok := r.refusal(0, 0, false) // here it is the success form too
		if !ok {
			r.fail("not a Default Response")
		}
		results[0] = status
		r.shut()
	case codeGCS02, codeGCS03:
		r.components(1)
		r.open(last, clusterPrepayment)
		if status, ok := r.refused(0, 0x06, false); ok {
			results[0] = status
		} else {
			resp.ModeChange.read(r)
		}
		r.shut()
	case codeGCS39, codeGCS32:
		r.components(1)
		r.open(last, clusterMetering)
		if status, ok := r.refused(0, 0x0B, false); ok {
			results[0] = status
		} else {
			resp.readSupplyChange(r)
		}
		r.shut()
	case codeGCS33:
		r.components(1)
		r.open(last, clusterMetering)
		r.expect("\x08\x00\x01", "Read Attributes Response")
		days, status := r.attribute(0x0205, typeUint16)
		resp.BatteryDays, results[0] = uint16(days), status
		supply, status := r.attribute(0x0014, typeEnum8)
		if results[1] = status; status == 0 {
			resp.Supply = gasSupply(r, byte(supply))
		}
		r.shut()
	case codeGCS21j:
		r.components(1)
		r.open(last, clusterPrepayment)
		r.expect("\x08\x00\x01\x00\x00", "Read Attributes Response")
		if results[0] = r.u8("attribute's status"); results[0] == 0 {
			r.expectByte(typeBitmap16, "attribute's type")
			resp.Mode, resp.SuspendDebtEmergency, resp.SuspendDebtDisabled = readPaymentControl(r)
			resp.HasSuspendDebt = resp.Mode == servicerequests.Prepayment
		}
		r.shut()
	case codeGCS60, codeGCS60a:
		resp.readGasBalances(r)
	case codeGCS21b:
		resp.Configuration = new(PrepaymentConfiguration)
		resp.Configuration.readGBZ(r, results)
	case codeGCS14:
		resp.readGasPrepay(r)
	}
}

func (c *ModeChange) read(r *reader) {
	r.expect("\x19\x00\x02", "Change Payment Mode Response")
	switch r.u8("friendly credit") {
	case 0:
	case 1:
		c.FriendlyCredit = true
	default:
		r.fail("friendly credit is neither 00 nor 01")
	}
	c.CalendarID = r.le32("calendar")
	c.EmergencyCreditLimit = servicerequests.Millipence(r.le32("emergency credit limit"))
	c.EmergencyCreditThreshold = servicerequests.Millipence(r.le32("emergency credit threshold"))
}

// readSupplyChange reads a Supply Status Response. It is a success only with the
// state that was asked for; another state is no answer that the use case has.
func (resp *Response) readSupplyChange(r *reader) {
	r.expect("\x09\x00\x0C\x00\x00\x00\x00", "Supply Status Response")
	resp.SupplyChange.IssuerEventID = r.le32("issuer event id")
	resp.SupplyChange.ImplementationTime = r.le32("implementation time")
	want := byte(1)
	if resp.UseCase.Code == codeGCS32 {
		want = 0
	}
	r.expectByte(want, "supply status")
	resp.Supply = gasSupply(r, want)
}

// gasSupply returns the meaning of a GSME's supply status. Armed and Enabled
// have the numbers that an ESME has the other way about.
func gasSupply(r *reader, status byte) servicerequests.SupplyState {
	switch status {
	case 0:
		return servicerequests.Disabled
	case 1:
		return servicerequests.Armed
	case 2:
		return servicerequests.Enabled // by the ZigBee meaning and one vector
	}
	r.fail("supply status is none of 00, 01, 02")
	return servicerequests.UnknownSupply
}

func (resp *Response) readGasBalances(r *reader) {
	r.components(2)
	r.open(notLast, clusterMetering)
	r.expect("\x08\x00\x01", "Read Attributes Response")
	due, status := r.attribute(0x0A00, typeUint32)
	resp.Results[0] = status
	if status == 0 {
		resp.HasCreditModeBalance, resp.CreditModeBalance = true, servicerequests.Millipence(due)
	}
	r.shut()
	r.open(last, clusterPrepayment)
	if status, ok := r.refused(1, 0, resp.Results[0] != 0); ok {
		resp.Results[1] = status
	} else {
		r.expect("\x08\x01\x01", "Read Attributes Response")
		credit, status := r.attribute(0x0001, typeInt32)
		resp.Results[1] = status
		if status == 0 {
			resp.HasBalance, resp.Balance = true, servicerequests.Millipence(credit)
		}
	}
	r.shut()
}

func (resp *Response) readGasPrepay(r *reader) {
	r.components(2)
	r.open(notLast, clusterPrice)
	r.expect("\x08\x00\x01", "Read Attributes Response")
	decimals, status := r.attribute(0x0617, typeBitmap8)
	if resp.Results[0] = status; status == 0 && decimals&0xF0 != amountDecimals {
		r.fail("amounts are not in millipence")
	}
	currency, status := r.attribute(0x0616, typeUint16)
	if resp.Results[1] = status; status == 0 && currency != poundSterling {
		r.fail("amounts are not in pounds sterling")
	}
	r.shut()
	if r.left() > 0 && r.b[r.off] == last {
		r.open(last, clusterPrepayment)
		failed := resp.Results[0] != 0 || resp.Results[1] != 0
		status, ok := r.refused(1, 0, failed)
		if !ok {
			r.fail("neither encrypted values nor a Default Response")
		}
		resp.Results[2] = status
		r.shut()
		return
	}
	r.open(last|encryptedValues, clusterPrepayment)
	r.expect("\x00\x00\x08\x01\x01\x00", "encrypted values")
	r.expectByte(byte(len(securityHeader)+gasPrepayLength+macLength), "length of encrypted values")
	r.expect(securityHeader, "security header")
	resp.Ciphertext = r.take(gasPrepayLength+macLength, "encrypted values")
	r.shut()
}

const poundSterling = 826 // ISO 4217

func (resp *Response) appendGBZ(b []byte) ([]byte, error) {
	first := resp.Results[0]
	switch resp.UseCase.Code {
	case codeGCS06:
		return appendRefusal(appendComponents(b, 1), last, clusterPrepayment, 0, 0, first), nil
	case codeGCS02, codeGCS03:
		if first != 0 {
			return appendRefusal(appendComponents(b, 1), last, clusterPrepayment, 0, 0x06, first), nil
		}
		return resp.ModeChange.append(b)
	case codeGCS39, codeGCS32:
		if first != 0 {
			return appendRefusal(appendComponents(b, 1), last, clusterMetering, 0, 0x0B, first), nil
		}
		return resp.appendSupplyChange(b)
	case codeGCS33:
		supply, ok := gasSupplyStatus(resp.Supply)
		if !ok && resp.Results[1] == 0 {
			return nil, fmt.Errorf("supply state %s", resp.Supply)
		}
		b, length := beginComponent(appendComponents(b, 1), last, clusterMetering)
		b = append(b, 0x08, 0x00, readAttributesResponse)
		b = appendRecord(b, 0x0205, first, typeUint16, uint32(resp.BatteryDays))
		b = appendRecord(b, 0x0014, resp.Results[1], typeEnum8, uint32(supply))
		return endComponent(b, length), nil
	case codeGCS21j:
		control, ok := resp.paymentControl()
		if !ok && first == 0 {
			return nil, fmt.Errorf("payment mode %s", resp.Mode)
		}
		b, length := beginComponent(appendComponents(b, 1), last, clusterPrepayment)
		b = append(b, 0x08, 0x00, readAttributesResponse)
		b = appendRecord(b, 0x0000, first, typeBitmap16, control)
		return endComponent(b, length), nil
	case codeGCS60, codeGCS60a:
		return resp.appendGasBalances(b)
	case codeGCS21b:
		return resp.Configuration.appendGBZ(b, resp.Results)
	default: // GCS14
		return resp.appendGasPrepay(b)
	}
}

func (c *ModeChange) append(b []byte) ([]byte, error) {
	b, length := beginComponent(appendComponents(b, 1), last, clusterPrepayment)
	b = append(b, 0x19, 0x00, 0x02, 0)
	if c.FriendlyCredit {
		b[len(b)-1] = 1
	}
	b = binary.LittleEndian.AppendUint32(b, c.CalendarID)
	for _, amount := range [...]servicerequests.Millipence{c.EmergencyCreditLimit, c.EmergencyCreditThreshold} {
		if int64(amount) != int64(uint32(amount)) {
			return nil, fmt.Errorf("amount %s does not fit 32 bits unsigned", amount)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(amount))
	}
	return endComponent(b, length), nil
}

func (resp *Response) appendSupplyChange(b []byte) ([]byte, error) {
	status, _ := gasSupplyStatus(resp.Supply)
	if armed := resp.Supply == servicerequests.Armed; armed != (resp.UseCase.Code == codeGCS39) ||
		!armed && resp.Supply != servicerequests.Disabled {
		return nil, fmt.Errorf("supply state %s", resp.Supply)
	}
	b, length := beginComponent(appendComponents(b, 1), last, clusterMetering)
	b = append(b, 0x09, 0x00, 0x0C, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, resp.SupplyChange.IssuerEventID)
	b = binary.LittleEndian.AppendUint32(b, resp.SupplyChange.ImplementationTime)
	return endComponent(append(b, status), length), nil
}

func gasSupplyStatus(s servicerequests.SupplyState) (status byte, ok bool) {
	switch s {
	case servicerequests.Disabled:
		return 0, true
	case servicerequests.Armed:
		return 1, true
	case servicerequests.Enabled:
		return 2, true
	}
	return 0, false
}

// paymentControl is the inverse of readPaymentControl.
func (resp *Response) paymentControl() (control uint32, ok bool) {
	switch {
	case resp.Mode == servicerequests.Credit:
		return 0x0C94, true
	case resp.Mode != servicerequests.Prepayment:
		return 0, false
	case resp.SuspendDebtEmergency && resp.SuspendDebtDisabled:
		return 0x0497, true
	case resp.SuspendDebtEmergency:
		return 0x0097, true
	case resp.SuspendDebtDisabled:
		return 0x0C97, true
	}
	return 0x0897, true
}

func (resp *Response) appendGasBalances(b []byte) ([]byte, error) {
	due, credit := resp.CreditModeBalance, resp.Balance
	if int64(due) != int64(uint32(due)) || int64(credit) != int64(int32(credit)) {
		return nil, fmt.Errorf("balances %s due and %s do not fit 32 bits", due, credit)
	}
	b, length := beginComponent(appendComponents(b, 2), notLast, clusterMetering)
	b = append(b, 0x08, 0x00, readAttributesResponse)
	b = appendRecord(b, 0x0A00, resp.Results[0], typeUint32, uint32(due))
	b = endComponent(b, length)
	if resp.Results[0] != 0 { // nothing is executed after a failure
		return appendRefusal(b, last, clusterPrepayment, 1, 0xFF, resp.Results[1]), requireFailure(resp.Results[1])
	}
	b, length = beginComponent(b, last, clusterPrepayment)
	b = append(b, 0x08, 0x01, readAttributesResponse)
	b = appendRecord(b, 0x0001, resp.Results[1], typeInt32, uint32(credit))
	return endComponent(b, length), nil
}

func (resp *Response) appendGasPrepay(b []byte) ([]byte, error) {
	b, length := beginComponent(appendComponents(b, 2), notLast, clusterPrice)
	b = append(b, 0x08, 0x00, readAttributesResponse)
	b = appendRecord(b, 0x0617, resp.Results[0], typeBitmap8, amountDecimals)
	b = appendRecord(b, 0x0616, resp.Results[1], typeUint16, poundSterling)
	b = endComponent(b, length)
	if resp.Results[0] != 0 || resp.Results[1] != 0 {
		return appendRefusal(b, last, clusterPrepayment, 1, 0xFF, resp.Results[2]), requireFailure(resp.Results[2])
	}
	if resp.Results[2] != 0 {
		return appendRefusal(b, last, clusterPrepayment, 1, 0x00, resp.Results[2]), nil
	}
	if len(resp.Ciphertext) != gasPrepayLength+macLength {
		return nil, errors.New("ciphertext is not that of GCS14")
	}
	b, length = beginComponent(b, last|encryptedValues, clusterPrepayment)
	b = append(b, 0x00, 0x00, 0x08, 0x01, readAttributesResponse, 0x00, byte(len(securityHeader)+len(resp.Ciphertext)))
	b = append(b, securityHeader...)
	b = append(b, resp.Ciphertext...)
	return endComponent(b, length), nil
}

func requireFailure(status byte) error {
	if status == 0 {
		return errors.New("a component after a failed one cannot succeed")
	}
	return nil
}

func appendComponents(b []byte, n byte) []byte { return append(b, 0x01, 0x09, n) }

// beginComponent leaves the length open; endComponent fills it in.
func beginComponent(b []byte, control byte, cluster uint16) (_ []byte, length int) {
	b = append(b, control, byte(cluster>>8), byte(cluster), 0, 0)
	return b, len(b)
}

func endComponent(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start-2:], uint16(len(b)-start))
	return b
}

func appendRefusal(b []byte, control byte, cluster uint16, sequence, command, status byte) []byte {
	b, length := beginComponent(b, control, cluster)
	return endComponent(append(b, 0x08, sequence, defaultResponse, command, status), length)
}

// appendRecord appends an attribute record, without value if status is not 0.
func appendRecord(b []byte, id uint16, status, typ byte, value uint32) []byte {
	if status != 0 {
		return append(b, byte(id), byte(id>>8), status)
	}
	return appendAttribute(b, id, typ, value)
}

func appendAttribute(b []byte, id uint16, typ byte, value uint32) []byte {
	b = append(b, byte(id), byte(id>>8), 0, typ)
	switch typ {
	case typeBitmap8, typeEnum8:
		return append(b, byte(value))
	case typeBitmap16, typeUint16:
		return append(b, byte(value), byte(value>>8))
	}
	return binary.LittleEndian.AppendUint32(b, value)
}
