package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"safemode/servicerequests"
)

// The environments. A sweep in one can never be mistaken for one in the other.
const (
	Simulator = "simulator"
	Live      = "live"
)

// Config is the whole file.
type Config struct {
	Environment string                `koanf:"environment"` // simulator or live
	DCC         DCC                   `koanf:"dcc"`
	Identities  []Identity            `koanf:"identities"` // the first is the default originator
	Inbox       Inbox                 `koanf:"inbox"`
	Operations  Operations            `koanf:"operations"`
	CustodyDir  string                `koanf:"custody_dir"`     // counter custody, one file per originator
	Floor       uint64                `koanf:"counter_floor"`   // first originator counter; 0: milliseconds since 1970
	Clock       SimulatorClock        `koanf:"simulator_clock"` // simulator only
	Strategy    string                `koanf:"strategy"`        // credit_mode, full or emergency_credit
	Limits      Limits                `koanf:"limits"`
	Policy      Policy                `koanf:"policy"`
	Workers     int                   `koanf:"workers"`       // POSTs under way at once, for each DCC service
	Resend      Resend                `koanf:"resend"`        // of the same bytes after a lost reply
	Breaker     Breaker               `koanf:"breaker"`       // circuits per DCC service and region
	Suppress    []servicerequests.EUI `koanf:"suppress"`      // devices that must not be touched
	Carry       []string              `koanf:"carry_columns"` // extra portfolio columns to keep

	dir string // of the file: relative paths start there
}

// DCC says where the DCC is and how it proves itself.
type DCC struct {
	URL     string              `koanf:"url"`      // of the three request services, without their paths
	SMKIURL string              `koanf:"smki_url"` // of the certificate service
	EUI     servicerequests.EUI `koanf:"eui"`      // target of requests that no device answers
	Timeout time.Duration       `koanf:"timeout"`  // of one POST, in real time

	// Mutual TLS; all three or none. Required in environment live.
	Certificate string `koanf:"certificate"` // PEM file
	Key         string `koanf:"key"`         // PEM file
	Authorities string `koanf:"authorities"` // PEM file
}

// Identity is one of the failed supplier's identities.
type Identity struct {
	EUI    servicerequests.EUI `koanf:"eui"`
	PKIDir string              `koanf:"pki_dir"` // PKI folder: supplier/* with keys, dcc/* and ca/* certificates
}

// Inbox is where the DCC delivers answers and alerts.
type Inbox struct {
	Listen string `koanf:"listen"` // host:port
	Path   string `koanf:"path"`
}

// Operations is the address for metrics and control.
type Operations struct {
	Listen string `koanf:"listen"` // host:port; loopback
}

// SimulatorClock runs the engine's clock faster, as the simulator's.
type SimulatorClock struct {
	Speed float64 `koanf:"speed"` // times real time
}

// Limit is a token bucket.
type Limit struct {
	PerSecond float64 `koanf:"per_second"`
	Burst     int     `koanf:"burst"`
}

// Limits bound what is sent and what is open. Rates run on the sweep's clock.
type Limits struct {
	User     Limit            `koanf:"user"`      // for each originator
	Regions  map[string]Limit `koanf:"regions"`   // North, Central, South; 4G regions share their plain region's unless named
	Services map[string]Limit `koanf:"services"`  // transform, send_command, non_device
	InFlight int              `koanf:"in_flight"` // open requests in one region
	PerHub   int              `koanf:"per_hub"`   // open requests behind one communications hub, for each fuel
}

// Policy is what is done per meter. Durations run on the sweep's clock.
type Policy struct {
	ReadWait             time.Duration              `koanf:"read_wait"`
	EmergencyCreditBelow servicerequests.Millipence `koanf:"emergency_credit_below"`
	ArmBalanceAtMost     servicerequests.Millipence `koanf:"arm_balance_at_most"`
	ArmFresh             Durations                  `koanf:"arm_fresh"`
	ResponseWait         Durations                  `koanf:"response_wait"`
	Retry                Ladders                    `koanf:"retry"`
	SwitchTries          int                        `koanf:"switch_tries"`
	ArmTries             int                        `koanf:"arm_tries"`
	GasBalance           string                     `koanf:"gas_balance"` // proxy or meter
}

// Durations is a setting for each fuel.
type Durations struct {
	Electricity time.Duration `koanf:"electricity"`
	Gas         time.Duration `koanf:"gas"`
}

// Ladders are waits between tries for each fuel; when one is used up, no more is
// tried.
type Ladders struct {
	Electricity []time.Duration `koanf:"electricity"`
	Gas         []time.Duration `koanf:"gas"`
}

// Resend is how the same bytes are POSTed again.
type Resend struct {
	After time.Duration `koanf:"after"` // doubles each time
	Times int           `koanf:"times"`
}

// Breaker sets the circuits. Durations are real time.
type Breaker struct {
	Window    time.Duration `koanf:"window"`
	MinSample int           `koanf:"min_sample"`
	Ratio     float64       `koanf:"ratio"`
	Pause     time.Duration `koanf:"pause"`
}

// Default returns the configuration that an empty file stands for. It is not
// complete: identities must be named.
func Default() Config {
	return Config{
		Environment: Simulator,
		DCC: DCC{
			URL: "http://127.0.0.1:8079", SMKIURL: "http://127.0.0.1:8083",
			EUI: 0x90B3D51F30000002, Timeout: 10 * time.Second,
		},
		Inbox:      Inbox{Listen: "127.0.0.1:8089", Path: "/smartdcc/duis"},
		Operations: Operations{Listen: "127.0.0.1:8090"},
		CustodyDir: "custody",
		Clock:      SimulatorClock{Speed: 1},
		Strategy:   "credit_mode",
		Limits: Limits{
			User: Limit{50, 50},
			Regions: map[string]Limit{
				"North": {25, 25}, "Central": {25, 25}, "South": {25, 25},
			},
			Services: map[string]Limit{
				"transform": {50, 50}, "send_command": {50, 50}, "non_device": {50, 50},
			},
			InFlight: 20_000, PerHub: 8,
		},
		Policy: Policy{
			ReadWait:             time.Minute,
			EmergencyCreditBelow: 2 * servicerequests.Pound,
			ArmFresh:             Durations{time.Minute, 45 * time.Minute},
			ResponseWait:         Durations{5 * time.Minute, 25 * time.Hour},
			Retry: Ladders{
				Electricity: []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour},
				Gas:         []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour},
			},
			SwitchTries: 3, ArmTries: 2, GasBalance: "proxy",
		},
		Workers: 32,
		Resend:  Resend{After: 2 * time.Second, Times: 5},
		Breaker: Breaker{Window: 30 * time.Second, MinSample: 20, Ratio: 0.5, Pause: 15 * time.Second},
	}
}

// Path resolves a path of the file against the file's folder.
func (c *Config) Path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(c.dir, name)
}

// Load reads and validates a configuration file.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c.dir = filepath.Dir(path)
	return c, nil
}

// Validate joins all faults, each with the path of its key.
func (c *Config) Validate() error {
	var v faults
	v.oneOf("environment", c.Environment, Simulator, Live)
	v.oneOf("strategy", c.Strategy, "credit_mode", "full", "emergency_credit")
	v.oneOf("policy.gas_balance", c.Policy.GasBalance, "proxy", "meter")
	v.url("dcc.url", c.DCC.URL)
	v.url("dcc.smki_url", c.DCC.SMKIURL)
	v.address("inbox.listen", c.Inbox.Listen)
	v.address("operations.listen", c.Operations.Listen)
	v.require("inbox.path", strings.HasPrefix(c.Inbox.Path, "/"), "must start with /")
	v.require("dcc.eui", c.DCC.EUI != 0, "is required")
	v.require("custody_dir", c.CustodyDir != "", "is required")
	v.require("identities", len(c.Identities) > 0, "at least one identity is required")
	for i, id := range c.Identities {
		path := fmt.Sprintf("identities[%d]", i)
		v.require(path+".eui", id.EUI != 0, "is required")
		v.require(path+".pki_dir", id.PKIDir != "", "is required")
		twin := slices.IndexFunc(c.Identities, func(o Identity) bool { return o.EUI == id.EUI })
		v.require(path+".eui", twin == i, "stands twice")
	}
	c.validateLimits(&v)
	c.validatePolicy(&v)
	c.validateEnvironment(&v)
	v.require("counter_floor", c.Floor <= servicerequests.MaxCounter, "must be at most 2^63-1")
	v.require("workers", c.Workers >= 1 && c.Workers <= 4096, "must be 1 to 4096")
	v.require("resend.times", c.Resend.Times >= 0 && c.Resend.Times <= 20, "must be 0 to 20")
	v.positive("resend.after", c.Resend.After)
	v.positive("dcc.timeout", c.DCC.Timeout)
	v.positive("breaker.window", c.Breaker.Window)
	v.positive("breaker.pause", c.Breaker.Pause)
	v.require("breaker.min_sample", c.Breaker.MinSample >= 1, "must be at least 1")
	v.require("breaker.ratio", c.Breaker.Ratio > 0 && c.Breaker.Ratio <= 1, "must be over 0 and at most 1")
	return errors.Join(v...)
}

func (c *Config) validateLimits(v *faults) {
	v.limit("limits.user", c.Limits.User)
	for name, limit := range c.Limits.Regions {
		_, err := servicerequests.ParseRegion(name)
		v.require("limits.regions."+name, err == nil, "is no CSP region")
		v.limit("limits.regions."+name, limit)
	}
	for name, limit := range c.Limits.Services {
		v.oneOf("limits.services", name, "transform", "send_command", "non_device")
		v.limit("limits.services."+name, limit)
	}
	v.require("limits.in_flight", c.Limits.InFlight >= 1, "must be at least 1")
	v.require("limits.per_hub", c.Limits.PerHub >= 4, "must be at least 4: three reads and a command")
}

func (c *Config) validatePolicy(v *faults) {
	p := c.Policy
	v.positive("policy.read_wait", p.ReadWait)
	v.positive("policy.arm_fresh.electricity", p.ArmFresh.Electricity)
	v.positive("policy.arm_fresh.gas", p.ArmFresh.Gas)
	v.positive("policy.response_wait.electricity", p.ResponseWait.Electricity)
	v.positive("policy.response_wait.gas", p.ResponseWait.Gas)
	for fuel, ladder := range map[string][]time.Duration{"electricity": p.Retry.Electricity, "gas": p.Retry.Gas} {
		for i, wait := range ladder {
			v.positive(fmt.Sprintf("policy.retry.%s[%d]", fuel, i), wait)
		}
	}
	v.require("policy.switch_tries", p.SwitchTries >= 1 && p.SwitchTries <= 10, "must be 1 to 10")
	v.require("policy.arm_tries", p.ArmTries >= 1 && p.ArmTries <= 5, "must be 1 to 5")
}

func (c *Config) validateEnvironment(v *faults) {
	tls := c.DCC.Certificate != "" && c.DCC.Key != "" && c.DCC.Authorities != ""
	none := c.DCC.Certificate == "" && c.DCC.Key == "" && c.DCC.Authorities == ""
	v.require("dcc", tls || none, "certificate, key and authorities go together")
	v.require("simulator_clock.speed", c.Clock.Speed > 0 && c.Clock.Speed <= 100_000, "must be over 0 and at most 100000")
	if c.Environment == Live {
		v.require("simulator_clock.speed", c.Clock.Speed == 1, "must be 1 in environment live")
		v.require("dcc", tls, "environment live needs mutual TLS: certificate, key and authorities")
		v.require("dcc.url", strings.HasPrefix(c.DCC.URL, "https://"), "must be https in environment live")
	}
	host, _, err := net.SplitHostPort(c.Operations.Listen)
	if ip := net.ParseIP(host); err == nil {
		v.require("operations.listen", host == "localhost" || ip != nil && ip.IsLoopback(), "must be a loopback address")
	}
}

// faults collects what is wrong, with paths.
type faults []error

func (v *faults) require(path string, ok bool, text string) {
	if !ok {
		*v = append(*v, fmt.Errorf("%s: %s", path, text))
	}
}

func (v *faults) positive(path string, d time.Duration) { v.require(path, d > 0, "must be over 0") }

func (v *faults) oneOf(path, value string, allowed ...string) {
	v.require(path, slices.Contains(allowed, value), fmt.Sprintf("%q: must be one of %s", value, strings.Join(allowed, ", ")))
}

func (v *faults) url(path, text string) {
	u, err := url.Parse(text)
	v.require(path, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "",
		fmt.Sprintf("%q: must be an http or https URL", text))
}

func (v *faults) address(path, text string) {
	_, _, err := net.SplitHostPort(text)
	v.require(path, err == nil, fmt.Sprintf("%q: must be host:port", text))
}

func (v *faults) limit(path string, l Limit) {
	v.require(path+".per_second", l.PerSecond > 0 && !math.IsInf(l.PerSecond, 0) && !math.IsNaN(l.PerSecond), "must be over 0")
	v.require(path+".burst", l.Burst >= 1, "must be at least 1")
}
