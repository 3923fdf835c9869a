package fault

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"safemode/servicerequests"
)

// Kind is a fault that happens to a share of attempts.
type Kind uint8

// The kinds; the package comment says what each means.
const (
	NoAnswer Kind = iota
	LostResponse
	LostAcknowledgement
	DuplicateResponse
	HardwareFailure
	PartialECS02
	FailedButApplied
	SwitchFailure
	UncontrolledFlow
	DelayedResponse
	ReorderedResponse
	DutyCycleDiscard

	unreachable // of a hub, once for all attempts
	Suspended   // of a device, likewise

	LostAlert // the number-th of a device
	DuplicateAlert
	UntoldE20
	UntoldE21
	BelowInSuspension // of a device, once for all
	HighCounter       // likewise

	AnswerFirst
	LateResponse

	kinds
)

var kindNames = [kinds]string{
	"no_answer", "lost_response", "lost_acknowledgement", "duplicate_response", "hardware_failure",
	"partial_ecs02", "failed_but_applied", "switch_failure", "uncontrolled_flow", "delayed_response",
	"reordered_response", "duty_cycle_discard", "unreachable", "suspended",
	"lost_alert", "duplicate_alert", "untold_e20", "untold_e21", "below_in_suspension", "high_counter",
	"answer_first", "late_response",
}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

// Draws that are of no kind. Those of groups and lies carry a number in their
// lower bits.
const (
	latencyDraw  Kind = 0x30
	flappingDraw Kind = 0x31
	changeDraw   Kind = 0x32
	rotationDraw Kind = 0x33
	orderDraw    Kind = 0x34
	flapsDraw    Kind = 0x35
	phaseDraw    Kind = 0x36
	groupDraw    Kind = 0x40
	lieDraw      Kind = 0x80
)

// shares are the shares by kind.
func (e *Effects) shares() [kinds]*float64 {
	return [kinds]*float64{
		&e.NoAnswer, &e.LostResponse, &e.LostAcknowledgement, &e.DuplicateResponse, &e.HardwareFailure,
		&e.PartialECS02, &e.FailedButApplied, &e.SwitchFailure, &e.UncontrolledFlow, &e.DelayedResponse,
		&e.ReorderedResponse, &e.DutyCycleDiscard, &e.Unreachable, &e.Suspended,
		&e.LostAlert, &e.DuplicateAlert, &e.UntoldE20, &e.UntoldE21, &e.BelowInSuspension, &e.HighCounter,
		&e.AnswerFirst, &e.LateResponse,
	}
}

// Share returns how often a fault happens, 0 to 1.
func (e *Effects) Share(k Kind) float64 {
	if k >= kinds {
		return 0
	}
	return *e.shares()[k]
}

// Site is what groups choose meters by.
type Site struct {
	Device servicerequests.EUI // ESME or GSME, also of a gas proxy's
	Hub    servicerequests.EUI
	Type   servicerequests.DeviceType
	Region servicerequests.Region
	Model  string
}

// Attempt names one try of a service on a device.
type Attempt struct {
	Device  servicerequests.EUI
	Service string // Service Reference Variant; "press" for the consumer's button, "alert" for what the device raises
	Number  uint64 // of the tries of this service on this device, from 0; of an alert the device's counter
}

// fits says whether the group, of this number, holds the meter.
func (g *Group) fits(number int, seed uint64, s Site) bool {
	return (len(g.Regions) == 0 || slices.Contains(g.Regions, s.Region)) &&
		(len(g.Hubs) == 0 || slices.Contains(g.Hubs, s.Hub)) &&
		(len(g.Models) == 0 || slices.Contains(g.Models, s.Model)) &&
		(len(g.Types) == 0 || slices.Contains(g.Types, s.Type)) &&
		(g.Share == 0 || draw(groupDraw|Kind(number), seed, Attempt{Device: s.Hub}) < g.Share)
}

// At returns what goes wrong for one meter: of the profile's own effects and
// those of the groups that hold it, the greatest of each.
func (p *Profile) At(seed uint64, s Site) Effects {
	e := p.Effects
	for i := range p.Groups {
		if g := &p.Groups[i]; g.fits(i, seed, s) {
			e.add(&g.Effects)
		}
	}
	return e
}

// Any says whether a fault happens to any meter at all: it is quicker than to ask for
// each.
func (p *Profile) Any(k Kind) bool {
	return p.Share(k) > 0 || slices.ContainsFunc(p.Groups, func(g Group) bool { return g.Effects.Share(k) > 0 })
}

func (e *Effects) add(other *Effects) {
	to, from := e.shares(), other.shares()
	for k := range to {
		*to[k] = max(*to[k], *from[k])
	}
	e.Delay = max(e.Delay, other.Delay)
	e.CounterLead = max(e.CounterLead, other.CounterLead)
	if other.Latency.Median > e.Latency.Median {
		e.Latency = other.Latency
	}
	if other.ClockSkew.Abs() > e.ClockSkew.Abs() {
		e.ClockSkew = other.ClockSkew
	}
	if other.Flapping.Down > e.Flapping.Down {
		e.Flapping = other.Flapping
	}
}

// Happens decides whether the fault befalls the attempt.
func (e *Effects) Happens(k Kind, seed uint64, a Attempt) bool {
	share := e.Share(k)
	return share > 0 && draw(k, seed, a) < share
}

// Takes draws how long an ESME takes to answer: log-normal, by median and tail.
func (e *Effects) Takes(seed uint64, a Attempt) time.Duration {
	median, tail := e.Latency.Median, e.Latency.Tail
	if median <= 0 || tail <= median {
		return median
	}
	const ninetyNine = 2.3263478740408408 // standard deviations to the 99th percentile
	sigma := math.Log(float64(tail)/float64(median)) / ninetyNine
	deviations := math.Sqrt2 * math.Erfinv(2*draw(latencyDraw, seed, a)-1)
	return min(tail, time.Duration(float64(median)*math.Exp(sigma*deviations)))
}

// Place draws the place of a message in hubs of random order, 0 to under 1.
func Place(seed uint64, a Attempt) float64 { return draw(orderDraw, seed, a) }

// Forever is how long a hub is away that never comes back.
const Forever = time.Duration(math.MaxInt64)

// Away returns how long the hub of a meter is still out of the DCC's reach, so
// long after the profile began to hold: 0 if it is not. With one of its own,
// a hub that was away at its last word comes back at once.
func (p *Profile) Away(seed uint64, s Site, since time.Duration) time.Duration {
	e := p.At(seed, s)
	if e.Happens(unreachable, seed, Attempt{Device: s.Hub}) {
		return Forever
	}
	var away time.Duration
	if s.Region == p.Outage.Region {
		away = Outage{p.Outage.After, p.Outage.Lasts}.left(since)
	}
	for i := range p.Groups {
		if g := &p.Groups[i]; g.Outage.Lasts > 0 && g.fits(i, seed, s) {
			away = max(away, g.Outage.left(since))
		}
	}
	return max(away, e.Flapping.away(draw(flappingDraw, seed, Attempt{Device: s.Hub}), since))
}

// away returns how long what flaps is still down, 0 if it is up. Phase is its own, 0 to
// under 1.
func (f Flapping) away(phase float64, since time.Duration) time.Duration {
	if f.Down <= 0 {
		return 0
	}
	round := f.Up + f.Down
	if at := (since + time.Duration(phase*float64(round))) % round; at >= f.Up {
		return round - at
	}
	return 0
}

// left returns how long the outage still lasts, 0 outside it.
func (o Outage) left(since time.Duration) time.Duration {
	if since < o.After || since-o.After >= o.Lasts {
		return 0
	}
	return o.After + o.Lasts - since
}

// Left returns the supplier that a meter of the failed supplier has gone to, so
// long after the profile began to hold; 0 if it has not. A home is named by its hub.
func (r *Rules) Left(seed uint64, device, home servicerequests.EUI, since time.Duration) servicerequests.EUI {
	if after := r.Registration.MovesAfter; after > 0 && since >= after {
		return orLastResort(r.Registration.To)
	}
	if f := r.RegistrationFlaps; f.Share > 0 && draw(flapsDraw, seed, Attempt{Device: device}) < f.Share &&
		f.away(draw(phaseDraw, seed, Attempt{Device: device}), since) > 0 {
		return LastResort
	}
	if l, leaves := r.SwitchingDays.Leaving(seed, home); leaves && l.Gone(since) {
		return l.To
	}
	// The share is of the meters that are left, day by day: a meter's draw gives its day.
	if share := r.ChangeOfSupplier.SharePerDay; share > 0 {
		days := since.Hours() / 24
		if draw(changeDraw, seed, Attempt{Device: device}) < share*days {
			return orLastResort(r.ChangeOfSupplier.To)
		}
	}
	return 0
}

// Renewed says whether a device has the keys of its second certificates by now, so long
// after the profile began to hold.
func (r Rotation) Renewed(seed uint64, device servicerequests.EUI, since time.Duration) bool {
	return r.After > 0 && since >= r.After && draw(rotationDraw, seed, Attempt{Device: device}) < r.Devices
}

// DCCRenewed says whether the DCC signs under its second certificate by now.
func (r Rotation) DCCRenewed(since time.Duration) bool { return r.DCCAfter > 0 && since >= r.DCCAfter }

func orLastResort(to servicerequests.EUI) servicerequests.EUI {
	if to == 0 {
		return LastResort
	}
	return to
}

// Revoked returns the code that answers the failed supplier once its
// certificates are revoked; empty before.
func (c Certificates) Revoked(since time.Duration) servicerequests.ResponseCode {
	switch {
	case c.RevokedAfter == 0 || since < c.RevokedAfter:
		return ""
	case c.Code == "":
		return servicerequests.UserStatus
	}
	return c.Code
}

// draw is a number from 0 to under 1 that depends on its arguments alone.
func draw(k Kind, seed uint64, a Attempt) float64 {
	h := fnv.New64a()
	device := a.Device.Bytes()
	h.Write(device[:])
	h.Write(binary.BigEndian.AppendUint64([]byte{byte(k)}, a.Number))
	h.Write([]byte(a.Service))
	return rand.New(rand.NewPCG(seed, h.Sum64())).Float64()
}
