package rehearsal

import (
	"cmp"
	"fmt"
	"reflect"
	"time"

	"safemode/config"
	"safemode/servicerequests/clock"
)

// Posts is how many POSTs two cores can follow, in a second of real time.
const Posts = 800

// HubHolds is how long the demo's hubs keep a command for a gas meter, unless the
// fault profile says: some wakes of the meter, where a real hub keeps it for a day. So
// lost commands are given up within hours of the demo's clock. It applies with short
// retries only.
const HubHolds = 3 * time.Hour

// Config is the default configuration, with as little changed as a clock that runs fast
// needs; [Rehearsal.Settings] notes each change. A hiccup of the machine counts speed times, so
// reads are waited for half an hour, one that 7.3 rests on may be as old, an answer may take
// an hour, and the pace is one that two cores can follow. With a clock that jumps (speed 0)
// the machine does not count, and nothing is changed.
func Config(speed float64) config.Config {
	c := config.Default()
	if speed == 0 {
		return c
	}
	ShortenRetries(&c)
	c.Policy.ReadWait = 30 * time.Minute
	c.Policy.ArmFreshnessElectricity = 30 * time.Minute
	c.Policy.ArmFreshnessGas = 90 * time.Minute
	c.Policy.ResponseWaitElectricity, c.Policy.DarkWaitElectricity = time.Hour, 0
	setPace(&c, Posts/speed)
	return c
}

// LateWindowEnds is a line of configuration for a rehearsal that is made in the [Morning].
const LateWindowEnds = "window_ends: {earliest: 13h, latest: 14h}"

// Morning says whether non-disablement ends within hours by the shipped window_ends: a night that
// begins now would be over before it has reached its homes.
func Morning(now time.Time) bool {
	end := int(config.Default().WindowEnds.Earliest / time.Hour)
	hour := now.In(clock.British()).Hour()
	return hour >= end-4 && hour < end
}

// ShortenRetries has what cannot be reached given up within two hours, not days.
func ShortenRetries(c *config.Config) {
	c.Policy.RetryElectricity = []time.Duration{2 * time.Minute, 10 * time.Minute}
	c.Policy.RetryGas = []time.Duration{35 * time.Minute}
}

// Settings are the configuration of a rehearsal without one, with short retries or the
// shipped ones, and a pace in POSTs a second (0: as it comes). It notes in which of them they
// are not the shipped ones.
func (r *Rehearsal) Settings(shortRetries bool, pace float64) config.Config {
	conf := Config(r.Speed)
	if shortRetries {
		ShortenRetries(&conf)
	} else {
		shipped := config.Default().Policy
		conf.Policy.RetryElectricity, conf.Policy.RetryGas = shipped.RetryElectricity, shipped.RetryGas
	}
	if pace > 0 {
		setPace(&conf, pace)
	}
	if holds := r.Faults.Rules.Windows.HubHolds; holds > 0 {
		conf.Policy.ResponseWaitGas = holds + time.Hour
		r.Departures = append(r.Departures, fmt.Sprintf("the simulator's dcc.windows.hub_holds %v", holds))
	}
	r.Departures = append(departures(&conf), r.Departures...)
	return conf
}

// departures are the settings of the policy, the waves and the limits in which a
// configuration is not what is shipped, each as "path value (shipped: value)".
func departures(c *config.Config) []string {
	all, shipped := []string{}, config.Default()
	var walk func(path string, is, was reflect.Value)
	walk = func(path string, is, was reflect.Value) {
		if is.Kind() == reflect.Struct {
			for i := range is.NumField() {
				walk(path+"."+is.Type().Field(i).Tag.Get("koanf"), is.Field(i), was.Field(i))
			}
			return
		}
		if !reflect.DeepEqual(is.Interface(), was.Interface()) {
			all = append(all, fmt.Sprintf("%s %v (shipped: %v)", path, is.Interface(), was.Interface()))
		}
	}
	walk("policy", reflect.ValueOf(c.Policy), reflect.ValueOf(shipped.Policy))
	walk("waves", reflect.ValueOf(c.Waves), reflect.ValueOf(shipped.Waves))
	walk("limits", reflect.ValueOf(c.Limits), reflect.ValueOf(shipped.Limits))
	return all
}

// setPace limits the User and each region to so many POSTs a second.
func setPace(c *config.Config, perSecond float64) {
	pace := config.Rate{PerSecond: perSecond, Burst: 10}
	c.Limits.User = pace
	for region := range c.Limits.Regions {
		c.Limits.Regions[region] = pace
	}
}

// NewClock starts a rehearsal's clock: at begin, or now where that is zero. With
// speed 0 it jumps.
func NewClock(begin time.Time, speed float64) clock.Clock {
	now := time.Now().UTC()
	c := clock.Clock{Anchor: now.Truncate(time.Millisecond), Speed: cmp.Or(speed, jumpingSpeed)}
	if !begin.IsZero() {
		c = clock.Showing(begin, now, c.Speed)
	}
	if speed == 0 {
		return c.Jumping()
	}
	return c.Start(time.Time{})
}

// jumpingSpeed is how fast a jumping clock runs where it cannot jump, for something waits for
// real time; and what a span of real time counts by it.
const jumpingSpeed = 600
