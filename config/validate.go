package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/strictyaml"
)

// Validate checks every rule and joins all faults, each a [*strictyaml.Fault].
func (c *Config) Validate() error {
	var f faults
	f.oneOf("environment", string(c.Environment), string(Simulator), string(Live))
	f.dcc(c.DCC, c.Environment)
	f.identities(c.Identities)
	f.signer(c.Signer, c.Keys, c.Environment)
	f.inbox(c.Inbox, c.Environment)
	f.operations(c.Operations, c.Inbox.Listen)
	f.positive("journal.linger", c.Journal.Linger)
	f.atLeast("journal.batch_limit", c.Journal.BatchLimit, 1)
	f.check(c.Journal.Lease >= time.Second && c.Journal.Lease <= 5*time.Minute, "journal.lease", "%v: want 1s to 5m", c.Journal.Lease)
	f.positive("journal.checkpoint_every", c.Journal.CheckpointEvery)
	f.notices(c.Notices, c.Environment)
	f.required("custody_dir", c.CustodyDir)
	f.check(c.CounterFloor <= servicerequests.MaxCounter, "counter_floor",
		"%d: want at most %d", c.CounterFloor, uint64(servicerequests.MaxCounter))
	if clock := c.SimulatorClock; clock != nil {
		f.check(c.Environment != Live, "simulator_clock", "a live sweep runs on real time")
		f.check(clock.Speed > 0 && !math.IsInf(clock.Speed, 1), "simulator_clock.speed", "%v: want over 0", clock.Speed)
	}
	f.oneOf("strategy", string(c.Strategy), string(creditMode), string(full), string(emergencyCredit))
	f.limits(c.Limits, c.Environment)
	f.tripwire("tripwires.unregistered", c.Tripwires.Unregistered)
	f.tripwire("tripwires.unverified", c.Tripwires.Unverified)
	f.atLeast("retry_budget", c.RetryBudget, 0)
	f.check(c.Transfers.Margin >= 0, "transfers.margin", "%v: want 0 or more", c.Transfers.Margin)
	f.check(c.MaxRejectedShare >= 0 && c.MaxRejectedShare <= 1, "max_rejected_share", "%v: want 0 to 1", c.MaxRejectedShare)
	f.check(c.Operations.DeadMan >= 0, "operations.dead_man", "%v: want 0s or more", c.Operations.DeadMan)
	f.check(c.Environment != Live || c.Operations.PeopleFile != "", "operations.people_file", "live needs to know who gives an order")
	f.policy(c.Policy)
	f.atLeast("workers", c.Workers, 1)
	f.positive("resend.wait", c.Resend.Wait)
	f.atLeast("resend.tries", c.Resend.Tries, 0)
	f.positive("breaker.window", c.Breaker.Window)
	f.atLeast("breaker.min_sample", c.Breaker.MinSample, 1)
	f.check(c.Breaker.Ratio > 0 && c.Breaker.Ratio <= 1, "breaker.ratio", "%v: want over 0 to 1", c.Breaker.Ratio)
	f.positive("breaker.pause", c.Breaker.Pause)
	f.positive("breaker.lease", c.Breaker.Lease)
	f.columns(c.CarryColumns)
	f.authority(c.Roster, c.Gates, c.Environment)
	f.waves(c.Waves)
	f.check(c.WindowEnds.Earliest >= 0 && c.WindowEnds.Earliest <= c.WindowEnds.Latest && c.WindowEnds.Latest < 24*time.Hour,
		"window_ends", "%v to %v: want hours after midnight, the earliest first", c.WindowEnds.Earliest, c.WindowEnds.Latest)
	f.check(c.WindowBegins >= 0 && c.WindowBegins <= 24*time.Hour, "window_begins", "%v: want 0s to 24h after midnight", c.WindowBegins)
	return errors.Join(f...)
}

// faults collects what is wrong.
type faults []error

func (f *faults) check(ok bool, path, format string, args ...any) {
	if !ok {
		*f = append(*f, strictyaml.Faultf(path, format, args...))
	}
}

func (f *faults) required(path, value string) { f.check(value != "", path, "required") }

// tls wants the files of mutual TLS.
func (f *faults) tls(path, certificate, key, authorities string) {
	f.required(path+".certificate", certificate)
	f.required(path+".key", key)
	f.required(path+".authorities", authorities)
}

func (f *faults) positive(path string, d time.Duration) {
	f.check(d > 0, path, "%v: want more than 0s", d)
}

func (f *faults) atLeast(path string, n, least int) {
	f.check(n >= least, path, "%d: want %d or more", n, least)
}

func (f *faults) listen(path, address string) {
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	f.check(err == nil && portErr == nil && n > 0 && (net.ParseIP(host) != nil || host == "localhost"), path,
		"%q: want an IP address and a port, like 127.0.0.1:8089", address)
}

func (f *faults) oneOf(path string, got string, want ...string) {
	f.check(slices.Contains(want, got), path, "%q: want %s", got, strings.Join(want, ", "))
}

func (f *faults) dcc(d DCC, e Environment) {
	f.url("dcc.url", d.URL, e)
	f.url("dcc.smki_url", d.SMKIURL, e)
	f.check(d.EUI != 0, "dcc.eui", "required")
	f.positive("dcc.timeout", d.Timeout)
	f.positive("dcc.clock_apart", d.ClockApart)
	f.files("dcc.transform_certificates", d.TransformCertificates)
	f.files("dcc.xml_signing_certificates", d.XMLSigningCertificates)
	f.files("dcc.authorities", d.Authorities)
	if len(d.S1SPCertificates) > 0 {
		f.files("dcc.s1sp_certificates", d.S1SPCertificates)
	}
	if e == Live || d.TLS != (TLS{}) {
		f.tls("dcc.tls", d.TLS.Certificate, d.TLS.Key, d.TLS.Authorities)
	}
}

func (f *faults) inbox(i Inbox, e Environment) {
	f.listen("inbox.listen", i.Listen)
	f.check(path.IsAbs(i.Path) && path.Clean(i.Path) == i.Path && i.Path != "/",
		"inbox.path", "%q: want a path like /smartdcc/duis", i.Path)
	if e == Live || !i.TLS.none() {
		f.tls("inbox.tls", i.TLS.Certificate, i.TLS.Key, i.TLS.Authorities)
		f.check(len(i.TLS.AllowedNames) > 0, "inbox.tls.allowed_names", "required: the names in the DCC's client certificate")
		for n, name := range i.TLS.AllowedNames {
			f.required(fmt.Sprintf("inbox.tls.allowed_names[%d]", n), name)
		}
	}
	f.check(i.MaxBody >= 4096, "inbox.max_body", "%d: want 4096 bytes or more: a response with its signature has thousands", i.MaxBody)
	f.atLeast("inbox.connections.total", i.Connections.Total, 1)
	f.atLeast("inbox.connections.per_peer", i.Connections.PerPeer, 1)
	for path, r := range map[string]Rate{"inbox.rates.per_peer": i.Rates.PerPeer, "inbox.rates.total": i.Rates.Total} {
		f.check(r.PerSecond > 0 && !math.IsInf(r.PerSecond, 1), path+".per_second", "%v: want more than 0", r.PerSecond)
		f.atLeast(path+".burst", r.Burst, 1)
	}
	f.positive("inbox.timeouts.header", i.Timeouts.Header)
	f.positive("inbox.timeouts.message", i.Timeouts.Message)
	f.positive("inbox.timeouts.idle", i.Timeouts.Idle)
}

func (f *faults) operations(o Operations, inbox string) {
	f.listen("operations.listen", o.Listen)
	f.check(o.Listen != inbox, "operations.listen", "%s is the inbox's address too", o.Listen)
	if o.TLS != (ServerTLS{}) {
		f.required("operations.tls.certificate", o.TLS.Certificate)
		f.required("operations.tls.key", o.TLS.Key)
	}
	f.check(o.LookTokenFile == "" || o.TokenFile != "" || o.PeopleFile != "", "operations.look_token_file",
		"nobody could give an order: it needs operations.token_file or operations.people_file beside it")
	f.check(o.LookTokenFile == "" || o.LookTokenFile != o.TokenFile, "operations.look_token_file", "%s is operations.token_file, too", o.LookTokenFile)
	guarded := o.TLS != (ServerTLS{}) && (o.TokenFile != "" || o.PeopleFile != "")
	f.check(guarded || !elsewhere(o.Listen), "operations.listen",
		"%s is not loopback, and others could stop the sweep there: it needs operations.tls, and operations.token_file or operations.people_file", o.Listen)
}

// elsewhere says whether an address can be reached from other machines.
func elsewhere(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && !ip.IsLoopback()
}

func (f *faults) url(path, text string, e Environment) {
	if text == "" {
		f.required(path, text)
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		f.check(false, path, "%q: want https://host:port without user, query or fragment", text)
		return
	}
	f.check(e != Live || u.Scheme == "https", path, "%q: live needs https", text)
}

func (f *faults) files(path string, list []string) {
	f.check(len(list) > 0, path, "required: name one PEM file or more")
	for i, name := range list {
		f.required(fmt.Sprintf("%s[%d]", path, i), name)
	}
}

func (f *faults) identities(list []Identity) {
	f.check(len(list) > 0, "identities", "required: name the failed supplier's EUI and its PKI folder")
	for i, id := range list {
		path := fmt.Sprintf("identities[%d]", i)
		f.check(id.EUI != 0, path+".eui", "required")
		f.required(path+".pki_dir", id.PKIDir)
		first := slices.IndexFunc(list, func(other Identity) bool { return other.EUI == id.EUI })
		f.check(id.EUI == 0 || first == i, path+".eui", "%v is identities[%d] already", id.EUI, first)
	}
}

func (f *faults) signer(s SignerAt, k Keys, e Environment) {
	f.check(s.Socket == "" || s.URL == "", "signer.url", "there is signer.socket already")
	f.path("signer.socket", s.Socket)
	if s.URL != "" {
		f.url("signer.url", s.URL, Live)
		f.tls("signer.tls", s.TLS.Certificate, s.TLS.Key, s.TLS.Authorities)
	}
	f.oneOf("keys.in_process", k.InProcess, "", "accepted")
	f.check(s.Set() || e != Live || k.InProcess == "accepted", "signer",
		"required in live: name the signer's process, or take the risk that the sweep's own process reads the keys (keys.in_process: accepted)")
}

// dccServices are the DCC's request services, as the engine's gateway names them.
var dccServices = []string{"transform", "send_command", "non_device"}

func (f *faults) limits(l Limits, e Environment) {
	f.rate("limits.user", l.User)
	for region, r := range l.Regions {
		f.rate("limits.regions."+region.String(), r)
	}
	for service, r := range l.Services {
		path := "limits.services." + service
		f.check(slices.Contains(dccServices, service), path, "unknown service: want %s", strings.Join(dccServices, ", "))
		f.rate(path, r)
	}
	f.atLeast("limits.in_flight", l.InFlight, 1)
	f.atLeast("limits.per_hub", l.PerHub, 4) // three reads and a command
	for service, t := range l.AnomalyThresholds {
		path := "limits.anomaly_thresholds." + service.SRV()
		f.atLeast(path+".count", t.Count, 0)
		f.positive(path+".per", t.Per)
	}
	f.check(l.AnomalyMargin >= 0 && l.AnomalyMargin < 1, "limits.anomaly_margin", "%v: want 0 to under 1", l.AnomalyMargin)
	f.check(!l.IgnoreAnomalyThresholds || e != Live, "limits.ignore_anomaly_thresholds", "a live sweep keeps to them")
}

// longestBurst bounds what a burst may be worth in time, so that it stays far
// below what nanoseconds can count.
const longestBurst = 24 * time.Hour

func (f *faults) rate(path string, r Rate) {
	f.check(r.PerSecond >= 0 && !math.IsInf(r.PerSecond, 1), path+".per_second", "%v: want 0 or more", r.PerSecond)
	f.atLeast(path+".burst", r.Burst, 0)
	f.check(!(r.PerSecond > 0) || float64(max(r.Burst, 1))/r.PerSecond <= longestBurst.Seconds(), path,
		"a burst of %d at %v a second takes more than a day to earn", r.Burst, r.PerSecond)
}

func (f *faults) tripwire(path string, t Tripwire) {
	f.atLeast(path+".window", t.Window, 0)
	if t.Window == 0 {
		return
	}
	f.check(t.Minimum >= 1 && t.Minimum <= t.Window, path+".minimum", "%d: want 1 to the window's %d", t.Minimum, t.Window)
	f.check(t.Ratio > 0 && t.Ratio <= 1, path+".ratio", "%v: want over 0 to 1", t.Ratio)
}

func (f *faults) policy(p Policy) {
	for path, d := range map[string]time.Duration{
		"policy.read_wait": p.ReadWait, "policy.proof_wait_electricity": p.ProofWaitElectricity, "policy.proof_wait_gas": p.ProofWaitGas,
		"policy.arm_freshness_electricity": p.ArmFreshnessElectricity, "policy.arm_freshness_gas": p.ArmFreshnessGas,
		"policy.response_wait_electricity": p.ResponseWaitElectricity, "policy.response_wait_gas": p.ResponseWaitGas,
	} {
		f.positive(path, d)
	}
	f.check(p.EmergencyCreditBelow >= 0, "policy.emergency_credit_below", "%v: want 0 or more", p.EmergencyCreditBelow)
	for path, ladder := range map[string][]time.Duration{
		"policy.retry_electricity": p.RetryElectricity,
		"policy.retry_gas":         p.RetryGas,
	} {
		for i, wait := range ladder {
			f.positive(fmt.Sprintf("%s[%d]", path, i), wait)
		}
	}
	f.atLeast("policy.switch_tries", p.SwitchTries, 1)
	f.atLeast("policy.arm_tries", p.ArmTries, 1)
	for path, d := range map[string]time.Duration{
		"policy.dark_wait_electricity": p.DarkWaitElectricity, "policy.dark_wait_gas": p.DarkWaitGas, "policy.dark_again": p.DarkAgain,
		"policy.patience": p.Patience, "policy.step_deadline_electricity": p.StepDeadlineElectricity, "policy.step_deadline_gas": p.StepDeadlineGas,
		"policy.reread_armed_after": p.RereadArmedAfter, "policy.reread_after": p.RereadAfter, "policy.at_risk_within": p.AtRiskWithin, "policy.act_within": p.ActWithin,
	} {
		f.check(d >= 0, path, "%v: want 0s or more", d)
	}
	f.check(p.RereadShare >= 0 && p.RereadShare <= 1, "policy.reread_share", "%v: want 0 to 1", p.RereadShare)
	f.check(p.DailySpend >= 0, "policy.daily_spend", "%v: want 0 or more", p.DailySpend)
}

// authority checks what shows that a sweep may act. A live one needs all of it.
func (f *faults) authority(r Roster, g Gates, e Environment) {
	if e == Live || r.Named() {
		f.required("roster.file", r.File)
		f.required("roster.signed_by", r.SignedBy)
	}
	const longest = 31 * 24 * time.Hour
	f.check(r.ApprovalsAtMost > 0 && r.ApprovalsAtMost <= longest, "roster.approvals_at_most", "%v: want over 0s to %v", r.ApprovalsAtMost, longest)
	if e == Live {
		f.check(len(g.RevocationLists) > 0, "gates.revocation_lists", "required: name one file or URL or more")
		f.required("gates.mpids_file", g.MPIDsFile)
		f.required("gates.freeze_file", g.FreezeFile)
	}
	for i, list := range g.RevocationLists {
		f.required(fmt.Sprintf("gates.revocation_lists[%d]", i), list)
	}
	for i, list := range g.PeerRevocationLists {
		f.required(fmt.Sprintf("gates.peer_revocation_lists[%d]", i), list)
	}
	f.check(g.RevocationListAge >= 0, "gates.revocation_list_age", "%v: want 0s or more", g.RevocationListAge)
	f.positive("gates.poll", g.Poll)
	f.positive("gates.max_age", g.MaxAge)
	f.positive("gates.drain", g.Drain)
}

// classes are how a request can end, as the engine's journal names them.
var classes = []string{"negative", "no_response", "rejected", "in_doubt", "unverified"}

func (f *faults) waves(w Waves) {
	f.atLeast("waves.canary", w.Canary, 0)
	f.check(w.Growth >= 1 && !math.IsInf(w.Growth, 1), "waves.growth", "%v: want 1 or more", w.Growth)
	f.check(w.Settled > 0 && w.Settled <= 1, "waves.settled", "%v: want over 0 to 1", w.Settled)
	const longest = 7 * 24 * time.Hour
	f.check(w.Soak >= 0 && w.Soak <= longest, "waves.soak", "%v: want 0s to %v", w.Soak, longest)
	f.check(w.Settle >= 0 && w.Settle <= longest, "waves.settle", "%v: want 0s to %v", w.Settle, longest)
	for class, rule := range w.Abort {
		path := "waves.abort." + class
		f.check(slices.Contains(classes, class), path, "unknown class: want %s", strings.Join(classes, ", "))
		f.check(rule.Ratio > 0 && rule.Ratio <= 1, path+".ratio", "%v: want over 0 to 1", rule.Ratio)
		f.atLeast(path+".min_sample", rule.MinSample, 1)
		f.oneOf(path+".action", rule.Action, "pause", "halt")
	}
}

func (f *faults) columns(names []string) {
	for i, name := range names {
		path := fmt.Sprintf("carry_columns[%d]", i)
		f.required(path, name)
		f.check(slices.Index(names, name) == i, path, "%q is listed already", name)
	}
}
