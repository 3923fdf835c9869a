package devicesim

import (
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"safemode/devicesim/dcc"
	"safemode/devicesim/delivery"
	"safemode/devicesim/devicepki"
	"safemode/devicesim/fault"
	"safemode/devicesim/fleet"
	"safemode/devicesim/history"
	"safemode/devicesim/hub"
	"safemode/devicesim/meter"
	"safemode/devicesim/schedule"
	"safemode/devicesim/smkiservice"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/smki"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// ErrNotTest marks keys or certificates that are not of a test PKI.
var ErrNotTest = errors.New("not of a test PKI")

// Options says what is simulated. Fleet and PKI are required.
type Options struct {
	Fleet *fleet.Fleet // taken over: nobody else may change it while the simulator lives
	PKI   *smki.Folder // with the DCC's keys; of the supplier the certificates are enough
	Users []dcc.User   // who may send requests besides the folder's supplier

	Clock     clock.Clock
	Faults    fault.Profile // the zero profile: no fault and no latency
	Profiles  fs.FS         // more of them, by name, for the control API; nil: none
	Behaviour meter.Behaviour
	// Life is what happens to meters by themselves; the zero Life: nothing. Seed,
	// Behaviour, PressFaults and BelowInSuspension are set here, and Began to now where it is zero.
	Life meter.Life
	// DarkUntil has it kept for how long supplies are not on, up to then: see
	// [Simulator.Dark]. Zero: it is not kept. It needs a Life in which time passes.
	DarkUntil time.Time

	// Addresses to listen on, host:port; an empty one takes a free port on
	// loopback. Control must be loopback.
	Listen     string // the DCC's services
	SMKIListen string
	Control    string

	// TLS is the DCC's side of mutual TLS: its certificate, as ClientCAs the authorities
	// of Users, and as RootCAs those of their inboxes. The control API has none. Nil:
	// plain HTTP.
	TLS *tls.Config

	RespondTo string // URL of the User's inbox; may be set later

	// Deliveries is how many messages may be on their way to the inbox at a time. 0: 64.
	Deliveries int
	// LeastLatency is how long after its acknowledgement a response comes at least, in real
	// time. 0: it may come before.
	LeastLatency time.Duration

	// Forgets has no history kept of what devices did and what was delivered, which
	// would grow with every command. [Simulator.History] then knows nothing.
	Forgets bool

	// Forbidden is called when a device gets a command outside the permitted set
	// with a valid signature of its supplier, so that a test can fail at once; from
	// many goroutines. Nil: it is logged and counted.
	Forbidden func(device servicerequests.EUI, useCase string)

	Log        *zap.Logger           // nil: none
	Registerer prometheus.Registerer // nil: a registry of its own, shown at /metrics
}

// Simulator is a simulated DCC with its meters. Its methods may be called from
// any goroutine, also while Run runs and after it.
type Simulator struct {
	fleet      *fleet.Fleet
	clock      clock.Clock
	agenda     *schedule.Agenda
	pool       *schedule.Pool
	hubs       *hub.Hubs
	courier    *delivery.Courier
	line       *line
	profiles   fs.FS
	population *population
	history    *history.Book // nil: none is kept
	tally      *tally
	dcc        *dcc.DCC
	others     *others
	log        *zap.Logger

	servers [3]server // DUIS, SMKI, control
}

type server struct {
	listener net.Listener
	http     *http.Server
}

// New builds a simulator and binds its addresses. Run serves them; a simulator
// that is not run must be closed. Keys and certificates that are not of a test
// PKI are refused with [ErrNotTest].
func New(o Options) (*Simulator, error) {
	switch {
	case o.Fleet == nil || o.PKI == nil:
		return nil, errors.New("a simulator needs a fleet and a PKI folder")
	case !o.DarkUntil.IsZero() && !o.Life.Passes():
		return nil, errors.New("dark hours need meters to which something happens by itself")
	}
	if err := checkTestPKI(o.PKI, o.Users); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	o.Clock = o.Clock.Start(time.Time{})
	began := o.Clock.Now()
	s := &Simulator{
		fleet: o.Fleet, clock: o.Clock, log: o.Log,
		agenda:   schedule.New(o.Clock),
		pool:     schedule.NewPool(o.Clock, runtime.GOMAXPROCS(0)),
		line:     newLine(o.Clock, o.Fleet, o.PKI.Supplier.XMLSigning.Certificate.EUI, o.Faults),
		tally:    newTally(),
		profiles: o.Profiles,
	}
	if !o.Forgets {
		s.history = &history.Book{}
	}
	s.hubs = hub.New(hub.Wakes{Seed: o.Fleet.Seed, Began: began}, o.Faults.Hubs, o.Clock, s.agenda, s.pool.Do)
	s.courier = delivery.New(delivery.Options{Clock: o.Clock, Agenda: s.agenda, Workers: o.Deliveries, TLS: o.TLS, Log: o.Log.Named("delivery")})
	s.courier.SetURL(o.RespondTo)
	if err := s.buildDevices(o, began); err != nil {
		return nil, err
	}
	if err := s.buildDCC(o); err != nil {
		return nil, err
	}
	s.others = &others{s: s, keeps: !o.Forgets}
	s.clock.Begin() // until Run has set the first events: the clock must not jump past a timer before
	return s, s.listen(o)
}

// checkTestPKI refuses whatever could be somebody's real key.
func checkTestPKI(f *smki.Folder, users []dcc.User) error {
	certificates := append(f.Authorities(),
		f.Supplier.XMLSigning.Certificate, f.Supplier.DigitalSigning.Certificate, f.Supplier.KeyAgreement.Certificate,
		f.DCC.Transform.Certificate, f.DCC.XMLSigning.Certificate, f.DCC.ACBKeyAgreement.Certificate)
	if f.DCC.Renewed.Certificate != nil {
		certificates = append(certificates, f.DCC.Renewed.Certificate)
	}
	certificates = append(certificates, f.Others...)
	for _, u := range users {
		certificates = append(certificates, u.XMLSigning, u.DigitalSigning, u.KeyAgreement)
	}
	for _, c := range certificates {
		if !c.IsTest() {
			return fmt.Errorf("certificate %s issued by %q: %w", c.SerialText(), c.Issuer, ErrNotTest)
		}
	}
	return nil
}

func (s *Simulator) users(o Options) []dcc.User {
	supplier := o.PKI.Supplier
	return append([]dcc.User{{
		XMLSigning:     supplier.XMLSigning.Certificate,
		DigitalSigning: supplier.DigitalSigning.Certificate,
		KeyAgreement:   supplier.KeyAgreement.Certificate,
	}}, o.Users...)
}

func (s *Simulator) buildDevices(o Options, began time.Time) error {
	pki, err := devicepki.New(o.Fleet.Seed, o.PKI.DeviceIssuing)
	if err != nil {
		return err
	}
	pki.Renewed, pki.Twin = s.line.renewed, s.line.twin
	broker, err := o.PKI.DCC.ACBKeyAgreement.Certificate.ECDH()
	if err != nil {
		return fmt.Errorf("key of the access control broker: %w", err)
	}
	suppliers := map[servicerequests.EUI]meter.SupplierKeys{}
	for _, u := range s.users(o) {
		var agreement *ecdh.PublicKey
		if agreement, err = u.KeyAgreement.ECDH(); err != nil {
			return fmt.Errorf("key of supplier %v: %w", u.KeyAgreement.EUI, err)
		}
		suppliers[u.KeyAgreement.EUI] = meter.SupplierKeys{Signing: u.DigitalSigning.PublicKey, Agreement: agreement}
	}
	life := o.Life
	life.Seed, life.Behaviour, life.PressFaults = o.Fleet.Seed, o.Behaviour, s.line.pressFault
	life.BelowInSuspension = s.line.belowInSuspension
	if life.Began.IsZero() {
		life.Began = began
	}
	s.population = newPopulation(o.Fleet, life, pki, meter.Options{
		PKI: pki, Broker: broker, Suppliers: suppliers, Behaviour: o.Behaviour,
	}, s.tally, o.Log.Named("meter"))
	s.population.history, s.population.forbidden, s.population.send = s.history, o.Forbidden, s.unasked
	s.population.darkUntil, s.population.counter, s.population.comes = o.DarkUntil, s.line.counter, s.line.alert
	s.population.credentials = s.line.credentials
	return nil
}

func (s *Simulator) buildDCC(o Options) (err error) {
	s.dcc, err = dcc.New(dcc.Options{
		Clock: o.Clock, Agenda: s.agenda, Hubs: s.hubs, Fleet: o.Fleet,
		Meters: s.population, Line: s.line, Send: s.courier.Send,
		Transform: o.PKI.DCC.Transform, XMLSigning: o.PKI.DCC.XMLSigning, KeyAgreement: o.PKI.DCC.ACBKeyAgreement,
		Renewed: o.PKI.DCC.Renewed, IsRenewed: s.line.dccRenewed,
		LeastLatency: o.LeastLatency, Form: s.line.form, Swapped: s.line.swapped, Exchanged: s.line.exchanged,
		ReplyLie: s.line.ReplyLie, Users: s.users(o), Others: o.PKI.Others, History: s.history, Register: s.line, Rules: o.Faults.Rules, Raise: s.population.raise,
		Log: o.Log.Named("dcc"), Registerer: o.Registerer,
	})
	return err
}

// certificateService serves the folder's certificates and the devices'.
func (s *Simulator) certificateService(o Options) http.Handler {
	organisations := []*smki.Certificate{
		o.PKI.DCC.Transform.Certificate, o.PKI.DCC.XMLSigning.Certificate, o.PKI.DCC.ACBKeyAgreement.Certificate,
	}
	if renewed := o.PKI.DCC.Renewed.Certificate; renewed != nil {
		organisations = append(organisations, renewed)
	}
	for _, u := range s.users(o) {
		organisations = append(organisations, u.XMLSigning, u.DigitalSigning, u.KeyAgreement)
	}
	authorities := o.PKI.Authorities()
	if o.PKI.DeviceIssuing.Key == nil {
		authorities = append(authorities, s.population.pki.Issuer())
	}
	return smkiservice.New(smkiservice.Options{
		Organisations: organisations, Authorities: authorities, Devices: s.population, Decimal: s.line.decimal,
		Revoked: func(organisation servicerequests.EUI) bool { return s.line.Refusal(organisation) != "" }, Log: o.Log.Named("smki"),
	})
}

// drainWithin is how long a stop waits for requests under way.
const drainWithin = 2 * time.Second

// Run serves until ctx ends, lets requests under way finish, and stops what is
// left: commands that wait at a hub are never carried out, and messages that
// wait for the inbox are lost. It is called once.
func (s *Simulator) Run(ctx context.Context) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var working sync.WaitGroup
	working.Go(func() { s.agenda.Run(work) })
	working.Go(func() { s.pool.Run(work) })
	working.Go(func() { s.courier.Run(work) })
	s.clock.Begin() // until watch has set its first timer
	working.Go(func() { s.population.watch(work, s.clock) })
	s.others.run(0)
	s.tellLeaving()
	s.clock.End() // of New

	ended := make(chan error, len(s.servers))
	for _, server := range s.servers {
		go func() { ended <- server.http.Serve(server.listener) }()
	}
	var faults []error
	running := len(s.servers)
	select {
	case <-ctx.Done():
	case err := <-ended:
		faults = append(faults, err)
		running--
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	for _, server := range s.servers {
		// A peer that opened a connection and never used it keeps Shutdown waiting;
		// that is no fault of the simulator's.
		if err := server.http.Shutdown(drain); err != nil {
			faults = append(faults, server.http.Close())
		}
	}
	for range running {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			faults = append(faults, err)
		}
	}
	stopWork()
	working.Wait()
	return errors.Join(faults...)
}

// Close releases the addresses of a simulator that is not run.
func (s *Simulator) Close() error {
	var faults []error
	for _, server := range s.servers {
		if server.listener != nil {
			faults = append(faults, server.listener.Close())
		}
	}
	return errors.Join(faults...)
}

// DUISAddr returns the host:port of the DCC's services.
func (s *Simulator) DUISAddr() string { return s.servers[0].listener.Addr().String() }

// SMKIAddr returns the host:port of the SMKI service.
func (s *Simulator) SMKIAddr() string { return s.servers[1].listener.Addr().String() }

// ControlAddr returns the host:port of the control API.
func (s *Simulator) ControlAddr() string { return s.servers[2].listener.Addr().String() }

// SetRespondTo changes the URL of the User's inbox.
func (s *Simulator) SetRespondTo(url string) { s.courier.SetURL(url) }

// SetFaults replaces the profile from now on. Requests that were accepted before
// are treated by the old one.
func (s *Simulator) SetFaults(p fault.Profile) {
	s.line.set(p)
	s.hubs.SetRules(p.Hubs)
	s.dcc.SetRules(p.Rules)
	s.tellLeaving()
}

// History returns what happened between the User and a device (ESME, GSME, GPF).
func (s *Simulator) History(device servicerequests.EUI) history.Device { return s.history.Of(device) }

// Settle returns when every message that is on its way to the inbox over a connection has
// come or gone, and the history tells.
func (s *Simulator) Settle() { s.courier.Settle() }

// Device returns a meter as it is now, with the supplier that it is registered to.
func (s *Simulator) Device(device servicerequests.EUI) (m fleet.Meter, ok bool) {
	if m, ok = s.population.snapshot(device, s.clock.Now()); ok {
		i, _ := s.fleet.Find(device)
		m.Supplier = s.line.Supplier(i)
	}
	return m, ok
}

// Press is the consumer's button on a meter. It says whether the supply is
// enabled by it. The error is [errNoSuchDevice].
func (s *Simulator) Press(device servicerequests.EUI) (enabled bool, err error) {
	enabled, alerts, err := s.population.press(device, s.clock.Now())
	for _, alert := range alerts {
		s.dcc.Alert(alert)
	}
	return enabled, err
}

// mostUnasked is how many messages may wait for the inbox before what devices
// say by themselves is dropped: some 100 MB.
const mostUnasked = 20_000

// unasked sends what a device says by itself, once it can be reached.
func (s *Simulator) unasked(m *fleet.Meter, alerts []dcc.Alert) bool {
	if s.courier.Undelivered() >= mostUnasked {
		return false
	}
	say := func() {
		for _, alert := range alerts {
			s.dcc.Alert(alert)
		}
	}
	if i, _ := s.fleet.Find(m.Device); s.line.Supplier(i) != s.fleet.Meter(i).Supplier {
		return true // another supplier's: the alert is sent
	}
	switch wait := s.line.away(m.Device); wait {
	case 0:
		say()
	case fault.Forever: // nobody hears it
	default:
		s.agenda.At(s.clock.Now().Add(wait), say)
	}
	return true
}

// Summary counts what has happened so far.
func (s *Simulator) Summary() Summary {
	summary := Summary{
		Seed: s.fleet.Seed, Faults: s.line.world.Load().Name, Meters: s.fleet.Len(),
		States:            s.population.states(),
		DuplicateRequests: s.dcc.Duplicates(),
		InFlight:          s.hubs.Waiting(),
		BehindSeconds:     s.population.behind(s.clock.Now()).Seconds(),
		Deliveries:        s.courier.Counts(),
		OtherTraffic:      s.others.counts(),
	}
	s.tally.fill(&summary)
	return summary
}
