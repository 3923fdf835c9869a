package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/devicesim/fault"
	"safemode/engine"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// lied is a small sweep against a simulator that lies.
type lied struct {
	summary report.Summary
	metrics map[string]float64 // counters by name{label values}, labels in order of their names
	log     *observer.ObservedLogs
}

// sweepLiar sweeps a few meters against a simulator with this fault profile, to
// the end. It fails the test if a forbidden command reaches a meter with a valid
// signature, or if the truth contradicts a claim.
func sweepLiar(t *testing.T, profile string) lied {
	t.Helper()
	faults, err := fault.Parse([]byte(profile))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.WarnLevel)
	r := jumping(t, 10, 5, rehearsal.Options{
		Faults: faults, Log: zap.New(core),
		Forbidden: func(device servicerequests.EUI, useCase string) {
			t.Errorf("%v got %s with a valid signature", device, useCase)
		},
	})
	conf := rehearsal.Config(0)
	rehearsal.ShortenRetries(&conf)
	conf.Policy.ResponseWaitGas = 2 * time.Hour
	conf.Breaker.MinSample = 10_000      // that a whole service answers in HTML is not the subject
	conf.Tripwires.Unverified.Window = 0 // nor that so much of what comes is a lie
	r.Point(&conf)
	o := r.engineOptions(t, &conf)
	quiet := stdio{out: io.Discard, err: io.Discard}
	rep, err := r.run(t.Context(), quiet, o)
	if err != nil {
		t.Fatal(err)
	}
	s := rep.Summary
	if rep.Ended != record.ClosedFinished || s.Truth.Mismatches != 0 || s.ForbiddenCommands != 0 || s.Counters.Reused != 0 || s.Refused.Unpermitted != 0 {
		t.Errorf("ended %q, %d mismatches, %d forbidden commands, counters %+v, refused %+v",
			rep.Ended, s.Truth.Mismatches, s.ForbiddenCommands, s.Counters, s.Refused)
	}
	return lied{s, gathered(t, o), logs}
}

// engineOptions plans, and wires the engine as a demo does.
func (r *dryRun) engineOptions(t *testing.T, conf *config.Config) engine.Options {
	t.Helper()
	quiet := stdio{out: io.Discard, err: io.Discard}
	o, err := r.prepare(quiet, conf)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// gathered are an engine's counters.
func gathered(t *testing.T, o engine.Options) map[string]float64 {
	t.Helper()
	families, err := o.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if m.GetCounter() == nil {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			values[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue()
		}
	}
	return values
}

// tally sums a class over services.
func (l lied) tally(class func(report.Classes) int, srvs ...string) (n int) {
	for _, srv := range srvs {
		n += class(l.summary.Requests[srv])
	}
	return n
}

func unverified(c report.Classes) int { return c.Unverified }
func inDoubt(c report.Classes) int    { return c.InDoubt }
func noResponse(c report.Classes) int { return c.NoResponse }
func success(c report.Classes) int    { return c.Success }

// TestLies has the DCC tell each lie on every first attempt of a service on a
// device, and nothing else. The request lands in its class, it is said in metric
// and log, the second attempt succeeds, and every meter gets a true verdict.
func TestLies(t *testing.T) {
	commands, reads := []string{"1.6"}, []string{"7.4", "6.2.9"}
	const refused, strays = "safemode_refused_messages_total", "safemode_stray_messages_total"
	tests := []struct {
		name    string // of the lie, unless profile is set
		profile string
		class   func(report.Classes) int
		srvs    []string
		metric  string // counts what the DCC said
		log     string // says so; empty: nobody is to be woken
	}{
		{name: "enable", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "disable", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "prepayment", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "future_dated", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "cancelling", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "other_meter", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "other_counter", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "other_originator", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "extra_bytes", class: unverified, srvs: commands, metric: refused + "{uncorrelated}", log: "refused"},
		{name: "unsigned_reply", class: unverified, srvs: commands, metric: refused + "{unverified}", log: "refused"},
		{name: "forged_reply", class: unverified, srvs: commands, metric: refused + "{unverified}", log: "refused"},
		{name: "html", class: inDoubt, srvs: commands, metric: "safemode_service_requests_total{in_doubt,1.6}", log: "no usable reply"},
		{name: "unsigned_response", class: unverified, srvs: reads, metric: refused + "{unverified}", log: "stored message not proven"},
		{name: "no_payload", class: unverified, srvs: reads, metric: refused + "{unverified}", log: "stored message not proven"},
		{name: "bad_proof", class: unverified, srvs: reads, metric: refused + "{unverified}", log: "stored message not proven"},
		{name: "other_device", class: unverified, srvs: reads, metric: refused + "{unverified}", log: "stored message not proven"},
		{name: "unknown_request", class: noResponse, srvs: reads, metric: strays + "{unmatched}"},
		{name: "replayed", profile: "lies: {replayed: 1, attempts: 2}", class: unverified, srvs: reads, metric: refused + "{unverified}", log: "stored message not proven"},
		{name: "reordered", class: success, srvs: reads},
		{name: "late_acknowledgement", class: success, srvs: reads},
		{name: "duplicated", profile: "duplicate_response: 1", class: success, srvs: reads, metric: strays + "{repeated}"},
		{name: "overdue", profile: "delayed_response: 1\ndelay: 135m", class: success, srvs: reads},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			long(t)
			if test.profile == "" {
				test.profile = "lies: {" + test.name + ": 1, attempts: 1}"
			}
			l := sweepLiar(t, test.profile)
			if l.tally(test.class, test.srvs...) == 0 {
				t.Errorf("no request landed in its class: %+v", l.summary.Requests)
			}
			if test.metric != "" && l.metrics[test.metric] == 0 {
				t.Errorf("%s counts nothing: %v", test.metric, l.metrics)
			}
			if test.log != "" && l.log.FilterMessage(test.log).Len() == 0 {
				t.Errorf("the log does not say %q: %v", test.log, l.log.All())
			}
			if v := l.summary.Verdicts; v.Unknown > 0 || v.OnSupply+v.Armed == 0 {
				t.Errorf("verdicts %+v", v)
			}
		})
	}
}
