package meter

import "fmt"

// AlertCode is a GBCS alert code. 8Fxx are critical.
type AlertCode uint16

// The alerts that simulated meters raise.
const (
	LowCredit                AlertCode = 0x810D
	CreditAdded              AlertCode = 0x810E // at the meter, by a top-up
	EmergencyCreditAvailable AlertCode = 0x8119
	ArmedByEmergencyCredit   AlertCode = 0x8168
	EmergencyCreditExhausted AlertCode = 0x81AA
	EmergencyCreditActivated AlertCode = 0x81AB
	ConnectFailure           AlertCode = 0x81BD
	UncontrolledGasFlow      AlertCode = 0x81BF
	BelowDisablement         AlertCode = 0x8F0F
	SourceAuthority          AlertCode = 0x8F30 // the sender of a command has no authority for it
	SupplyArmed              AlertCode = 0x8F32
	SourceAuthentication     AlertCode = 0x8F3D // a signature or a MAC does not verify
	CommandRefused           AlertCode = 0x8F53 // any other failure of authentication or authorisation
	DisablementSuspended     AlertCode = 0x8F83
)

func (a AlertCode) String() string { return fmt.Sprintf("%04X", uint16(a)) }
