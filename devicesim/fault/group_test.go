package fault_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"safemode/devicesim/fault"
	"safemode/servicerequests"
)

// TestGroups: a group holds the meters that fit all its lists, and of what holds
// for a meter the greatest counts.
func TestGroups(t *testing.T) {
	p := parse(t, `
no_answer: 0.1
latency: {median: 5s, tail: 20s}
groups:
  - {regions: [North, 4G North], no_answer: 0.3, lost_response: 0.2, clock_skew: -2m}
  - {models: [sim-e10], device_types: [ESME], no_answer: 0.2, latency: {class: two_hours}, clock_skew: 1m}
  - {hubs: [00-DB-12-C0-11-D3-F1-8E], unreachable: 1, delay: 5m}
`)
	for name, test := range map[string]struct {
		site fault.Site
		want func(*fault.Effects)
	}{
		"none":  {fault.Site{Region: servicerequests.South, Type: servicerequests.GSME, Model: "sim-e10"}, func(*fault.Effects) {}},
		"north": {fault.Site{Region: servicerequests.North4G}, func(e *fault.Effects) { e.NoAnswer, e.LostResponse, e.ClockSkew = 0.3, 0.2, -2*time.Minute }},
		"model": {fault.Site{Region: servicerequests.South, Type: servicerequests.ESME, Model: "sim-e10"}, func(e *fault.Effects) {
			e.NoAnswer, e.ClockSkew, e.Latency = 0.2, time.Minute, fault.Latency{Median: 15 * time.Minute, Tail: 2 * time.Hour}
		}},
		"model in the north": {fault.Site{Region: servicerequests.North, Type: servicerequests.ESME, Model: "sim-e10"}, func(e *fault.Effects) {
			e.NoAnswer, e.LostResponse, e.ClockSkew, e.Latency = 0.3, 0.2, -2*time.Minute, fault.Latency{Median: 15 * time.Minute, Tail: 2 * time.Hour}
		}},
		"hub": {fault.Site{Hub: 0x00DB12C011D3F18E}, func(e *fault.Effects) { e.Unreachable, e.Delay = 1, 5*time.Minute }},
	} {
		want := p.Effects
		test.want(&want)
		if got := p.At(1, test.site); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// TestGroupShare: so many of the hubs, whole homes, by the seed alone.
func TestGroupShare(t *testing.T) {
	p := parse(t, "groups: [{share: 0.1, no_answer: 1}, {share: 0.1, lost_response: 1}]")
	const hubs = 10_000
	first, both, other := 0, 0, 0
	for hub := range servicerequests.EUI(hubs) {
		e, again := p.At(7, fault.Site{Hub: hub + 1, Device: 1}), p.At(7, fault.Site{Hub: hub + 1, Device: 2})
		if e != again {
			t.Fatal("two meters of a home are not in the same group")
		}
		if e.NoAnswer == 1 {
			first++
			if e.LostResponse == 1 {
				both++
			}
			if p.At(8, fault.Site{Hub: hub + 1}).NoAnswer == 1 {
				other++
			}
		}
	}
	if math.Abs(float64(first)-1000) > 150 || both > 200 || other > 200 {
		t.Errorf("%d of %d hubs, %d in both groups, %d under another seed", first, hubs, both, other)
	}
}

func TestAway(t *testing.T) {
	p := parse(t, "groups: [{regions: [South], flapping: {up: 20m, down: 5m}}, {regions: [Central], unreachable: 1}, {regions: [North], outage: {after: 1h, lasts: 2h}}]")
	away := 0
	for minute := range 1000 {
		since := time.Duration(minute) * time.Minute
		left := p.Away(1, fault.Site{Region: servicerequests.South, Hub: 9}, since)
		if left > 5*time.Minute {
			t.Fatalf("away for %v", left)
		}
		if left > 0 {
			away++
			if back := p.Away(1, fault.Site{Region: servicerequests.South, Hub: 9}, since+left); back != 0 {
				t.Errorf("after %v it is away for %v, and then for %v", since, left, back)
			}
		}
	}
	if away != 200 {
		t.Errorf("away in %d of 1000 minutes, want 200", away)
	}
	if left := p.Away(1, fault.Site{Region: servicerequests.Central, Hub: 9}, 0); left != fault.Forever {
		t.Errorf("an unreachable hub is away for %v", left)
	}
	for since, want := range map[time.Duration]time.Duration{0: 0, time.Hour: 2 * time.Hour, 2 * time.Hour: time.Hour, 3 * time.Hour: 0} {
		if left := p.Away(1, fault.Site{Region: servicerequests.North}, since); left != want {
			t.Errorf("after %v: away for %v, want %v", since, left, want)
		}
	}
}

func TestRevoked(t *testing.T) {
	for text, want := range map[string][2]servicerequests.ResponseCode{
		"":                            {"", ""},
		"revoked_after: 1h":           {"", "E3"},
		"revoked_after: 1h, code: E1": {"", "E1"},
	} {
		c := parse(t, "dcc: {certificates: {"+text+"}}").Rules.Certificates
		if got := [2]servicerequests.ResponseCode{c.Revoked(59 * time.Minute), c.Revoked(time.Hour)}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestParseRefusesGroupsAndRules(t *testing.T) {
	for text, want := range map[string]string{
		"groups: [{region: North}]":                                             "groups[0].region: unknown key",
		"groups: [{regions: [West]}]":                                           "groups[0].regions[0]: ",
		"groups: [{regions: North}]":                                            "groups[0].regions: North: want a list",
		"groups: [{}, {hubs: [12]}]":                                            "groups[1].hubs[0]: 12: want text",
		"groups: [{share: 2}]":                                                  "groups[0].share: 2: want a share",
		"groups: [{suspended: -1}]":                                             "groups[0].suspended: -1: want a share",
		"groups: [{flapping: {up: 5m}}]":                                        "groups[0].flapping: want up and down",
		"groups: [{latency: {class: soon}}]":                                    `groups[0].latency.class: "soon": want on_demand`,
		"groups: [{outage: {lasts: -1h}}]":                                      "groups[0].outage.lasts: -1h0m0s: want a span",
		"groups: [" + strings.Repeat("{},", 64) + "{}]":                         "groups: 65: want 64 at most",
		"lies: {enable: 1}\ngroups: [{lies: {enable: 1}}]":                      "groups[0].lies: unknown key",
		"dcc: {allocation: {per_second: -1}}":                                   "dcc.allocation.per_second: -1: want 0 to a million",
		"dcc: {allocation: {burst: -1}}":                                        "dcc.allocation.burst: -1: want 0 or more",
		"dcc: {anomaly_thresholds: {\"9.9\": {limit: 1, per: 1h}}}":             "dcc.anomaly_thresholds.9.9: no SRV",
		"dcc: {anomaly_thresholds: {\"1.6\": {limit: 1}}}":                      "dcc.anomaly_thresholds.1.6.per: 0s: want the period",
		"dcc: {anomaly_thresholds: {\"8.2\": {limit: 1, per: 1h}}}":             "dcc.anomaly_thresholds.8.2: no SRV that goes to a device",
		"dcc: {windows: {no_answer: -1s}}":                                      "dcc.windows.no_answer: -1s: want a span",
		"dcc: {registration: {moves_after: 1h, to: nobody}}":                    "dcc.registration.to: ",
		"dcc: {switching_days: {share: 1.5, days: 10}}":                         "dcc.switching_days.share: 1.5: want a share",
		"dcc: {switching_days: {share: 0.2}}":                                   "dcc.switching_days: want share and days",
		"dcc: {switching_days: {share: 0.2, days: -1}}":                         "dcc.switching_days.days: -1",
		"dcc: {switching_days: {share: 0.2, days: 10, flapping: 0.1}}":          "dcc.switching_days: want flapping, away and back",
		"dcc: {switching_days: {share: 0.2, days: 10, begun: -1h}}":             "dcc.switching_days.begun: -1h",
		"dcc: {switching_days: {share: 0.2, days: 10, unlisted: 2, untold: 3}}": "dcc.switching_days.unlisted: 2",
		"dcc: {change_of_supplier: {share_per_day: 1.5}}":                       "dcc.change_of_supplier.share_per_day: 1.5: want a share",
		"dcc: {certificates: {revoked_after: 1h, code: E20}}":                   `dcc.certificates.code: "E20": want one of`,
		"a: &x 1\nb: *x": "YAML alias",
	} {
		if _, err := fault.Parse([]byte(text)); !errors.Is(err, fault.ErrProfile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: %v, want %q", text, err, want)
		}
	}
}

func TestHubs(t *testing.T) {
	if p := parse(t, ""); p.Hubs != (fault.Hubs{Order: fault.FIFO, PerWake: fault.DefaultPerWake}) {
		t.Errorf("default: %+v", p.Hubs)
	}
	for text, want := range map[string]fault.Hubs{
		"hubs: {order: fifo}":                {PerWake: fault.DefaultPerWake},
		"hubs: {order: lifo, per_wake: 8}":   {Order: fault.LIFO, PerWake: 8},
		"hubs: {order: random, per_wake: 0}": {Order: fault.Random},
	} {
		if p := parse(t, text); p.Hubs != want {
			t.Errorf("%s: %+v", text, p.Hubs)
		}
	}
	for text, words := range map[string]string{
		"hubs: {order: best}":  "hubs.order: \"best\": want fifo, lifo or random",
		"hubs: {per_wake: 9}":  "hubs.per_wake: 9: want 1 to 8, or 0 for all",
		"hubs: {per_wake: -1}": "hubs.per_wake: -1: want",
	} {
		if _, err := fault.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSettings: what a profile may assume beyond the ready ones is off unless it says so.
func TestSettings(t *testing.T) {
	p := parse(t, `
lost_alert: 0.1
duplicate_alert: 0.2
untold_e20: 0.3
untold_e21: 0.4
other_models: 0.5
groups:
  - regions: [North]
    below_in_suspension: 0.6
    high_counter: 0.7
    counter_lead: 9h
dcc:
  clock_skew: -2m
  stamped_at: execution
  registration_flaps: {share: 0.8, up: 50m, down: 10m}
`)
	north, south := p.At(1, fault.Site{Region: servicerequests.North}), p.At(1, fault.Site{Region: servicerequests.South})
	for k, want := range map[fault.Kind][2]float64{
		fault.LostAlert: {0.1, 0.1}, fault.DuplicateAlert: {0.2, 0.2}, fault.UntoldE20: {0.3, 0.3}, fault.UntoldE21: {0.4, 0.4},
		fault.BelowInSuspension: {0.6, 0}, fault.HighCounter: {0.7, 0},
	} {
		if got := [2]float64{north.Share(k), south.Share(k)}; got != want || !p.Any(k) {
			t.Errorf("%s: north and south %v, want %v", k, got, want)
		}
		none := parse(t, "")
		if none.Share(k) != 0 || none.Any(k) {
			t.Errorf("%s happens where nothing asks for it", k)
		}
	}
	if north.CounterLead != 9*time.Hour || south.CounterLead != 6*time.Hour || p.OtherModels != 0.5 {
		t.Errorf("%v, %v, %v", north.CounterLead, south.CounterLead, p.OtherModels)
	}
	if r := p.Rules; r.ClockSkew != -2*time.Minute || r.StampedAt != fault.Execution ||
		r.RegistrationFlaps != (fault.RegistrationFlaps{Share: 0.8, Flapping: fault.Flapping{Up: 50 * time.Minute, Down: 10 * time.Minute}}) {
		t.Errorf("%+v", r)
	}
	if none := parse(t, ""); none.OtherModels != 0 || none.Rules.ClockSkew != 0 || none.Rules.StampedAt != fault.Delivery || none.Rules.RegistrationFlaps.Share != 0 {
		t.Errorf("%+v", none)
	}
	for text, words := range map[string]string{
		"lost_alert: 2":                               "lost_alert: 2: want a share",
		"counter_lead: -1h":                           "counter_lead: -1h0m0s: want a span",
		"other_models: -1":                            "other_models: -1: want a share",
		"dcc: {stamped_at: never}":                    "dcc.stamped_at: \"never\": want delivery or execution",
		"dcc: {registration_flaps: {share: 1}}":       "dcc.registration_flaps: want share, up and down",
		"dcc: {registration_flaps: {up: 1h}}":         "dcc.registration_flaps: want up and down, or neither",
		"dcc: {registration_flaps: {up: 1h, dn: 1h}}": "dcc.registration_flaps.dn: unknown key",
	} {
		if _, err := fault.Parse([]byte(text)); !errors.Is(err, fault.ErrProfile) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
