package config

import (
	"time"

	"safemode/servicerequests"
)

// Config is a whole configuration. Durations of the policy run on the sweep's
// clock, all others are real time.
type Config struct {
	Environment Environment `koanf:"environment"`
	DCC         DCC         `koanf:"dcc"`
	Identities  []Identity  `koanf:"identities"` // the first is the default originator
	Signer      SignerAt    `koanf:"signer"`     // the process that has their keys; unset: this one
	Keys        Keys        `koanf:"keys"`
	Inbox       Inbox       `koanf:"inbox"`
	Operations  Operations  `koanf:"operations"`
	Journal     Journal     `koanf:"journal"`
	Notices     Notices     `koanf:"notices"`

	// CustodyDir holds the custody file of each originator's counter: a folder, or the address
	// of a custody in the database that has the sweep's journal.
	CustodyDir string `koanf:"custody_dir"`
	// CounterFloor is the least counter to be used; 0 is now, in milliseconds
	// since 1970.
	CounterFloor uint64 `koanf:"counter_floor"`
	// SimulatorClock is nil for real time.
	SimulatorClock *SimulatorClock `koanf:"simulator_clock"`

	Strategy     Strategy  `koanf:"strategy"`
	Limits       Limits    `koanf:"limits"`
	Tripwires    Tripwires `koanf:"tripwires"`
	RetryBudget  int       `koanf:"retry_budget"` // retries of the whole sweep; 0: no end
	Policy       Policy    `koanf:"policy"`
	Workers      int       `koanf:"workers"` // POSTs under way at once, for each DCC service
	Resend       Resend    `koanf:"resend"`
	Breaker      Breaker   `koanf:"breaker"`
	CarryColumns []string  `koanf:"carry_columns"` // portfolio columns to keep though the format does not name them
	SuppressFile string    `koanf:"suppress_file"` // devices not to be touched; empty: none

	// MaxRejectedShare is the share of a portfolio's rows that may be rejected for a plan to
	// be made: 0 to 1. Rows of SMETS1 meters and of empty fields do not count.
	MaxRejectedShare float64 `koanf:"max_rejected_share"`

	Transfers Transfers `koanf:"transfers"`

	Roster     Roster     `koanf:"roster"`
	Gates      Gates      `koanf:"gates"`
	Waves      Waves      `koanf:"waves"`
	WindowEnds WindowEnds `koanf:"window_ends"`
	// WindowBegins is when the next one begins, after midnight, British
	// time. Not after WindowEnds.Earliest: disablement is never suspended.
	WindowBegins time.Duration `koanf:"window_begins"`
}

// Environment says what stands at the other end.
type Environment string

// The environments. A sweep in one can never be mistaken for one in the other.
const (
	Simulator Environment = "simulator"
	Live      Environment = "live"
)

// Transfers is the list of homes that leave the supplier on days of their own.
type Transfers struct {
	File   string        `koanf:"file"`   // CSV; read at the start and whenever it changes; empty: none
	Margin time.Duration `koanf:"margin"` // how long before its day a home is left alone
}

// Roster is the file that says who may record directions, approve and operate. The holder
// of the certificate that is pinned here signs it. Required in live.
type Roster struct {
	File     string `koanf:"file"`      // its signature is beside it, with .sig added to the name
	SignedBy string `koanf:"signed_by"` // PEM file
	// ApprovalsAtMost is how long an approval may be valid. Real time.
	ApprovalsAtMost time.Duration `koanf:"approvals_at_most"`
}

// Named says whether there is a roster.
func (r Roster) Named() bool { return r.File != "" || r.SignedBy != "" }

// Gates is the evidence that this sweep may still act. Real time.
type Gates struct {
	RevocationLists []string `koanf:"revocation_lists"` // files, or http and https URLs; required in live
	// RevocationListAge is how long a list holds that does not say when the next is due.
	// 0: such a list is refused.
	RevocationListAge time.Duration `koanf:"revocation_list_age"`
	// PeerRevocationLists are lists of dcc.tls.authorities and inbox.tls.authorities. With
	// any, TLS peers must be of an issuer whose list is there.
	PeerRevocationLists []string `koanf:"peer_revocation_lists"`

	MPIDsFile   string        `koanf:"mpids_file"`   // required in live
	FreezeFile  string        `koanf:"freeze_file"`  // the signed statement that the everyday adapter is frozen; required in live
	CheckExpiry bool          `koanf:"check_expiry"` // of the supplier's certificates, on the sweep's clock
	Poll        time.Duration `koanf:"poll"`         // of URLs; files are looked at every second
	MaxAge      time.Duration `koanf:"max_age"`      // evidence that could not be renewed for longer closes its gate
	Drain       time.Duration `koanf:"drain"`        // how long answers are still taken in once a gate has closed
}

// Waves is how a plan is cut. Times run on the sweep's clock.
type Waves struct {
	Canary int     `koanf:"canary"` // meters of the first wave; 0: one wave of all
	Growth float64 `koanf:"growth"` // each wave is so many times the one before
	// Settled is the share of a wave's electricity meters that must have verdicts, or be in
	// long retries, before it soaks. In a wave of gas only it is the share of gas meters.
	Settled float64              `koanf:"settled"`
	Soak    time.Duration        `koanf:"soak"`   // after the canary
	Settle  time.Duration        `koanf:"settle"` // after each further wave
	Abort   map[string]AbortRule `koanf:"abort"`  // by class; merged over the defaults
}

// AbortRule stops a sweep where more than Ratio of at least MinSample requests of a
// wave ended in a class.
type AbortRule struct {
	Ratio     float64 `koanf:"ratio"`
	MinSample int     `koanf:"min_sample"`
	Action    string  `koanf:"action"` // pause or halt
}

// WindowEnds is when non-disablement windows end on any day but Sunday, in hours after
// midnight, British time.
type WindowEnds struct {
	Earliest time.Duration `koanf:"earliest"`
	Latest   time.Duration `koanf:"latest"`
}

// DCC has the DCC's addresses and the certificates that it may sign with.
type DCC struct {
	URL     string              `koanf:"url"` // without the services' paths
	SMKIURL string              `koanf:"smki_url"`
	EUI     servicerequests.EUI `koanf:"eui"`     // target of requests that no device answers
	Timeout time.Duration       `koanf:"timeout"` // of a whole POST
	TLS     TLS                 `koanf:"tls"`     // required in live
	// ClockApart is how far its clock and this machine's may be apart at a start.
	ClockApart time.Duration `koanf:"clock_apart"`

	// PEM files. A message that no certificate of these lists has signed is not accepted.
	TransformCertificates  []string `koanf:"transform_certificates"`
	XMLSigningCertificates []string `koanf:"xml_signing_certificates"`
	Authorities            []string `koanf:"authorities"` // the SMKI's roots and issuers

	// S1SPCertificates are those of SMETS1 Service Providers: their messages are then
	// proven as well. Nothing rests on them.
	S1SPCertificates []string `koanf:"s1sp_certificates"`
}

// TLS names the PEM files of mutual TLS.
type TLS struct {
	Certificate string `koanf:"certificate"`
	Key         string `koanf:"key"`
	Authorities string `koanf:"authorities"` // that may issue the certificate of the DCC's server
}

// Identity is one EUI of the failed supplier and the PKI folder with its keys.
type Identity struct {
	EUI    servicerequests.EUI `koanf:"eui"`
	PKIDir string              `koanf:"pki_dir"`
}

// SignerAt is where the signer answers: on a unix socket, or over mutual TLS.
type SignerAt struct {
	Socket string `koanf:"socket"`
	URL    string `koanf:"url"` // https
	TLS    TLS    `koanf:"tls"` // required with url
}

// Set says whether there is one.
func (s SignerAt) Set() bool { return s.Socket != "" || s.URL != "" }

// Keys says what somebody has taken upon themselves about keys.
type Keys struct {
	InProcess string `koanf:"in_process"` // "accepted": live reads key files in the sweep's own process
}

// Inbox is where the DCC delivers to.
type Inbox struct {
	Listen string   `koanf:"listen"`
	Path   string   `koanf:"path"`
	TLS    InboxTLS `koanf:"tls"` // required in live

	MaxBody     int64         `koanf:"max_body"` // bytes
	Connections Connections   `koanf:"connections"`
	Rates       InboxRates    `koanf:"rates"`
	Timeouts    InboxTimeouts `koanf:"timeouts"`
}

// InboxTLS is the mutual TLS of the inbox.
type InboxTLS struct {
	Certificate  string   `koanf:"certificate"` // PEM file of this server, with what it needs to chain
	Key          string   `koanf:"key"`
	Authorities  string   `koanf:"authorities"`   // that may issue the DCC's client certificate
	AllowedNames []string `koanf:"allowed_names"` // DNS names or common names of clients
}

func (t InboxTLS) none() bool {
	return t.Certificate == "" && t.Key == "" && t.Authorities == "" && len(t.AllowedNames) == 0
}

// Connections bounds the connections that are open at a time.
type Connections struct {
	Total   int `koanf:"total"`
	PerPeer int `koanf:"per_peer"`
}

// InboxRates bounds messages.
type InboxRates struct {
	PerPeer Rate `koanf:"per_peer"`
	Total   Rate `koanf:"total"`
}

// InboxTimeouts ends what takes too long.
type InboxTimeouts struct {
	Header  time.Duration `koanf:"header"`
	Message time.Duration `koanf:"message"`
	Idle    time.Duration `koanf:"idle"`
}

// Operations is where operators look and steer. An address that is not loopback
// needs TLS and a token.
type Operations struct {
	Listen    string    `koanf:"listen"`
	TLS       ServerTLS `koanf:"tls"`
	TokenFile string    `koanf:"token_file"` // to give orders with; empty: there is none

	// LookTokenFile is a token to look with, for a screen on the wall or for Prometheus. It
	// needs TokenFile or PeopleFile: somebody must be able to give orders.
	LookTokenFile string `koanf:"look_token_file"`

	// PeopleFile names the people who may look and who may give orders, each with a token
	// of their own. Required in live.
	PeopleFile string `koanf:"people_file"`
	// Redact hides device ids, MPxNs, Request IDs and messages on the page from readers who
	// may not give orders; if no people are named, from everybody.
	Redact bool `koanf:"redact"`
	// DeadMan pauses the sweep when no operator has renewed for so long. 0: never.
	DeadMan time.Duration `koanf:"dead_man"`
}

// ServerTLS names the PEM files of a server.
type ServerTLS struct {
	Certificate string `koanf:"certificate"` // with what it needs to chain
	Key         string `koanf:"key"`
}

// Journal tunes the group commit and the lease, and says who pins the journal's past.
type Journal struct {
	Linger          time.Duration `koanf:"linger"`
	BatchLimit      int           `koanf:"batch_limit"`
	Lease           time.Duration `koanf:"lease"`             // of a journal in a database; real time
	AcceptOneServer bool          `koanf:"accept_one_server"` // accepts a database that does not wait for a second server
	CheckpointKey   string        `koanf:"checkpoint_key"`    // file of journal key; empty: no checkpoints
	CheckpointEvery time.Duration `koanf:"checkpoint_every"`  // real time
}

// SimulatorClock is the faster clock of a simulator.
type SimulatorClock struct {
	Anchor time.Time `koanf:"anchor"` // zero: when the process starts
	Speed  float64   `koanf:"speed"`
}

// Strategy is which commands a sweep leans on.
type Strategy string

// The strategies.
const (
	creditMode      Strategy = "credit_mode"
	full            Strategy = "full"
	emergencyCredit Strategy = "emergency_credit"
)

// Limits bounds what leaves for the DCC. Rates run on the sweep's clock. A
// region or a service that is not named is limited by the others only, except
// that a 4G region without a limit of its own shares its plain region's.
type Limits struct {
	User     Rate                            `koanf:"user"`      // each originator by itself
	Regions  map[servicerequests.Region]Rate `koanf:"regions"`   // merged over the defaults
	Services map[string]Rate                 `koanf:"services"`  // transform, send_command, non_device
	InFlight int                             `koanf:"in_flight"` // open requests in one region
	PerHub   int                             `koanf:"per_hub"`   // open requests behind one hub, for each fuel

	// AnomalyThresholds are the DCC's, as this User set them, by SRV. A plan is
	// forecast against them, and no more is sent than they allow.
	AnomalyThresholds map[servicerequests.Service]Threshold `koanf:"anomaly_thresholds"`
	// AnomalyMargin is the share of a threshold that is kept back.
	AnomalyMargin float64 `koanf:"anomaly_margin"`
	// IgnoreAnomalyThresholds sends beyond them, to rehearse quarantine. Simulator only.
	IgnoreAnomalyThresholds bool `koanf:"ignore_anomaly_thresholds"`
	// PaceToFit cuts the pace of a plan that would cross one, instead of refusing it.
	PaceToFit bool `koanf:"pace_to_fit"`
}

// Tripwires halt a sweep by what answers together mean.
type Tripwires struct {
	Unregistered Tripwire `koanf:"unregistered"` // E4 of so many homes
	Unverified   Tripwire `koanf:"unverified"`   // messages of the DCC that cannot be proven
}

// Tripwire trips when of the last Window answers at least Minimum, and at least Ratio
// of them, are of its kind.
type Tripwire struct {
	Window  int     `koanf:"window"` // 0: off
	Minimum int     `koanf:"minimum"`
	Ratio   float64 `koanf:"ratio"`
}

// Rate is a token bucket.
type Rate struct {
	PerSecond float64 `koanf:"per_second"` // 0 is closed
	Burst     int     `koanf:"burst"`      // 0 means 1
}

// Threshold is how many requests the DCC takes in a period before it
// quarantines what comes after.
type Threshold struct {
	Count int           `koanf:"count"`
	Per   time.Duration `koanf:"per"`
}

// Policy is what is done for a meter, and when.
type Policy struct {
	ReadWait time.Duration `koanf:"read_wait"`
	// How long 1.6 to a home that may be dark waits for the reads that prove how it was found.
	ProofWaitElectricity time.Duration `koanf:"proof_wait_electricity"`
	ProofWaitGas         time.Duration `koanf:"proof_wait_gas"`

	EmergencyCreditBelow servicerequests.Millipence `koanf:"emergency_credit_below"`
	ArmBalanceAtMost     servicerequests.Millipence `koanf:"arm_balance_at_most"`

	ArmFreshnessElectricity time.Duration `koanf:"arm_freshness_electricity"`
	ArmFreshnessGas         time.Duration `koanf:"arm_freshness_gas"`
	ResponseWaitElectricity time.Duration `koanf:"response_wait_electricity"`
	ResponseWaitGas         time.Duration `koanf:"response_wait_gas"`
	// For a home that may be dark and can be reached: how long the sweep waits for an answer,
	// and when it asks again. 0: as for any other.
	DarkWaitElectricity time.Duration `koanf:"dark_wait_electricity"`
	DarkWaitGas         time.Duration `koanf:"dark_wait_gas"`
	DarkAgain           time.Duration `koanf:"dark_again"`

	RetryElectricity []time.Duration `koanf:"retry_electricity"`
	RetryGas         []time.Duration `koanf:"retry_gas"`

	SwitchTries         int  `koanf:"switch_tries"` // of 1.6
	ArmTries            int  `koanf:"arm_tries"`    // of 7.3
	GasBalanceFromProxy bool `koanf:"gas_balance_from_proxy"`
	BalanceAfter        bool `koanf:"balance_after"` // read the balance once more when the switch is confirmed

	// When a meter of which nothing is learnt is in long retries (its wave does not wait
	// for it), and when it is stuck. 0: never.
	Patience                time.Duration `koanf:"patience"`
	StepDeadlineElectricity time.Duration `koanf:"step_deadline_electricity"`
	StepDeadlineGas         time.Duration `koanf:"step_deadline_gas"`

	// When the reads that a verdict rests on are made again, of meters that are armed and
	// of a share of those on supply. 0: never.
	RereadArmedAfter time.Duration `koanf:"reread_armed_after"`
	RereadAfter      time.Duration `koanf:"reread_after"`
	RereadShare      float64       `koanf:"reread_share"`

	// Values for the order of hours at risk.
	DailySpend   servicerequests.Millipence `koanf:"daily_spend"`
	AtRiskWithin time.Duration              `koanf:"at_risk_within"`
	// ActWithin: a home that will be cut off within this time gets commands before its wave.
	// A home that is dark, or has an alert that its credit has run out, does so in any case.
	ActWithin time.Duration `koanf:"act_within"`
}

// Resend is how the same bytes are POSTed again after a lost reply.
type Resend struct {
	Wait  time.Duration `koanf:"wait"` // doubles each time
	Tries int           `koanf:"tries"`
}

// Breaker is the settings of the circuits, one for each service and region.
type Breaker struct {
	Window    time.Duration `koanf:"window"`
	MinSample int           `koanf:"min_sample"`
	Ratio     float64       `koanf:"ratio"`
	Pause     time.Duration `koanf:"pause"`
	Lease     time.Duration `koanf:"lease"`
}

// Default returns the configuration before any file was read. It is not valid:
// the file must say who acts, for whom, and where.
func Default() Config {
	return Config{
		DCC:              DCC{EUI: 0x90B3D51F30000002, Timeout: 10 * time.Second, ClockApart: 30 * time.Second},
		MaxRejectedShare: 0.05,
		Transfers:        Transfers{Margin: 24 * time.Hour},
		Inbox: Inbox{
			Listen: "127.0.0.1:8089", Path: "/smartdcc/duis",
			MaxBody: 1 << 20, Connections: Connections{Total: 512, PerPeer: 256},
			Rates: InboxRates{
				PerPeer: Rate{PerSecond: 2000, Burst: 10_000},
				Total:   Rate{PerSecond: 2000, Burst: 10_000},
			},
			Timeouts: InboxTimeouts{Header: 10 * time.Second, Message: 20 * time.Second, Idle: 2 * time.Minute},
		},
		Operations: Operations{Listen: "127.0.0.1:8090"},
		Journal:    Journal{Linger: 5 * time.Millisecond, BatchLimit: 4096, Lease: 10 * time.Second, CheckpointEvery: time.Minute},
		Notices:    Notices{SMTP: SMTP{TLS: StartTLS}},
		Strategy:   creditMode,
		Limits: Limits{
			User: Rate{PerSecond: 100, Burst: 100},
			Regions: map[servicerequests.Region]Rate{
				servicerequests.North:   {PerSecond: 40, Burst: 40},
				servicerequests.Central: {PerSecond: 60, Burst: 60},
				servicerequests.South:   {PerSecond: 60, Burst: 60},
			},
			InFlight:      20_000,
			PerHub:        8,
			AnomalyMargin: 0.05,
		},
		Policy: Policy{
			ReadWait:                60 * time.Second,
			ProofWaitElectricity:    30 * time.Minute,
			ProofWaitGas:            4 * time.Hour,
			EmergencyCreditBelow:    2 * servicerequests.Pound,
			ArmFreshnessElectricity: 60 * time.Second,
			ArmFreshnessGas:         45 * time.Minute,
			ResponseWaitElectricity: 15 * time.Minute,
			ResponseWaitGas:         25 * time.Hour,
			DarkWaitElectricity:     5 * time.Minute,
			DarkWaitGas:             65 * time.Minute,
			DarkAgain:               2 * time.Minute,
			RetryElectricity:        []time.Duration{5 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour},
			RetryGas:                []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 24 * time.Hour, 24 * time.Hour},
			SwitchTries:             3,
			ArmTries:                3,
			GasBalanceFromProxy:     true,
			BalanceAfter:            true,
			Patience:                time.Hour,
			StepDeadlineElectricity: 4 * time.Hour,
			StepDeadlineGas:         26 * time.Hour,
			RereadArmedAfter:        time.Hour,
			RereadAfter:             24 * time.Hour,
			RereadShare:             0.01,
			DailySpend:              5 * servicerequests.Pound,
			AtRiskWithin:            24 * time.Hour,
			ActWithin:               2 * time.Hour,
		},
		Tripwires: Tripwires{
			Unregistered: Tripwire{Window: 200, Minimum: 10, Ratio: 0.2},
			Unverified:   Tripwire{Window: 200, Minimum: 50, Ratio: 0.5},
		},
		Workers: 32,
		Resend:  Resend{Wait: 2 * time.Second, Tries: 5},
		Breaker: Breaker{
			Window: 30 * time.Second, MinSample: 20, Ratio: 0.5,
			Pause: 15 * time.Second, Lease: 60 * time.Second,
		},
		Roster: Roster{ApprovalsAtMost: 72 * time.Hour},
		Gates:  Gates{Poll: time.Minute, MaxAge: time.Hour, Drain: time.Minute},
		Waves: Waves{
			Canary: 40, Growth: 10, Settled: 0.95, Soak: 20 * time.Minute, Settle: time.Minute,
			Abort: map[string]AbortRule{
				"negative":    {0.3, 20, "pause"},
				"no_response": {0.6, 20, "pause"},
				"rejected":    {0.2, 20, "pause"},
				"in_doubt":    {0.3, 20, "pause"},
				"unverified":  {0.1, 20, "pause"},
			},
		},
		WindowEnds:   WindowEnds{Earliest: 9 * time.Hour, Latest: 11 * time.Hour},
		WindowBegins: 16 * time.Hour,
	}
}
