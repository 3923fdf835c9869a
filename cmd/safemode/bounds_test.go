package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"safemode/config"
	"safemode/engine/plan"
	"safemode/servicerequests"
)

// bindingConfig is a configuration in which every bound is at work.
func bindingConfig() *config.Config {
	c := config.Default()
	c.RetryBudget, c.Operations.DeadMan = 100, time.Hour
	c.Gates.CheckExpiry, c.Gates.MPIDsFile, c.Gates.RevocationLists = true, "mpids.yaml", []string{"crl.pem"}
	c.Gates.PeerRevocationLists, c.Gates.FreezeFile = []string{"peers.crl"}, "freeze.yaml"
	c.Limits.Services = map[string]config.Rate{"transform": {PerSecond: 10, Burst: 10}}
	c.Limits.AnomalyThresholds = map[servicerequests.Service]config.Threshold{servicerequests.Services[0]: {Count: 100, Per: time.Hour}}
	c.Policy.GasBalanceFromProxy = false
	return &c
}

func plannedBy(c *config.Config) *plan.Plan {
	return &plan.Plan{Header: plan.Header{Limits: planLimits(c.Limits), Bounds: planBounds(c)}}
}

// A setting that an approval was given for cannot be loosened afterwards; it can
// be made stricter.
func TestWidened(t *testing.T) {
	p := plannedBy(bindingConfig())
	if err := widened(bindingConfig(), p); err != nil {
		t.Fatalf("the very same: %v", err)
	}
	for path, change := range map[string]func(*config.Config){
		"tripwires.unregistered.window":  func(c *config.Config) { c.Tripwires.Unregistered.Window = 0 },
		"tripwires.unregistered.minimum": func(c *config.Config) { c.Tripwires.Unregistered.Minimum++ },
		"tripwires.unregistered.ratio":   func(c *config.Config) { c.Tripwires.Unregistered.Ratio = 1 },
		"tripwires.unverified.window":    func(c *config.Config) { c.Tripwires.Unverified.Window *= 2 },
		"tripwires.unverified.minimum":   func(c *config.Config) { c.Tripwires.Unverified.Minimum = 200 },
		"tripwires.unverified.ratio":     func(c *config.Config) { c.Tripwires.Unverified.Ratio = 0.6 },
		"retry_budget":                   func(c *config.Config) { c.RetryBudget = 0 },
		"retry_budget: 101":              func(c *config.Config) { c.RetryBudget = 101 },
		"operations.dead_man":            func(c *config.Config) { c.Operations.DeadMan = 0 },
		"operations.dead_man: 7200":      func(c *config.Config) { c.Operations.DeadMan = 2 * time.Hour },
		"limits.in_flight":               func(c *config.Config) { c.Limits.InFlight++ },
		"limits.per_hub":                 func(c *config.Config) { c.Limits.PerHub++ },
		"limits.user":                    func(c *config.Config) { c.Limits.User.PerSecond++ },
		"limits.user.burst":              func(c *config.Config) { c.Limits.User.Burst++ },
		"limits.regions.North":           func(c *config.Config) { c.Limits.Regions[servicerequests.North] = config.Rate{PerSecond: 41} },
		"limits.regions.South: no limit": func(c *config.Config) { delete(c.Limits.Regions, servicerequests.South) },
		"limits.regions.North.burst": func(c *config.Config) {
			c.Limits.Regions[servicerequests.North] = config.Rate{PerSecond: 40, Burst: 41}
		},
		"limits.regions.4G North": func(c *config.Config) {
			c.Limits.Regions[servicerequests.North4G] = config.Rate{PerSecond: 1, Burst: 1}
		},
		"limits.services.transform":               func(c *config.Config) { c.Limits.Services = nil },
		"limits.services.transform.burst":         func(c *config.Config) { c.Limits.Services["transform"] = config.Rate{PerSecond: 10, Burst: 11} },
		"limits.anomaly_thresholds":               func(c *config.Config) { c.Limits.AnomalyThresholds = nil },
		"limits.anomaly_thresholds.":              func(c *config.Config) { c.Limits.AnomalyMargin = 0 },
		"limits.ignore_anomaly_thresholds":        func(c *config.Config) { c.Limits.IgnoreAnomalyThresholds = true },
		"workers":                                 func(c *config.Config) { c.Workers++ },
		"resend.tries":                            func(c *config.Config) { c.Resend.Tries++ },
		"resend.wait":                             func(c *config.Config) { c.Resend.Wait = time.Second },
		"breaker.min_sample":                      func(c *config.Config) { c.Breaker.MinSample++ },
		"breaker.ratio":                           func(c *config.Config) { c.Breaker.Ratio = 0.9 },
		"breaker.pause":                           func(c *config.Config) { c.Breaker.Pause = time.Second },
		"gates.revocation_lists":                  func(c *config.Config) { c.Gates.RevocationLists = nil },
		"gates.peer_revocation_lists":             func(c *config.Config) { c.Gates.PeerRevocationLists = nil },
		"gates.revocation_list_age":               func(c *config.Config) { c.Gates.RevocationListAge = time.Hour },
		"gates.mpids_file":                        func(c *config.Config) { c.Gates.MPIDsFile = "" },
		"gates.revocation_lists: [\"other.pem\"]": func(c *config.Config) { c.Gates.RevocationLists = []string{"other.pem"} },
		"gates.mpids_file: [\"other.yaml\"]":      func(c *config.Config) { c.Gates.MPIDsFile = "other.yaml" },
		"gates.freeze_file":                       func(c *config.Config) { c.Gates.FreezeFile = "" },
		"roster.approvals_at_most":                func(c *config.Config) { c.Roster.ApprovalsAtMost *= 2 },
		"gates.check_expiry":                      func(c *config.Config) { c.Gates.CheckExpiry = false },
		"gates.poll":                              func(c *config.Config) { c.Gates.Poll = time.Hour },
		"gates.max_age":                           func(c *config.Config) { c.Gates.MaxAge = 24 * time.Hour },
		"policy.arm_balance_at_most":              func(c *config.Config) { c.Policy.ArmBalanceAtMost++ },
		"policy.arm_freshness_electricity":        func(c *config.Config) { c.Policy.ArmFreshnessElectricity++ },
		"policy.arm_freshness_gas":                func(c *config.Config) { c.Policy.ArmFreshnessGas++ },
		"policy.switch_tries":                     func(c *config.Config) { c.Policy.SwitchTries++ },
		"policy.arm_tries":                        func(c *config.Config) { c.Policy.ArmTries++ },
		"policy.retry_electricity":                func(c *config.Config) { c.Policy.RetryElectricity = append(c.Policy.RetryElectricity, 24*time.Hour) },
		"policy.retry_electricity[0]":             func(c *config.Config) { c.Policy.RetryElectricity = []time.Duration{time.Second} },
		"policy.retry_gas":                        func(c *config.Config) { c.Policy.RetryGas = append(c.Policy.RetryGas, 24*time.Hour) },
		"policy.retry_gas[1]":                     func(c *config.Config) { c.Policy.RetryGas = []time.Duration{time.Hour, time.Second} },
		"policy.dark_wait_electricity":            func(c *config.Config) { c.Policy.DarkWaitElectricity /= 2 },
		"policy.dark_wait_gas":                    func(c *config.Config) { c.Policy.DarkWaitGas = time.Minute },
		"policy.dark_again":                       func(c *config.Config) { c.Policy.DarkAgain-- },
		"policy.gas_balance_from_proxy":           func(c *config.Config) { c.Policy.GasBalanceFromProxy = true },
		"policy.patience":                         func(c *config.Config) { c.Policy.Patience = time.Minute },
		"policy.step_deadline_electricity":        func(c *config.Config) { c.Policy.StepDeadlineElectricity = 0 },
		"policy.step_deadline_gas":                func(c *config.Config) { c.Policy.StepDeadlineGas *= 2 },
		"policy.reread_armed_after":               func(c *config.Config) { c.Policy.RereadArmedAfter = 2 * time.Hour },
		"policy.reread_after":                     func(c *config.Config) { c.Policy.RereadAfter = 0 },
		"policy.act_within":                       func(c *config.Config) { c.Policy.ActWithin++; c.Policy.ActWithin *= 2 },
		"policy.reread_share":                     func(c *config.Config) { c.Policy.RereadShare = 0 },
	} {
		c := bindingConfig()
		change(c)
		if err := widened(c, p); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "wider than the plan's") {
			t.Errorf("%s: %v", path, err)
		}
	}
	for name, change := range map[string]func(*config.Config){
		"slower": func(c *config.Config) {
			c.Limits.User = config.Rate{PerSecond: 1, Burst: 1}
			c.Limits.InFlight, c.Workers = 1, 1
		},
		"fewer tries": func(c *config.Config) { c.Policy.RetryElectricity, c.Policy.RetryGas, c.RetryBudget = nil, nil, 1 },
		"rarer tries": func(c *config.Config) { c.Policy.RetryElectricity[0] = time.Hour },
		"none is soon": func(c *config.Config) {
			c.Policy.DarkWaitElectricity, c.Policy.DarkWaitGas, c.Policy.DarkAgain = 0, 0, 0
		},
		"no long retry":  func(c *config.Config) { c.Policy.Patience = 0 },
		"another list":   func(c *config.Config) { c.Gates.RevocationLists = []string{"more.pem", "crl.pem"} },
		"sooner stuck":   func(c *config.Config) { c.Policy.StepDeadlineGas = time.Hour },
		"finer tripwire": func(c *config.Config) { c.Tripwires.Unregistered.Minimum, c.Tripwires.Unregistered.Ratio = 1, 0.01 },
		"closer watch": func(c *config.Config) {
			c.Operations.DeadMan, c.Gates.MaxAge, c.Gates.Poll = time.Minute, time.Minute, time.Second
		},
	} {
		c := bindingConfig()
		change(c)
		if err := widened(c, p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	off := bindingConfig()
	off.Tripwires = config.Tripwires{}
	if err := widened(bindingConfig(), plannedBy(off)); err != nil {
		t.Errorf("tripwires that were off: %v", err)
	}
}

// A plan of an older program says nothing of most bounds: the defaults bind then.
func TestWidenedOldPlan(t *testing.T) {
	usual := config.Default()
	old := plannedBy(&usual)
	old.Bounds.Settings = nil
	if err := widened(&usual, old); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	usual.Limits.InFlight *= 2
	usual.Tripwires.Unverified.Window = 0
	for _, path := range []string{"limits.in_flight: 40000", "tripwires.unverified.window: 0"} {
		if err := widened(&usual, old); err == nil || !strings.Contains(err.Error(), path+" is wider than the default") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Every setting of the policy, the limits and the brakes is bound or is named here with
// the reason why it need not be.
func TestEverySettingIsBoundOrHarmless(t *testing.T) {
	harmless := map[string]string{
		"Policy.ReadWait":                "1.6 to Credit harms nobody, before or after the reads",
		"Policy.ProofWaitElectricity":    "1.6 to Credit harms nobody, before or after the reads",
		"Policy.ProofWaitGas":            "1.6 to Credit harms nobody, before or after the reads",
		"Policy.EmergencyCreditBelow":    "2.5 harms nobody",
		"Policy.ResponseWaitElectricity": "after silence it is read what was done before anything is asked again",
		"Policy.ResponseWaitGas":         "after silence it is read what was done before anything is asked again",
		"Policy.DailySpend":              "reckons the order",
		"Policy.AtRiskWithin":            "reckons the order",
		"Breaker.Window":                 "of neither more nor less is stricter",
		"Breaker.Lease":                  "of neither more nor less is stricter",
		"Gates.Drain":                    "nothing is sent in it",
	}
	var walk func(name string, v reflect.Value)
	c := bindingConfig()
	whole := func() string { p := plannedBy(c); return fmt.Sprintf("%+v %+v", p.Limits, p.Bounds) }
	walk = func(name string, v reflect.Value) {
		for i := range v.NumField() {
			field, path := v.Field(i), name+"."+v.Type().Field(i).Name
			if field.Kind() == reflect.Struct {
				walk(path, field)
				continue
			}
			was := reflect.ValueOf(field.Interface())
			before := whole()
			switch field.Kind() {
			case reflect.Int, reflect.Int64:
				field.SetInt(field.Int() + int64(time.Hour))
			case reflect.Float64:
				field.SetFloat(field.Float()/2 + 0.125)
			default:
				field.SetZero()
				if was.IsZero() {
					field.Set(reflect.ValueOf(true))
				}
			}
			if bound := whole() != before; bound == (harmless[path] != "") {
				t.Errorf("%s: bound %v, harmless %q", path, bound, harmless[path])
			}
			field.Set(was)
		}
	}
	v := reflect.ValueOf(c).Elem()
	for _, name := range []string{"Policy", "Limits", "Breaker", "Gates", "Tripwires", "Resend"} {
		walk(name, v.FieldByName(name))
	}
}
