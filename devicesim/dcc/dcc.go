package dcc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/devicesim/hub"
	"safemode/devicesim/meter"
	"safemode/devicesim/schedule"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/recent"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// Options is what a DCC is made of. Fields without a default are required.
type Options struct {
	Clock  clock.Clock
	Agenda *schedule.Agenda
	Hubs   *hub.Hubs
	Fleet  *fleet.Fleet
	Meters Meters
	Line   Line

	// Send hands a signed response or alert to the inbox; it must not block. arrived is
	// called when the inbox has taken it, from many goroutines; nil: nobody asks.
	Send func(response []byte, arrived func(at time.Time))

	Transform    smki.SigningIdentity
	XMLSigning   smki.SigningIdentity
	KeyAgreement smki.AgreementIdentity // its EUI is the DCC's
	Users        []User

	// Others are certificates under which Users sign that have no role for any service
	// here, and further certificates of the Users above.
	Others []*smki.Certificate

	// Form draws how the next document about a device and a service is written; 0 and
	// empty: about none. It is called from many goroutines. Nil: all are compact.
	Form func(device servicerequests.EUI, srv string) fault.Form

	// Swapped says whether a home's hub was swapped, and Exchanged whether a meter took the
	// place of another: see [fault.Variety]. Called from many goroutines; nil: none.
	Swapped, Exchanged func(servicerequests.EUI) bool

	// LeastLatency is how long after its acknowledgement a response comes at least, in real
	// time: on a fast clock it could come before the User has read that. 0: it may.
	LeastLatency time.Duration

	// Renewed signs in place of XMLSigning from when IsRenewed says so, which is called
	// from many goroutines. Without a key: never.
	Renewed   smki.SigningIdentity
	IsRenewed func() bool

	// ReplyLie decides which of some lies, if any, a reply tells about a device. It
	// is called from many goroutines, once for each POST. Nil: the truth.
	ReplyLie func(among []fault.Lie, id servicerequests.RequestID, device servicerequests.EUI, srv string) fault.Lie

	History  *history.Book // of what is accepted, answered and delivered; nil: none is kept
	Register Register
	// Raise makes an alert of a device, under the counter after the meter's last; nil if the
	// simulator does not have its supplier's keys. Only other traffic needs it.
	Raise func(m fleet.Meter, code meter.AlertCode, at time.Time) ([]byte, error)

	Rules      fault.Rules           // those in force at first; see [DCC.SetRules]
	Log        *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: metrics are kept and not shown
}

// Register is what the DCC knows of meters and Users now. Its methods are called
// from many goroutines.
type Register interface {
	// Supplier returns whom a meter of the fleet is registered to.
	Supplier(meter int) servicerequests.EUI

	// Suspended says whether a device's status in the inventory is Suspended.
	Suspended(device servicerequests.EUI) bool

	// Refusal returns the code with which the DCC answers whatever a User asks;
	// empty: it takes the User's requests.
	Refusal(user servicerequests.EUI) servicerequests.ResponseCode
}

// Meters is the population behind the hubs. Its methods are called from many
// goroutines.
type Meters interface {
	// BrokerSecret returns the secret that a device shares with the DCC's access control
	// broker. Either key gives it, so a simulator works it out once for both.
	BrokerSecret(device servicerequests.EUI) ([32]byte, error)

	// Execute hands a Command to a device and returns what it sends.
	Execute(c Command) Sent

	// Due has a device carry out a Command that it has kept until its time, and
	// returns the Alerts that tell the outcome, none if it keeps it no more, and
	// others that it raises.
	Due(c Command) (outcome, others []Alert)
}

// Command is a Command that has arrived at its device.
type Command struct {
	ID      servicerequests.RequestID // the target is the device: ESME, GSME or GPF
	SRV     string                    // Service Reference Variant
	Meter   int                       // index in the fleet; a GPF has its gas meter's
	Message []byte                    // with MAC Header and MAC
	At      time.Time                 // the simulator's time
	Skew    time.Duration             // how far the device's clock is ahead
	Fault   meter.Fault

	// SignedBy is the key whose signature of Message the DCC has verified; nil: none.
	SignedBy *ecdsa.PublicKey
}

// Sent is what a device sends after a Command.
type Sent struct {
	Response []byte  // nil: none
	Alerts   []Alert // in the order they are sent

	// Due is when a device that has kept the Command carries it out, on the
	// simulator's clock. Zero: it keeps nothing.
	Due time.Time
}

// Alert is an alert as a device sends it.
type Alert struct {
	Code    uint16
	Message []byte
	Arrived func(at time.Time) // called when the inbox has taken it; nil: nobody asks
}

// Line says what happens between User and device. Its method is called once
// for each accepted Command, from many goroutines.
type Line interface {
	Fate(id servicerequests.RequestID, srv string) Fate
}

// Fate is what happens to one Command. The zero Fate is that nothing goes
// wrong and nothing takes time. Times are the simulator's.
type Fate struct {
	At                  time.Time     // when it was decided, on the simulator's clock
	OutOfReach          time.Duration // the hub is, for so long: beyond the DCC's retries that is E20
	Takes               time.Duration // from the hub's turn to the answer
	Place               float64       // at a hub of random order; see [hub.Exchange]
	Device              meter.Fault
	Skew                time.Duration // how far the device's clock is ahead
	NoAnswer            bool          // the device never gets the Command: E21
	Discarded           bool          // the hub drops the Command for its radio's duty cycle: a DCC Alert, then E21
	ResponseLost        bool          // executed, but the response is lost: E21
	AcknowledgementLost bool          // accepted, but the connection breaks before the answer
	ResponseRepeated    bool          // delivered twice
	ResponseDelayed     time.Duration
	E20Untold           bool // the User is not told that there was no way to the device
	E21Untold           bool // the DCC does not say that the device did not answer

	Lie  fault.Lie // one of [fault.DeliveryLies]
	Kept bool      // the response is kept, to be replayed
}

// DCC answers Users. Its methods may be called from any goroutine.
type DCC struct {
	Options
	eui     servicerequests.EUI
	users   map[xmldsig.KeyRef]*User
	signers struct{ transform, xml, renewed, stranger xmldsig.Signer }
	taken   *recent.Map[half, accepted]
	rules   atomic.Pointer[rules]
	anomaly anomaly
	metrics *metrics

	previous *recent.Map[answered, []byte] // the devices' last answers, if they are kept
	order    order
}

// How much is remembered: the requests of about an hour at full rate.
const (
	rememberedRequests = 1 << 17
	rememberedAnswers  = 1 << 17
)

// New checks the options and returns a DCC.
func New(o Options) (*DCC, error) {
	if o.Transform.Key == nil || o.XMLSigning.Key == nil || o.KeyAgreement.Key == nil {
		return nil, errors.New("a DCC needs the private keys of dcc/transform, dcc/xml-signing and dcc/acb-key-agreement")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	d := &DCC{
		Options: o,
		eui:     o.KeyAgreement.Certificate.EUI,
		users:   map[xmldsig.KeyRef]*User{},
		taken:   recent.New[half, accepted](rememberedRequests),
		metrics: newMetrics(),

		previous: recent.New[answered, []byte](rememberedAnswers),
	}
	d.SetRules(o.Rules)
	if err := d.metrics.register(o.Registerer); err != nil {
		return nil, err
	}
	d.signers.transform = signer(o.Transform)
	d.signers.xml = signer(o.XMLSigning)
	if o.Renewed.Key != nil {
		d.signers.renewed = signer(o.Renewed)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("key of no certificate: %w", err)
	}
	d.signers.stranger = xmldsig.Signer{Key: stranger, Issuer: d.signers.transform.Issuer, Serial: d.signers.transform.Serial}
	for _, u := range o.Users {
		if err := d.know(u.XMLSigning, &u); err != nil {
			return nil, err
		}
	}
	for _, c := range o.Others {
		u := &User{XMLSigning: c, Roles: []servicerequests.Role{}}
		if i := slices.IndexFunc(o.Users, func(known User) bool { return known.eui() == c.EUI }); i >= 0 {
			known := o.Users[i]
			u, known.XMLSigning = &known, c
		}
		if err := d.know(c, u); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// know has requests that are signed under a certificate be a User's.
func (d *DCC) know(c *smki.Certificate, u *User) error {
	ref, err := xmldsig.NewKeyRef(c.Issuer, c.SerialText())
	if err != nil {
		return fmt.Errorf("user %s: %w", c.EUI, err)
	}
	d.users[ref] = u
	return nil
}

func signer(identity smki.SigningIdentity) xmldsig.Signer {
	return xmldsig.Signer{Key: identity.Key, Issuer: identity.Certificate.Issuer, Serial: identity.Certificate.SerialText()}
}

// xmlSigner signs what carries no Pre-Command.
func (d *DCC) xmlSigner() *xmldsig.Signer {
	if d.Renewed.Key != nil && d.IsRenewed() {
		return &d.signers.renewed
	}
	return &d.signers.xml
}

// Handler returns the three services.
func (d *DCC) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, service := range services {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { d.serve(w, r, service) })
	}
	return mux
}

// Duplicates returns how many requests had been accepted before and were
// answered again without effect.
func (d *DCC) Duplicates() uint64 { return d.metrics.duplicates.Load() }
