package fault

import (
	"fmt"
	"time"

	"safemode/servicerequests"
)

// Profile says how often what goes wrong, and by which rules the DCC plays. Get
// one from [Named] or [Parse]; the zero Profile is a world without faults,
// latency or limits.
type Profile struct {
	Name    string `koanf:"name"`
	Effects `koanf:",squash"`
	Outage  RegionOutage `koanf:"outage"`
	Groups  []Group      `koanf:"groups"`
	Hubs    Hubs         `koanf:"hubs"`

	// OtherModels is the share of meters with other disablement thresholds and debt
	// settings. It counts when the fleet is generated.
	OtherModels float64 `koanf:"other_models"`

	Variety Variety `koanf:"variety"`

	Rules Rules `koanf:"dcc"`

	LieShares map[string]float64 `koanf:"lies"` // by name; attempts is among them

	lies          [lieCount]float64
	LyingAttempts uint64 `koanf:"-"` // lies are told on so many first attempts of a service on a device; 0: on all
}

// Effects is what goes wrong for some meters: for all of them, or for a group.
// Shares are 0 to 1; the package comment says what each means.
type Effects struct {
	NoAnswer            float64 `koanf:"no_answer"`
	LostResponse        float64 `koanf:"lost_response"`
	LostAcknowledgement float64 `koanf:"lost_acknowledgement"`
	DuplicateResponse   float64 `koanf:"duplicate_response"`
	HardwareFailure     float64 `koanf:"hardware_failure"`
	PartialECS02        float64 `koanf:"partial_ecs02"`
	FailedButApplied    float64 `koanf:"failed_but_applied"`
	SwitchFailure       float64 `koanf:"switch_failure"`
	UncontrolledFlow    float64 `koanf:"uncontrolled_flow"`
	DelayedResponse     float64 `koanf:"delayed_response"`
	ReorderedResponse   float64 `koanf:"reordered_response"`
	DutyCycleDiscard    float64 `koanf:"duty_cycle_discard"`
	Unreachable         float64 `koanf:"unreachable"`
	Suspended           float64 `koanf:"suspended"`
	LostAlert           float64 `koanf:"lost_alert"`
	DuplicateAlert      float64 `koanf:"duplicate_alert"`
	UntoldE20           float64 `koanf:"untold_e20"`
	UntoldE21           float64 `koanf:"untold_e21"`
	BelowInSuspension   float64 `koanf:"below_in_suspension"`
	HighCounter         float64 `koanf:"high_counter"`
	AnswerFirst         float64 `koanf:"answer_first"`
	LateResponse        float64 `koanf:"late_response"`

	Delay     time.Duration `koanf:"delay"` // of a delayed Response
	Latency   Latency       `koanf:"latency"`
	ClockSkew time.Duration `koanf:"clock_skew"` // how far the device's clock is ahead; negative: behind
	Flapping  Flapping      `koanf:"flapping"`

	CounterLead time.Duration `koanf:"counter_lead"` // how far a high counter is above the clock as the simulator starts
}

// Latency is how long an ESME takes to answer.
type Latency struct {
	Class  Class         `koanf:"class"`  // stands for both of the others
	Median time.Duration `koanf:"median"` // of a Response
	Tail   time.Duration `koanf:"tail"`   // one Response in a hundred takes as long; none longer
}

// Class is one of the DCC's target response classes.
type Class string

// The classes, by the round trip that the DCC's performance is measured
// against; the medians are assumptions.
const (
	onDemand Class = "on_demand" // 25 s
	twoHours Class = "two_hours"
	aDay     Class = "a_day" // 22 h
)

var classes = map[Class]Latency{
	onDemand: {Median: 3 * time.Second, Tail: 25 * time.Second},
	twoHours: {Median: 15 * time.Minute, Tail: 2 * time.Hour},
	aDay:     {Median: 3 * time.Hour, Tail: 22 * time.Hour},
}

// Flapping is a hub that comes and goes: reached for Up, then not for Down. Each
// hub has a phase of its own. The zero Flapping is a hub that stays.
type Flapping struct {
	Up   time.Duration `koanf:"up"`
	Down time.Duration `koanf:"down"`
}

// Group is some of the fleet's meters and what goes wrong for them. An empty
// list means all.
type Group struct {
	Regions []servicerequests.Region     `koanf:"regions"`
	Hubs    []servicerequests.EUI        `koanf:"hubs"`
	Models  []string                     `koanf:"models"`
	Types   []servicerequests.DeviceType `koanf:"device_types"`
	Share   float64                      `koanf:"share"` // of the hubs with meters that match the lists; 0: all
	Effects `koanf:",squash"`
	Outage  Outage `koanf:"outage"`
}

// Hubs are the rules of the communications hubs. The zero Hubs serve in the order
// of arrival, and a gas meter takes all that waits for it in one wake.
type Hubs struct {
	Order   Order `koanf:"order"`    // in which a hub serves what waits for one device
	PerWake int   `koanf:"per_wake"` // messages that a gas meter takes in one wake, 1 to 8; 0: all
}

// Order is an order in which waiting messages are served.
type Order string

// The orders. Which of them hubs have is not known: nothing promises the first.
const (
	FIFO   Order = ""
	LIFO   Order = "lifo"
	Random Order = "random"
)

// UnmarshalText reads fifo, lifo or random.
func (o *Order) UnmarshalText(text []byte) error {
	switch *o = Order(text); *o {
	case "fifo":
		*o = FIFO
	case LIFO, Random:
	default:
		return fmt.Errorf("%q: want fifo, lifo or random", text)
	}
	return nil
}

// DefaultPerWake is how many messages a gas meter takes in one wake where a
// profile does not say (assumption: the least kind).
const DefaultPerWake = 1

// Outage is a time in which no device is reached. The zero Outage is none.
type Outage struct {
	After time.Duration `koanf:"after"` // since the profile began to hold
	Lasts time.Duration `koanf:"lasts"`
}

// RegionOutage is an outage of one region.
type RegionOutage struct {
	Region servicerequests.Region `koanf:"region"`
	After  time.Duration          `koanf:"after"`
	Lasts  time.Duration          `koanf:"lasts"`
}

// Rules are the DCC's own: how much it takes of whom, and from when what is
// refused. The zero Rules limit and refuse nothing. Times are the simulator's.
type Rules struct {
	Allocation Allocation           `koanf:"allocation"`
	Thresholds map[string]Threshold `koanf:"anomaly_thresholds"` // by SRV
	Windows    Windows              `koanf:"windows"`

	ClockSkew time.Duration `koanf:"clock_skew"` // how far the DCC's clock is ahead in what it stamps; negative: behind
	StampedAt StampedAt     `koanf:"stamped_at"` // which time a device's answer has

	Registration      Registration      `koanf:"registration"`
	RegistrationFlaps RegistrationFlaps `koanf:"registration_flaps"`

	ChangeOfSupplier ChangeOfSupplier `koanf:"change_of_supplier"`
	SwitchingDays    SwitchingDays    `koanf:"switching_days"`
	Certificates     Certificates     `koanf:"certificates"`
	Rotation         Rotation         `koanf:"rotation"`
}

// Allocation is how many requests the DCC takes of each User; the zero
// Allocation is without limit.
type Allocation struct {
	PerSecond float64 `koanf:"per_second"`
	Burst     int     `koanf:"burst"` // at once; 0: one second's worth
}

// Threshold is how many requests of one SRV a User may send in a period before
// anomaly detection holds the rest back.
type Threshold struct {
	Limit int           `koanf:"limit"`
	Per   time.Duration `koanf:"per"`
}

// Windows is how long the DCC tries before it tells the User that it gives up.
type Windows struct {
	Unreachable time.Duration `koanf:"unreachable"` // E20: no way to the hub; 0: 10 min
	NoAnswer    time.Duration `koanf:"no_answer"`   // E21: a mains-powered device says nothing; 0: 2 min
	HubHolds    time.Duration `koanf:"hub_holds"`   // E21: a gas meter does not fetch; 0: 24 h
}

// StampedAt is the moment that the DCC states as the time of a device's answer.
type StampedAt string

// The moments. Which of them it is no public source says.
const (
	Delivery  StampedAt = "" // when it goes to the inbox
	Execution StampedAt = "execution"
)

// UnmarshalText reads delivery or execution.
func (s *StampedAt) UnmarshalText(text []byte) error {
	switch *s = StampedAt(text); *s {
	case "delivery":
		*s = Delivery
	case Execution:
	default:
		return fmt.Errorf("%q: want delivery or execution", text)
	}
	return nil
}

// RegistrationFlaps are meters that are registered to another supplier for a while,
// and then not again, each in a phase of its own.
type RegistrationFlaps struct {
	Share    float64 `koanf:"share"`
	Flapping `koanf:",squash"`
}

// Registration is the moment at which the failed supplier's market participant
// ids move to the Supplier of Last Resort.
type Registration struct {
	MovesAfter time.Duration       `koanf:"moves_after"` // 0: they stay
	To         servicerequests.EUI `koanf:"to"`          // 0: [LastResort]
}

// ChangeOfSupplier is single meters that go to another supplier day by day.
type ChangeOfSupplier struct {
	SharePerDay float64             `koanf:"share_per_day"` // of those there were at first
	To          servicerequests.EUI `koanf:"to"`            // 0: [LastResort]
}

// Certificates is the moment at which the failed supplier's certificates are
// revoked.
type Certificates struct {
	RevokedAfter time.Duration                `koanf:"revoked_after"` // 0: they are not
	Code         servicerequests.ResponseCode `koanf:"code"`          // the code of answers from then on; empty: E3 (assumption)
}

// Rotation is the moments at which keys are replaced, each by one of a second
// certificate. The first certificates stay with the SMKI service.
type Rotation struct {
	Devices  float64       `koanf:"devices"`   // the share of devices with replaced keys
	After    time.Duration `koanf:"after"`     // when those of devices are; 0: never
	DCCAfter time.Duration `koanf:"dcc_after"` // when that of the DCC's responses without a Pre-Command is; 0: never
}

// LastResort is the supplier that meters go to where a profile names none.
const LastResort servicerequests.EUI = 0x90B3D51F30030000

// defaults is what holds where a profile says nothing: the profile calm.
func defaults() Profile {
	p := Profile{Name: "custom"}
	p.FailedButApplied = 0.5
	p.Delay = 90 * time.Second
	p.Latency = classes[onDemand]
	p.CounterLead = 6 * time.Hour
	p.Hubs.PerWake = DefaultPerWake
	p.Variety = Variety{
		DecimalSerials: 0.05, TwinCertificates: 0.05, Written: 0.1, SwappedHubs: 0.02, ExchangedDevices: 0.02,
		OtherTraffic: 0.2,
	}
	return p
}
