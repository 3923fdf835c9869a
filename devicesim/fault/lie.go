package fault

import (
	"fmt"

	"safemode/servicerequests"
)

// Lie is something that the DCC says in place of what is so. The zero Lie is
// the truth.
type Lie uint8

// The lies; the package comment says what each is.
const (
	Truth Lie = iota

	Enable
	Disable
	Prepayment
	FutureDated
	Cancelling
	OtherMeter
	OtherCounter
	OtherOriginator
	ExtraBytes
	UnsignedReply
	ForgedReply
	HTML

	UnsignedResponse
	NoPayload
	BadProof
	OtherDevice
	UnknownRequest
	Replayed
	Reordered
	LateAcknowledgement

	lieCount
)

var lieNames = [lieCount]string{
	"truth", "enable", "disable", "prepayment", "future_dated", "cancelling", "other_meter", "other_counter", "other_originator",
	"extra_bytes", "unsigned_reply", "forged_reply", "html",
	"unsigned_response", "no_payload", "bad_proof", "other_device", "unknown_request", "replayed", "reordered",
	"late_acknowledgement",
}

func (l Lie) String() string {
	if l < lieCount {
		return lieNames[l]
	}
	return fmt.Sprintf("invalid(%d)", uint8(l))
}

// PreCommandLies replace the Pre-Command in a reply of Transform. The
// Signature on it is good.
func PreCommandLies() []Lie {
	return []Lie{Enable, Disable, Prepayment, FutureDated, Cancelling, OtherMeter, OtherCounter, OtherOriginator, ExtraBytes}
}

// ReplyLies are of every synchronous reply that carries data; HTML is also of
// acknowledgements.
func ReplyLies() []Lie { return []Lie{UnsignedReply, ForgedReply, HTML} }

// DeliveryLies are of what a device's Response becomes on the way to the inbox.
func DeliveryLies() []Lie {
	return []Lie{UnsignedResponse, NoPayload, BadProof, OtherDevice, UnknownRequest, Replayed, Reordered, LateAcknowledgement}
}

// fits says whether a lie can be told about a service: only 1.6 has a date.
func (l Lie) fits(service string) bool {
	return l != FutureDated && l != Cancelling || service == servicerequests.SwitchToCredit.SRV()
}

// Lie decides which of some lies is told on an attempt: the first that happens.
func (p *Profile) Lie(among []Lie, seed uint64, a Attempt) Lie {
	if p.LyingAttempts > 0 && a.Number >= p.LyingAttempts {
		return Truth
	}
	for _, l := range among {
		if share := p.lies[l]; share > 0 && l.fits(a.Service) && draw(lieDraw|Kind(l), seed, a) < share {
			return l
		}
	}
	return Truth
}

// LieShare returns how often a lie is told, 0 to 1.
func (p *Profile) LieShare(l Lie) float64 {
	if l >= lieCount {
		return 0
	}
	return p.lies[l]
}
