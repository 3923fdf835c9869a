package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/devicesim/dcc"
	"safemode/devicesim/fault"
	"safemode/engine"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
)

// watchful is a simulator with an anomaly detection threshold of so many 1.6 in so much
// time, and the configuration of a sweep that knows of it.
func watchful(t *testing.T, threshold config.Threshold, change func(*config.Config)) (*dryRun, engine.Options) {
	t.Helper()
	long(t)
	faults, err := fault.Parse(fmt.Appendf(nil, "latency: {median: 3s, tail: 25s}\ndcc: {anomaly_thresholds: {\"1.6\": {limit: %d, per: %v}}}", threshold.Count, threshold.Per))
	if err != nil {
		t.Fatal(err)
	}
	r := jumping(t, 60, 9, rehearsal.Options{Faults: faults})
	conf := rehearsal.Config(0)
	rehearsal.ShortenRetries(&conf)
	conf.Policy.ResponseWaitGas = 2 * time.Hour
	conf.Limits.AnomalyThresholds = map[servicerequests.Service]config.Threshold{servicerequests.SwitchToCredit: threshold}
	conf.Limits.PaceToFit = true
	conf.Waves.Canary = 0
	// Homes whose credit ends soon, which the time of day decides, are asked again without
	// quarantine too: that is not the subject.
	conf.Policy.DarkWaitElectricity, conf.Policy.DarkWaitGas = 0, 0
	change(&conf)
	r.Point(&conf)
	o := r.engineOptions(t, &conf)
	o.Clock = r.Clock // the simulator's own
	return r, o
}

// heldBack asks the simulator what its anomaly detection holds back.
func heldBack(t *testing.T, r *dryRun) (held []dcc.Quarantined) {
	t.Helper()
	reply, err := http.Get("http://" + r.Sim.ControlAddr() + "/sim/v1/quarantine")
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if err := json.NewDecoder(reply.Body).Decode(&held); err != nil {
		t.Fatal(err)
	}
	return held
}

// Paced under the thresholds nothing is quarantined.
func TestPacedUnderAThreshold(t *testing.T) {
	r, o := watchful(t, config.Threshold{Count: 12, Per: 20 * time.Minute}, func(*config.Config) {})
	rep, err := r.run(t.Context(), stdio{out: io.Discard, err: io.Discard}, o)
	if err != nil {
		t.Fatal(err)
	}
	s := rep.Summary
	if held := heldBack(t, r); s.Quarantined != 0 || len(held) != 0 || s.Truth.Mismatches != 0 || s.Requests["1.6"].Sent < 50 {
		t.Errorf("%d quarantined, summary %+v", len(held), s)
	}
}

// Forced over them, what is quarantined is held, released and finished, and none of
// it is sent twice.
func TestForcedOverAThreshold(t *testing.T) {
	// The period is a day, so that the whole sweep is within it.
	r, o := watchful(t, config.Threshold{Count: 40, Per: 24 * time.Hour}, func(c *config.Config) { c.Limits.IgnoreAnomalyThresholds = true })
	e, err := engine.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	r.Sim.SetRespondTo(e.InboxURL())
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(e.Run(ctx), e.Close()) }()
	caught := map[servicerequests.EUI]bool{}
	look := r.Clock.NewTimer() // once fired it holds the clock until it is set again
	defer look.Stop()
	for running := true; running; {
		look.Reset(r.Clock.Now().Add(2 * time.Minute))
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			running = false
			continue
		case <-look.C:
		}
		held := heldBack(t, r)
		st := e.Status()
		if len(st.Quarantine) < len(held) {
			continue // the alerts are on their way
		}
		// Only the holds of the first are looked at: a request that is quarantined before a resume
		// takes effect is held without another pause.
		if first := len(caught) == 0 && len(held) > 0; first && (len(st.Holds) != 1 || st.Holds[0].Scope != "SRV 1.6" || !strings.Contains(st.Holds[0].Reason, "event reference")) {
			t.Errorf("holds %+v", st.Holds)
		}
		for _, q := range held {
			caught[q.Request.Target] = true
			reply, err := http.Post("http://"+r.Sim.ControlAddr()+"/sim/v1/quarantine/"+q.Ref+"/release", "", nil)
			if err != nil || reply.StatusCode != http.StatusNoContent {
				t.Fatalf("release: %v, %v", reply, err)
			}
			reply.Body.Close()
		}
		if len(e.Status().Holds) == 0 {
			continue
		}
		if code := run(ctx, []string{"resume", "--srv", "1.6", "--operations", e.OperationsURL()}, stdio{out: io.Discard, err: io.Discard}); code != exitDone {
			t.Errorf("resume: exit %d", code)
		}
	}
	rep, err := readReport(t.Context(), o.Journal)
	if err != nil {
		t.Fatal(err)
	}
	if len(caught) == 0 || rep.Summary.Quarantined < len(caught) || rep.Ended != record.ClosedFinished {
		t.Errorf("%d caught, ended %q, summary %+v", len(caught), rep.Ended, rep.Summary)
	}
	for _, m := range rep.Meters {
		sent := switchesOf(m)
		for i, r := range sent { // only a request that never reached the meter is asked for again
			if again := i < len(sent)-1; caught[m.Device] && again != (r.Code == string(servicerequests.Unreachable)) && r.Code != string(servicerequests.Unreachable) {
				t.Errorf("%v was quarantined, and got %+v", m.Device, sent)
			}
		}
	}
	if n := r.Sim.Summary().DuplicateRequests; n != 0 || rep.Summary.Counters.Reused != 0 {
		t.Errorf("%d requests were sent twice, %d counters used twice", n, rep.Summary.Counters.Reused)
	}
	var said strings.Builder
	if err := r.Judge(t.Context(), &said, rep, &o, true); err != nil || rep.Summary.Truth.Mismatches != 0 {
		t.Errorf("%v\n%s", err, said.String())
	}
	t.Logf("%d of %d switches were quarantined and released", len(caught), rep.Summary.Requests["1.6"].Sent)
}

func switchesOf(m report.Meter) (list []report.Request) {
	for _, r := range m.Requests {
		if r.Service == servicerequests.SwitchToCredit {
			list = append(list, r)
		}
	}
	return list
}
