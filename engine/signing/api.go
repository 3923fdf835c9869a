package signing

import (
	"crypto/ecdh"
	"strings"

	"safemode/servicerequests"
)

// interfaceVersion is the version of the interface. It is in every path.
const interfaceVersion = "1"

// question is a question for a signature.
type question struct {
	Meter      servicerequests.EUI       `json:"meter"`
	ID         servicerequests.RequestID `json:"id"`
	Service    SRV                       `json:"srv"`
	Inventory  servicerequests.EUI       `json:"inventory,omitzero"`    // device of an 8.2
	PreCommand []byte                    `json:"pre_command,omitempty"` // of a command
}

// SRV is a service in the interface's words: "7.4", and "1.6 credit".
type SRV servicerequests.Service

// MarshalText implements [encoding.TextMarshaler].
func (s SRV) MarshalText() ([]byte, error) {
	text := servicerequests.Service(s).SRV()
	if servicerequests.Service(s) == servicerequests.SwitchToCredit {
		text += " " + servicerequests.Credit.String()
	}
	return []byte(text), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It refuses services that are not permitted.
func (s *SRV) UnmarshalText(text []byte) error {
	srv, mode, _ := strings.Cut(string(text), " ")
	service, err := servicerequests.ParseService(srv, mode)
	*s = SRV(service)
	return err
}

// derivation is a question for the AES key of a device's message.
type derivation struct {
	Identity servicerequests.EUI `json:"identity"` // of ours
	Device   []byte              `json:"device"`   // its public key, an uncompressed point
	Mode     byte                `json:"mode"`     // see [gbcs.Mode]
	From     servicerequests.EUI `json:"from"`     // originator of the message
	Counter  uint64              `json:"counter"`
}

// derivedKey is the answer to a derivation.
type derivedKey struct {
	Key []byte `json:"key"` // 16 bytes
}

// About is what a signer says of itself.
type About struct {
	Version    string                `json:"version"`
	PlanSHA256 string                `json:"plan_sha256"`
	Log        string                `json:"log_id"`
	Records    uint64                `json:"log_records"`
	Refused    int                   `json:"refused"` // since the last grant
	Open       bool                  `json:"open"`
	Remembers  uint64                `json:"journal_records"` // of the engine's journal at the last grant; 0: none
	Identities []servicerequests.EUI `json:"identities"`
	Unchecked  []servicerequests.EUI `json:"unchecked,omitempty"` // of these: identities whose keys check no MAC
	Stopped    string                `json:"stopped,omitempty"`   // why nothing is signed just now
}

// faultBody is the body of an answer that refuses.
type faultBody struct {
	Error string `json:"error"`
}

func devicePoint(b []byte) (*ecdh.PublicKey, error) { return ecdh.P256().NewPublicKey(b) }
