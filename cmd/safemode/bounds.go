package main

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine/authority"
	"safemode/engine/direction"
)

// bound is a setting that an approval was given for: once the plan is approved it must
// not be loosened.
type bound struct {
	path  string
	value float64 // durations in seconds; yes is 1
	wider func(now, planned float64) bool
}

// Comparisons that say whether a setting was loosened.
func more(now, planned float64) bool { return now > planned }
func less(now, planned float64) bool { return now < planned }

// moreOrNone is of settings of which 0 means no bound at all.
func moreOrNone(now, planned float64) bool { return more(orNone(now), orNone(planned)) }

// lessButNone is of settings of which 0 means never.
func lessButNone(now, planned float64) bool { return less(orNone(now), orNone(planned)) }

func orNone(v float64) float64 {
	if v == 0 {
		return math.Inf(1)
	}
	return v
}

// otherOrNone is for settings of which neither more nor less is stricter.
func otherOrNone(now, planned float64) bool { return planned != 0 && now != planned }

// boundsOf are the settings of a configuration that a plan binds, without those that have
// a field of their own in it. A plan of an older program may lack one: then it binds the
// default.
func boundsOf(c *config.Config) []bound {
	yes := func(is bool) float64 {
		if is {
			return 1
		}
		return 0
	}
	l, p, b := c.Limits, c.Policy, c.Breaker
	all := []bound{
		{"limits.user.burst", float64(l.User.Burst), more},
		{"limits.in_flight", float64(l.InFlight), more},
		{"limits.per_hub", float64(l.PerHub), more},
		{"workers", float64(c.Workers), more},
		{"retry_budget", float64(c.RetryBudget), moreOrNone},
		{"resend.tries", float64(c.Resend.Tries), more},
		{"resend.wait", c.Resend.Wait.Seconds(), less},
		{"breaker.min_sample", float64(b.MinSample), more},
		{"breaker.ratio", b.Ratio, more},
		{"breaker.pause", b.Pause.Seconds(), less},
		{"operations.dead_man", c.Operations.DeadMan.Seconds(), moreOrNone},
		{"gates.revocation_list_age", c.Gates.RevocationListAge.Seconds(), more},
		{authority.LongestSetting, c.Roster.ApprovalsAtMost.Seconds(), more},
		{"gates.check_expiry", yes(c.Gates.CheckExpiry), less},
		{"gates.poll", c.Gates.Poll.Seconds(), more},
		{"gates.max_age", c.Gates.MaxAge.Seconds(), more},
		{"transfers.file", yes(c.Transfers.File != ""), less},
		{"transfers.margin", c.Transfers.Margin.Seconds(), less},
		{"policy.gas_balance_from_proxy", yes(p.GasBalanceFromProxy), more},
		{"policy.dark_wait_electricity", p.DarkWaitElectricity.Seconds(), lessButNone},
		{"policy.dark_wait_gas", p.DarkWaitGas.Seconds(), lessButNone},
		{"policy.dark_again", p.DarkAgain.Seconds(), lessButNone},
		{"policy.patience", p.Patience.Seconds(), lessButNone},
		{"policy.step_deadline_electricity", p.StepDeadlineElectricity.Seconds(), moreOrNone},
		{"policy.step_deadline_gas", p.StepDeadlineGas.Seconds(), moreOrNone},
		{"policy.act_within", p.ActWithin.Seconds(), more},
		{"policy.reread_armed_after", p.RereadArmedAfter.Seconds(), moreOrNone},
		{"policy.reread_after", p.RereadAfter.Seconds(), moreOrNone},
		{"policy.reread_share", p.RereadShare, less},
	}
	for _, region := range slices.Sorted(maps.Keys(l.Regions)) {
		all = append(all, bound{"limits.regions." + region.String() + ".burst", float64(l.Regions[region].Burst), more})
	}
	for _, service := range slices.Sorted(maps.Keys(l.Services)) {
		all = append(all, bound{"limits.services." + service + ".burst", float64(l.Services[service].Burst), more})
	}
	for i, wait := range p.RetryElectricity {
		all = append(all, bound{fmt.Sprintf("policy.retry_electricity[%d]", i), wait.Seconds(), less})
	}
	for i, wait := range p.RetryGas {
		all = append(all, bound{fmt.Sprintf("policy.retry_gas[%d]", i), wait.Seconds(), less})
	}
	for n, t := range [...]config.Tripwire{c.Tripwires.Unregistered, c.Tripwires.Unverified} {
		path := [...]string{"tripwires.unregistered", "tripwires.unverified"}[n]
		if t.Window == 0 { // off, whatever the others say
			t = config.Tripwire{}
		}
		all = append(all, bound{path + ".window", float64(t.Window), otherOrNone},
			bound{path + ".minimum", float64(t.Minimum), moreOrNone}, bound{path + ".ratio", t.Ratio, moreOrNone})
	}
	return all
}

// settingsOf is what a plan says of the bounds of a configuration.
func settingsOf(c *config.Config) map[string]float64 {
	all := map[string]float64{}
	for _, b := range boundsOf(c) {
		all[b.path] = b.value
	}
	return all
}

// sourcesOf are the files and URLs of evidence: those that a plan names must stay in the
// configuration, and others may be added.
func sourcesOf(c *config.Config) map[string][]string {
	all := map[string][]string{
		"gates.revocation_lists": c.Gates.RevocationLists, "gates.peer_revocation_lists": c.Gates.PeerRevocationLists,
		"gates.mpids_file": {c.Gates.MPIDsFile}, "gates.freeze_file": {c.Gates.FreezeFile},
	}
	maps.DeleteFunc(all, func(_ string, names []string) bool { return len(names) == 0 || names[0] == "" })
	return all
}

// rosterSource is the source that is named by the key that signs the roster.
const rosterSource = "roster.signed_by"

// pinned names the key that a configuration's roster is signed with.
func pinned(c *config.Config) ([]string, error) {
	cert, err := cli.Certificate(c.Roster.SignedBy)
	if err != nil {
		return nil, err
	}
	return []string{direction.Fingerprint(cert)}, nil
}
