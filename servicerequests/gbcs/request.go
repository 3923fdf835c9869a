package gbcs

import "encoding/binary"

// DLMS access request: D9, invoke id, date-time 00, a count and so many
// specifications (choice 01 get, 02 set, 03 action; class 2, OBIS 6, attribute or
// method 1), the count again and so many data. Object names below are class and
// OBIS.
const (
	get    = "\x01"
	set    = "\x02"
	action = "\x03"

	accessRequest = "\xD9\x20"

	activeAccount        = "\x00\x6F\x00\x00\x13\x00\x00\xFF" // 111 Account 0-0:19.0.0.255
	passiveAccount       = "\x00\x6F\x00\x01\x13\x00\x00\xFF" // 111 Account 0-1:19.0.0.255
	meterBalance         = "\x00\x70\x00\x00\x13\x0A\x00\xFF" // 112 Credit 0-0:19.10.0.255
	emergencyCredit      = "\x00\x70\x00\x00\x13\x0A\x01\xFF" // 112 Credit 0-0:19.10.1.255
	timeDebt1            = "\x00\x71\x00\x00\x13\x14\x01\xFF" // 113 Charge 0-0:19.20.1.255
	timeDebt2            = "\x00\x71\x00\x00\x13\x14\x02\xFF" // 113 Charge 0-0:19.20.2.255
	paymentDebt          = "\x00\x71\x00\x00\x13\x14\x03\xFF" // 113 Charge 0-0:19.20.3.255
	specialDays          = "\x00\x0B\x00\x00\x0B\x00\x02\xFF" // 11 Special Days 0-0:11.0.2.255
	maximumCredit        = "\x23\x28\x00\x00\x5E\x2C\x02\x0A" // 9000 0-0:94.44.2.10
	maximumBalance       = "\x23\x28\x00\x00\x5E\x2C\x02\x14" // 9000 0-0:94.44.2.20
	disablementThreshold = "\x00\x15\x00\x00\x10\x00\x01\xFF" // 21 Register Monitor 0-0:16.0.1.255
	calendar             = "\x00\x0A\x00\x00\x0C\x00\x01\xFF" // 10 Schedule 0-0:12.0.1.255
	scriptTable          = "\x00\x09\x00\x00\x0A\x00\x6A\xFF" // 9 Script Table 0-0:10.0.106.255
	disconnectControl    = "\x00\x46\x00\x00\x60\x03\x0A\xFF" // 70 Disconnect Control 0-0:96.3.10.255

	// runScript is all of an ECS42, ECS43 or ECS44 payload between invoke id and
	// the script's number.
	runScript = "\x00\x01" + action + scriptTable + "\x01" + "\x01\x12\x00"
	scriptArm = "\x36"

	// toCredit is an ECS02 payload from after the invoke id up to the array of
	// credit and charge pairs.
	toCredit = "\x00\x03" +
		set + passiveAccount + "\x02" + // account_mode_and_status
		set + passiveAccount + "\x0B" + // credit_charge_configuration
		set + passiveAccount + "\x0D" + // account_activation_time
		"\x03\x02\x02\x16\x01\x16\x01"
	pairStart = pairCredit + "\x00" + pairCharge
	pairEnd   = pairBits + "\xE0"
	pairs     = pairStart + "\x00" + pairEnd + pairStart + "\x04" + pairEnd
	twinPair  = pairStart + "\x05" + pairEnd
	dateTime  = "\x09\x0C" // an octet string of 12
)

// GBZ command payloads, up to and after the issuer event id (seconds since 2000,
// the DCC's clock when it makes the Pre-Command).
const (
	changePaymentMode = "\x01\x09\x01\x01\x07\x05\x00\x15\x01\x00\x06\x00\x00\x00\x00"
	gasNow            = "\x00\x00\x00\x00"
	gasCredit         = "\x94\x0C"         // payment control configuration 0C94
	gasLeaveCutOff    = "\xFF\xFF\xFF\xFF" // cut-off value -1: leave it as it is

	changeSupply    = "\x01\x09\x01\x01\x07\x02\x00\x15\x01\x00\x0B\x00\x00\x00\x00"
	changeSupplyNow = "\x00\x00\x00\x00" + gasNow // request time 0, implementation time
	gasArm          = "\x01"                      // proposed supply status
	gasAcknowledge  = "\x01"                      // control bits
)

// insertion is what a template has between head and tail.
type insertion uint8

const (
	nothing   insertion = iota
	invokeID            // low three bytes of the originator counter
	eventTime           // four bytes, any value: the DCC's clock
)

// template is the payload of a permitted request, whole. Two fields of a payload
// depend on the request: the invoke id and the issuer event id.
type template struct {
	head   string
	insert insertion
	tail   string
	twin   string // the other permitted tail, of a twin element ESME; or empty
}

// templateOf returns the template of a permitted use case's request. There is
// none for any other, by design.
func templateOf(code uint16) (template, bool) {
	switch code {
	case codeECS09:
		return dlms("\x00\x01"+action+emergencyCredit+"\x03"+"\x01\x0F\x00", ""), true // invoke_credit(0)
	case codeECS02:
		return dlms(
			toCredit+"\x01\x02"+pairs+dateTime+immediately,
			toCredit+"\x01\x03"+pairs+twinPair+dateTime+immediately), true
	case codeECS44:
		return dlms(runScript+scriptArm, ""), true
	case codeECS45:
		return dlms("\x00\x01"+get+disconnectControl+"\x03"+"\x01\x00", ""), true // control_state
	case codeECS26j:
		return dlms("\x00\x01"+get+activeAccount+"\x02"+"\x01\x00", ""), true // account_mode_and_status
	case codeECS82:
		return dlms("\x00\x01"+get+meterBalance+"\x02"+"\x01\x00", ""), true // current_credit_amount
	case codeECS26a:
		return dlms(configurationGets, ""), true
	case codeGCS06:
		// Select Available Emergency Credit: issue time 0, originating device 0.
		return template{head: "\x01\x09\x01\x01\x07\x05\x00\x08\x01\x00\x00\x00\x00\x00\x00\x00"}, true
	case codeGCS02:
		return template{head: changePaymentMode, insert: eventTime, tail: gasNow + gasCredit + gasLeaveCutOff}, true
	case codeGCS39:
		return template{head: changeSupply, insert: eventTime, tail: changeSupplyNow + gasArm + gasAcknowledge}, true
	case codeGCS33:
		// Read Attributes 0205 battery days, 0014 supply status.
		return template{head: "\x01\x09\x01\x01\x07\x02\x00\x07\x00\x00\x00\x05\x02\x14\x00"}, true
	case codeGCS21j:
		return template{head: "\x01\x09\x01\x01\x07\x05\x00\x05\x00\x00\x00\x00\x00"}, true // payment control configuration
	case codeGCS60, codeGCS60a:
		// Read 0A00 bill to date delivered, then 0001 credit remaining.
		return template{head: "\x01\x09\x02\x00\x07\x02\x00\x05\x00\x00\x00\x00\x0A" +
			"\x01\x07\x05\x00\x05\x00\x01\x00\x01\x00"}, true
	case codeGCS21b:
		return template{head: gasConfigurationGets}, true
	}
	return template{}, false
}

func dlms(tail, twin string) template {
	return template{head: accessRequest, insert: invokeID, tail: tail, twin: twin}
}

// appendPayload appends the payload with the tail given: the template's tail or
// its twin.
func (t *template) appendPayload(b []byte, tail string, counter uint64, event uint32) []byte {
	b = append(b, t.head...)
	switch t.insert {
	case invokeID:
		b = append(b, byte(counter>>16), byte(counter>>8), byte(counter))
	case eventTime:
		b = binary.LittleEndian.AppendUint32(b, event)
	}
	return append(b, tail...)
}

// configurationGets is an ECS26a payload from after the invoke id: 18 gets and
// 18 nulls. Two of them are there twice.
const configurationGets = "\x00\x12" +
	get + timeDebt1 + "\x05" +
	get + specialDays + "\x02" +
	get + timeDebt1 + "\x08" +
	get + timeDebt1 + "\x05" +
	get + timeDebt2 + "\x05" +
	get + timeDebt2 + "\x08" +
	get + timeDebt2 + "\x05" +
	get + paymentDebt + "\x0D" +
	get + maximumCredit + "\x02" +
	get + disablementThreshold + "\x02" +
	get + maximumBalance + "\x02" +
	get + activeAccount + "\x10" +
	get + activeAccount + "\x12" +
	get + activeAccount + "\x13" +
	get + emergencyCredit + "\x09" +
	get + emergencyCredit + "\x0A" +
	get + calendar + "\x02" +
	get + activeAccount + "\x0B" +
	"\x12" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// gasConfigurationGets is a GCS21b payload: six components with ZCL sequence 0
// to 5. FEFFFFFF names the non-disablement calendar in force.
const gasConfigurationGets = "\x01\x09\x06" +
	"\x00\x07\x05\x00\x1B\x00\x00\x00" +
	"\x39\x02\x06\x00\x16\x02\x26\x02\x40\x00\x10\x00\x11\x00\x31\x00\x21\x00\x22\x00\x17\x02\x27\x02" +
	"\x00\x07\x00\x00\x05\x00\x01\x00\x17\x06" +
	"\x00\x07\x07\x00\x0D\x01\x02\x01\x00\x00\x00\x00\xFE\xFF\xFF\xFF\x01\x00" + // get day profiles
	"\x00\x07\x07\x00\x0D\x01\x03\x02\x00\x00\x00\x00\xFE\xFF\xFF\xFF\x01\x00" + // get week profiles
	"\x00\x07\x07\x00\x0B\x01\x04\x03\x00\x00\x00\x00\xFE\xFF\xFF\xFF" + // get seasons
	"\x01\x07\x07\x00\x11\x01\x05\x04\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\xFE\xFF\xFF\xFF" // get special days
