package gbcs

import (
	"slices"

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

// Frames from the server have frame control 08 profile-wide, 09 and 19 in a cluster, then a
// sequence and a command: 01 Read Attributes Response, 0B Default Response.
const defaultResponse = 0x0B

// amountDecimals is attribute 0617 (trailing digit): five decimals, so that
// amounts are millipence. The low nibble is not looked at.
const amountDecimals = 0x50

// A Response has the ZCL sequence of the request component that it answers.
// A component that cannot be carried out is answered by a Default Response: frame 08, sequence,
// 0B, the command (FF if it was not executed after an earlier failure), status.

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

// gasSupply is in the order of a GSME's numbers: Armed and Enabled have those that an ESME has
// the other way about. Enabled is by the ZigBee meaning and one vector.
var gasSupply = []servicerequests.SupplyState{servicerequests.Disabled, servicerequests.Armed, servicerequests.Enabled}

func (l *layout) components(n byte) {
	l.fixed("\x01\x09", "GBZ profile")
	l.one(n, "number of components")
}

func (resp *Response) gbz(l *layout) {
	results := resp.Results
	switch code := resp.UseCase.Code; code {
	case codeGCS06:
		l.components(1)
		l.begin(last, clusterPrepayment)
		resp.selected(l, &results[0])
		l.end()
	case codeGCS02, codeGCS03:
		l.components(1)
		l.begin(last, clusterPrepayment)
		if !l.refused(results[0] != 0, 0, 0x06, false, &results[0]) {
			resp.ModeChange.layout(l)
		}
		l.end()
	case codeGCS39, codeGCS32:
		l.components(1)
		l.begin(last, clusterMetering)
		if !l.refused(results[0] != 0, 0, 0x0B, false, &results[0]) {
			resp.supplyChange(l)
		}
		l.end()
	case codeGCS33:
		l.components(1)
		l.begin(last, clusterMetering)
		l.fixed("\x08\x00\x01", "Read Attributes Response")
		attribute(l, 0x0205, typeUint16, &resp.BatteryDays, &results[0])
		enumerated(l, 0x0014, &resp.Supply, gasSupply, &results[1], "supply status")
		l.end()
	case codeGCS21j:
		l.components(1)
		l.begin(last, clusterPrepayment)
		l.fixed("\x08\x00\x01", "Read Attributes Response")
		resp.paymentControl(l, &results[0])
		l.end()
	case codeGCS60, codeGCS60a:
		resp.gasBalances(l)
	case codeGCS21b:
		resp.Configuration.gbz(l, results)
	case codeGCS14:
		resp.gasPrepay(l)
	}
}

// selected is the answer to a Select Available Emergency Credit: a Default Response, of success
// too.
func (resp *Response) selected(l *layout, status *byte) {
	if l.writes() {
		l.out = append(l.out, 0x08, 0, defaultResponse, 0, *status)
		return
	}
	var is bool
	if *status, is = l.r.refusal(0, 0, false); !is {
		l.fail("not a Default Response")
	}
}

func (c *ModeChange) layout(l *layout) {
	l.fixed("\x19\x00\x02", "Change Payment Mode Response")
	named(l, &c.FriendlyCredit, 0, []bool{false, true}, "friendly credit")
	l.le32(&c.CalendarID, "calendar")
	l.amount(&c.EmergencyCreditLimit, "emergency credit limit")
	l.amount(&c.EmergencyCreditThreshold, "emergency credit threshold")
}

// supplyChange is a Supply Status Response. It is a success only with the state that was asked
// for; another state is no answer that the use case has.
func (resp *Response) supplyChange(l *layout) {
	want := servicerequests.Armed
	if resp.UseCase.Code == codeGCS32 {
		want = servicerequests.Disabled
	}
	if l.writes() && resp.Supply != want {
		l.fail("supply state %s", resp.Supply)
	}
	l.fixed("\x09\x00\x0C\x00\x00\x00\x00", "Supply Status Response")
	l.le32(&resp.SupplyChange.IssuerEventID, "issuer event id")
	l.le32(&resp.SupplyChange.ImplementationTime, "implementation time")
	resp.Supply = want
	l.one(byte(slices.Index(gasSupply, want)), "supply status")
}

// paymentControl is the attribute of a GSME's payment mode.
func (resp *Response) paymentControl(l *layout, status *byte) {
	is := paymentControl{resp.Mode, resp.SuspendDebtEmergency, resp.SuspendDebtDisabled}
	control, known := is.number()
	if l.writes() && !known && *status == 0 {
		l.fail("payment mode %s", resp.Mode)
	}
	attribute(l, 0x0000, typeBitmap16, &control, status)
	if l.writes() || *status != 0 {
		return
	}
	if is, known = paymentControls[control]; !known {
		l.fail(unknownControl)
	}
	resp.Mode, resp.SuspendDebtEmergency, resp.SuspendDebtDisabled = is.mode, is.emergency, is.disabled
	resp.HasSuspendDebt = resp.Mode == servicerequests.Prepayment
}

func (resp *Response) gasBalances(l *layout) {
	results := resp.Results
	l.components(2)
	l.begin(notLast, clusterMetering)
	l.fixed("\x08\x00\x01", "Read Attributes Response")
	attribute(l, 0x0A00, typeUint32, &resp.CreditModeBalance, &results[0])
	resp.HasCreditModeBalance = results[0] == 0
	l.end()
	l.begin(last, clusterPrepayment)
	failed := results[0] != 0 // nothing is executed after a failure
	if !l.refused(failed, 1, 0, failed, &results[1]) {
		l.fixed("\x08\x01\x01", "Read Attributes Response")
		attribute(l, 0x0001, typeInt32, &resp.Balance, &results[1])
		resp.HasBalance = results[1] == 0
	}
	l.end()
}

func (resp *Response) gasPrepay(l *layout) {
	results := resp.Results
	l.components(2)
	l.begin(notLast, clusterPrice)
	l.fixed("\x08\x00\x01", "Read Attributes Response")
	l.decimals(&results[0])
	currency := uint16(poundSterling)
	if attribute(l, 0x0616, typeUint16, &currency, &results[1]); results[1] == 0 && currency != poundSterling {
		l.fail("amounts are not in pounds sterling")
	}
	l.end()
	failed := results[0] != 0 || results[1] != 0
	refused := failed || results[2] != 0
	if !l.writes() {
		refused = l.r.left() > 0 && l.r.b[l.r.off] == last
	}
	if refused {
		l.begin(last, clusterPrepayment)
		if !l.refused(true, 1, 0, failed, &results[2]) {
			l.fail("neither encrypted values nor a Default Response")
		}
	} else {
		l.begin(last|encryptedValues, clusterPrepayment)
		l.fixed("\x00\x00\x08\x01\x01\x00", "encrypted values")
		l.encrypted(&resp.Ciphertext, gasPrepayLength)
	}
	l.end()
}

const poundSterling = 826 // ISO 4217
