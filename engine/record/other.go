package record

// OtherKind says what a message is that answers no request of the sweep.
type OtherKind string

// The kinds of the User's other traffic.
const (
	OtherResponse OtherKind = "response"   // a proven answer to a request that is not the sweep's
	OtherSilence  OtherKind = "silence"    // the DCC's word that no answer came to such a request
	OtherAlert    OtherKind = "alert"      // a proven alert of a device that is not planned
	OtherDCCAlert OtherKind = "dcc_alert"  // the DCC's own alert, of nothing that concerns the sweep
	OtherUseCase  OtherKind = "use_case"   // a device's response of a use case that is not decoded
	OtherForm     OtherKind = "alert_form" // a device's alert of a form that is not decoded
	OtherService  OtherKind = "service"    // the DCC's answer to a service that is not the sweep's
	OtherIdentity OtherKind = "identity"   // for another of the User's identities
	OtherSMETS1   OtherKind = "smets1"     // what a SMETS1 Service Provider says of a meter
	OtherS1SP     OtherKind = "s1sp_alert" // a SMETS1 Service Provider's own alert
	OtherSchema   OtherKind = "schema"     // signed by the DCC, and of a later schema or none
	OtherUnproven OtherKind = "unproven"   // not proven, and of no request of the sweep
)

// OtherKinds are all of them, in the order in which they are shown.
var OtherKinds = [...]OtherKind{
	OtherResponse, OtherSilence, OtherAlert, OtherDCCAlert, OtherUseCase, OtherForm,
	OtherService, OtherIdentity, OtherSMETS1, OtherS1SP, OtherSchema, OtherUnproven,
}
