package fault

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
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

	latencyDraw // no fault: keeps the draw for latency apart
	kinds       = latencyDraw
)

var kindNames = [kinds]string{
	"no_answer", "lost_response", "lost_acknowledgement", "duplicate_response", "hardware_failure",
	"partial_ecs02", "failed_but_applied", "switch_failure", "uncontrolled_flow", "delayed_response",
}

func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("invalid(%d)", uint8(k))
}

// Profile says how often what goes wrong. Get one from [Builtin] or [Parse];
// the zero Profile is a world without faults or latency.
type Profile struct {
	Name   string
	shares [kinds]float64
	lies   [lieCount]float64

	LyingAttempts uint64 // lies are told on so many first attempts of a service on a device; 0: on all

	Delay         time.Duration // of a delayed Response
	LatencyMedian time.Duration // of an ESME's Response
	LatencyTail   time.Duration // one Response in a hundred takes as long; none longer

	Outage Outage
}

// Outage is a region in which no device is reached for a while. The zero
// Outage is none.
type Outage struct {
	Region servicerequests.Region
	After  time.Duration // since the simulation began
	Lasts  time.Duration
}

// Share returns how often a fault happens, 0 to 1.
func (p *Profile) Share(k Kind) float64 {
	if k >= kinds {
		return 0
	}
	return p.shares[k]
}

// Attempt names one try of a service on a device.
type Attempt struct {
	Device  servicerequests.EUI
	Service string // Service Reference Variant; "press" for the consumer's button
	Number  uint64 // of the tries of this service on this device, from 0
}

// Happens decides whether the fault befalls the attempt.
func (p *Profile) Happens(k Kind, seed uint64, a Attempt) bool {
	share := p.Share(k)
	return share > 0 && draw(k, seed, a) < share
}

// Latency draws how long an ESME takes to answer: log-normal, by median and tail.
func (p *Profile) Latency(seed uint64, a Attempt) time.Duration {
	if p.LatencyMedian <= 0 || p.LatencyTail <= p.LatencyMedian {
		return p.LatencyMedian
	}
	const ninetyNine = 2.3263478740408408 // standard deviations to the 99th percentile
	sigma := math.Log(float64(p.LatencyTail)/float64(p.LatencyMedian)) / ninetyNine
	deviations := math.Sqrt2 * math.Erfinv(2*draw(latencyDraw, seed, a)-1)
	return min(p.LatencyTail, time.Duration(float64(p.LatencyMedian)*math.Exp(sigma*deviations)))
}

// Cuts says whether the outage cuts a region off, so long after the beginning.
func (o Outage) Cuts(region servicerequests.Region, since time.Duration) bool {
	return o.Lasts > 0 && region == o.Region && since >= o.After && since-o.After < o.Lasts
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

// builtin lists the built-in profiles; the first is calm. All figures are
// simulator choices.
func builtin() []Profile {
	calm := Profile{Name: "calm", Delay: 90 * time.Second, LatencyMedian: 3 * time.Second, LatencyTail: 25 * time.Second}
	calm.shares[FailedButApplied] = 0.5

	winter := calm
	winter.Name, winter.LatencyMedian = "winter-evening", 8*time.Second
	winter.shares[NoAnswer] = 0.08
	winter.shares[LostResponse] = 0.02
	winter.shares[LostAcknowledgement] = 0.01
	winter.shares[DuplicateResponse] = 0.01
	winter.shares[HardwareFailure] = 0.005
	winter.shares[PartialECS02] = 0.005
	winter.shares[DelayedResponse] = 0.05

	outage := calm
	outage.Name = "north-outage"
	outage.shares[NoAnswer] = 0.02
	outage.Outage = Outage{Region: servicerequests.North, After: 5 * time.Minute, Lasts: time.Hour}

	lying := calm
	lying.Name, lying.Delay = "lying-dcc", 45*time.Minute
	lying.shares[DuplicateResponse] = 0.02
	lying.shares[DelayedResponse] = 0.02
	for l := Truth + 1; l < lieCount; l++ {
		lying.lies[l] = 0.02
	}
	return []Profile{calm, winter, outage, lying}
}
