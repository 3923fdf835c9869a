package engine

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"safemode/engine/breaker"
	"safemode/engine/checkpoint"
	"safemode/engine/custody"
	"safemode/engine/directory"
	"safemode/engine/durable"
	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// Part is one part of a start.
type Part string

// The parts of a start, in the order in which it checks them.
const (
	PartKeys        Part = "keys"        // with their certificates, and the environment
	PartAuthority   Part = "authority"   // the people and the recorded direction
	PartDCC         Part = "dcc"         // whether it answers
	PartClock       Part = "clock"       // whether ours and the DCC's agree
	PartSMKI        Part = "smki"        // whether it answers
	PartInbox       Part = "inbox"       // its address
	PartOperations  Part = "operations"  // its address
	PartDatabase    Part = "database"    // for which servers its commits wait
	PartJournal     Part = "journal"     // which process writes it, the plan that it was begun with, its clock, a cease notice
	PartGates       Part = "gates"       // the direction's window, and the evidence
	PartApprovals   Part = "approvals"   // two, for exactly this start
	PartSigner      Part = "signer"      // whether it signs for this start
	PartCheckpoints Part = "checkpoints" // of this journal
	PartSettings    Part = "settings"    // of the parts that are made before anything is taken
	PartTransfers   Part = "transfers"   // whether their list can be read
	PartCounters    Part = "counters"    // of each identity
	PartReplay      Part = "replay"      // of the plan's lines, or of the journal's records
)

// part is one check of a start, with the other parts that it needs: without them it cannot be
// made.
type part struct {
	name  Part
	look  func(*Engine, context.Context) error
	rests []Part
	with  bool // the next part's error belongs to it
}

// parts are all checks that [Open] makes before it takes anything, and all that [Foresee] makes.
var parts = []part{
	{name: PartKeys, look: func(e *Engine, _ context.Context) error { return checkKeys(e.o) }, with: true},
	{name: PartAuthority, look: func(e *Engine, _ context.Context) error {
		return errors.Join(checkRehearsal(e.o), foretell(&e.o))
	}},
	{name: PartDCC, look: (*Engine).reachDCC},
	{name: PartClock, look: (*Engine).checkClock, rests: []Part{PartDCC}},
	{name: PartSMKI, look: (*Engine).reachSMKI},
	{name: PartInbox, look: (*Engine).listenInbox},
	{name: PartOperations, look: (*Engine).listenOperations},
	{name: PartDatabase, look: (*Engine).checkReplicated},
	{name: PartJournal, look: (*Engine).openJournal},
	{name: PartGates, look: (*Engine).checkGates},
	{name: PartApprovals, look: (*Engine).decide, rests: []Part{PartAuthority, PartJournal}},
	{name: PartSigner, look: (*Engine).askSigner, rests: []Part{PartApprovals}},
	{name: PartCheckpoints, look: (*Engine).openCheckpoints, rests: []Part{PartJournal}},
	{name: PartSettings, look: (*Engine).makeParts, rests: []Part{PartKeys, PartSMKI}},
	{name: PartTransfers, look: (*Engine).firstTransfers},
	{name: PartCounters, look: (*Engine).checkCounters, rests: []Part{PartJournal}},
}

// look checks every part, and stops at the first that refuses.
func (e *Engine) look(ctx context.Context) error {
	var said error
	for _, p := range parts {
		said = errors.Join(said, p.look(e, ctx))
		if said != nil && !p.with {
			return said
		}
	}
	return nil
}

// Foreseen is what a start would say now.
type Foreseen struct {
	Said     map[Part]error // nil: the part passes. A part that could not be checked is absent
	Resumes  int            // how many the approvals still allow
	Until    time.Time      // until when they allow them
	Counters []Counter      // of each identity
	Now      time.Time      // with which the gates' dates are compared
	TLS      string         // version with which the DCC was reached; empty: without TLS
	StandsBy error          // why it would stand by; nil: it would not

	Replicated string // for which servers the database's commits wait; empty: the journal is in a file
	Transfers  ForeseenTransfers
}

// Err is all that the start would be refused for.
func (f *Foreseen) Err() error {
	var faults []error
	for _, p := range parts {
		faults = append(faults, f.Said[p.name])
	}
	return errors.Join(append(faults, f.Said[PartReplay])...)
}

// Counter is what a start would do with one identity's counters.
type Counter struct {
	Originator servicerequests.EUI
	Over       uint64 // where counting goes on
	Err        error
}

// Foresee makes a start that stops before it takes, writes or sends anything. It checks every
// part as [Open] does, also those after one that refuses, and reads the journal as
// [Engine.Run] does. Meanwhile it has the addresses bound. If there is no plan (one with an
// environment and no hash), it leaves out what belongs to a plan.
func Foresee(ctx context.Context, o Options) Foreseen {
	o.Registry = prometheus.NewRegistry() // the caller's registry is for a sweep that runs
	e := newEngine(o)
	e.looks = true
	f := Foreseen{Said: map[Part]error{}}
	for _, p := range parts {
		if slices.ContainsFunc(p.rests, func(on Part) bool { err, looked := f.Said[on]; return err != nil || !looked }) {
			continue
		}
		if slices.Contains([]Part{PartAuthority, PartGates, PartApprovals, PartSigner, PartTransfers}, p.name) && !e.planned() {
			continue
		}
		f.Said[p.name] = p.look(e, ctx)
	}
	if f.Err() == nil && e.planned() {
		f.Said[PartReplay] = e.foreseeRun(ctx)
	}
	f.Resumes, f.Until, f.Now, f.Counters = e.grant.Resumes, e.grant.Until, e.clock.Wall(), e.foreseen
	f.Transfers, f.Replicated, f.StandsBy = e.leaving, e.replicated, e.waits
	if e.reached != nil {
		f.TLS = tls.VersionName(e.reached.Version)
	}
	if err := e.Close(); err != nil { // it has bound addresses, and opened files to read them
		f.Said[PartReplay] = errors.Join(f.Said[PartReplay], err)
	}
	return f
}

// foreseeRun makes the parts that are made after everything is taken, and reads what is read
// then: the plan of a new sweep, the journal of one that goes on.
func (e *Engine) foreseeRun(ctx context.Context) error {
	if err := e.connect(); err != nil {
		return err
	}
	if e.begins {
		return e.o.Plan.Each(func(*plan.Target) error { return nil }, func(*plan.Rejected) error { return nil })
	}
	_, _, err := e.replay(ctx)
	return err
}

// planned says whether there is a plan.
func (e *Engine) planned() bool { return e.o.Plan.SHA256 != "" }

// reachDCC says in one line if the DCC is not there, or does not let this client in.
func (e *Engine) reachDCC(ctx context.Context) error {
	_ = e.o.Gates.Look(ctx) // the DCC's certificate may be on a list; checkGates reports lists that cannot be read
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: e.o.DCC.TLS}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, e.o.DCC.URL, nil)
	if err != nil {
		return fmt.Errorf("dcc.url: %w", err)
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	reply, err := client.Do(request)
	if err != nil { // the wrapped error names the URL, too
		return fmt.Errorf("dcc.url %s %w: %w: check dcc.url, dcc.tls and the way there", e.o.DCC.URL, ErrUnreachable, errors.Unwrap(err))
	}
	_ = reply.Body.Close() // a HEAD has none
	e.reached, e.toldTime = reply.TLS, reply.Header.Get("Date")
	e.heardAt = time.Now()
	return nil
}

// clockApart is how far the DCC's clock and ours may be apart, if the options do not say.
// ASSUMPTION: counters, dates and gates go by our clock; an unkept clock is further off.
const clockApart = 30 * time.Second

// checkClock compares this machine's clock with the DCC's. A DCC that gives no time passes.
func (e *Engine) checkClock(context.Context) error {
	there, unread := http.ParseTime(e.toldTime)
	apart := e.heardAt.Sub(there).Round(time.Second)
	if unread != nil || apart.Abs() <= cmp.Or(e.o.DCC.ClockApart, clockApart) {
		return nil //nolint:nilerr // a DCC that gives no time
	}
	side := "ahead of"
	if apart < 0 {
		side = "behind"
	}
	return fmt.Errorf("%w: this machine's clock is %v %s the DCC's (%s): set this machine's clock (NTP); if it is right, dcc.clock_apart allows more", ErrRefused, apart.Abs(), side, e.toldTime)
}

// reachSMKI says in one line if the SMKI service is not there.
func (e *Engine) reachSMKI(ctx context.Context) (err error) {
	if e.devices = e.o.Devices; e.devices != nil {
	} else if e.devices, err = directory.New(directory.Options{
		URL: e.o.DCC.SMKIURL, TLS: e.o.DCC.TLS, Authorities: e.o.DCC.Authorities, Learnt: e.learnt,
		Clock: e.o.Clock, // a device's keys change by it
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := e.devices.Check(ctx, e.o.Identities[0].EUI); err != nil {
		return fmt.Errorf("dcc.smki_url %s %w: %w: check dcc.smki_url and the way there", e.o.DCC.SMKIURL, ErrUnreachable, err)
	}
	return nil
}

// openJournal opens the journal, after it may have stood by, and compares the plan with it.
func (e *Engine) openJournal(ctx context.Context) (err error) {
	o := &e.o
	if err := checkPlace(o.Journal); err != nil {
		return err
	}
	if e.files, err = journal.FilesFor(o.Journal, o.CustodyDir); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := e.openSeen(); err != nil {
		return err
	}
	if e.looks {
		err = e.readJournal()
	} else {
		if o.Clock.Jumps() {
			// The clock stands still: no other records come to wait for, so each commit has its own sync.
			o.Commits.Linger, o.Commits.Unsynced = 1, true
		}
		o.Commits.Holder = cmp.Or(o.Commits.Holder, journal.Self())
		if o.Commits.Registerer = o.Registry; !o.Rehearsal { // a rehearsal's journal can never be taken for the plan's
			o.Commits.ID = o.Plan.Journal
		}
		err = e.awaitJournal(ctx)
	}
	if err == nil {
		err = e.holdSeen()
	}
	if err != nil || !e.planned() {
		return err
	}
	e.later = true
	return e.comparePlan(ctx)
}

// checkPlace refuses a place that no journal's file can have.
func checkPlace(path string) error {
	if journal.IsAddress(path) {
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("journal %s: %w: it is not a regular file", path, journal.ErrForeign)
	}
	if err := durable.Writable(filepath.Dir(path)); err != nil {
		return fmt.Errorf("journal %s: %w", path, err)
	}
	return nil
}

// readJournal opens a journal for reading, if it was begun, and returns why a start could not
// write it.
func (e *Engine) readJournal() error {
	there, err := journalThere(e.o.Journal)
	if err == nil && there { // an empty file is one that was never begun
		e.journal, err = journal.OpenReadOnly(e.o.Journal)
	}
	place := journal.CheckPlace(e.o.Journal)
	if e.standsByFor(place) {
		e.waits = place
		return err
	}
	if place != nil {
		return place // a start would end before it reads it
	}
	return err
}

// checkGates checks the gates.
func (e *Engine) checkGates(ctx context.Context) error {
	e.logLook(e.o.Gates.Look(ctx))
	if err := e.o.Gates.Check(e.clock.Wall()); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// counted shows the journal to its counters.
func (e *Engine) counted() custody.Owner {
	if e.journal == nil {
		return unborn{}
	}
	return owner{e.journal}
}

// checkCounters asks whether the counters of each identity could be taken, and takes none.
func (e *Engine) checkCounters(context.Context) (first error) {
	for _, id := range e.o.Identities {
		over, err := custody.Check(e.files, id.EUI, e.counted(), e.counting(id.EUI))
		if e.waits != nil && errors.Is(err, custody.ErrInUse) {
			err = nil // they become free when the other engine ends
		}
		e.foreseen = append(e.foreseen, Counter{id.EUI, over, err})
		if first = cmp.Or(first, err); first != nil && !e.looks {
			return first
		}
	}
	return first
}

// made are the parts that a start makes before it takes anything.
type made struct {
	gate       exchange.Signer
	agreements map[servicerequests.EUI]gbcs.Agreement
}

// makeParts makes the parts that need no journal.
func (e *Engine) makeParts(context.Context) (err error) {
	o := e.o
	if e.made.gate, e.made.agreements, err = keysFrom(o); err != nil {
		return err
	}
	if e.gateway, err = gateway.New(gateway.Options{URL: o.DCC.URL, TLS: o.DCC.TLS, Timeout: o.DCC.Timeout, Connections: 2 * o.Workers}); err != nil {
		return err
	}
	if e.verifier, err = verifierOf(o, e.made.agreements, e.devices, e.gateway); err != nil {
		return err
	}
	e.circuits, err = breaker.New(withExclusions(o.Breaker))
	return err
}

// checkPins reads the checkpoints and changes nothing.
func (e *Engine) checkPins() error {
	c := e.o.Checkpoints
	files, name := e.notes()
	last, err := checkpoint.Check(files, name, e.counted().ID(), c.Verifier)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return e.comparePins(last, c.Path)
}

// unborn shows to the counters a journal that does not exist yet.
type unborn struct{}

func (unborn) ID() string { return "a new journal" }

func (unborn) Position() (seq uint64, hash [32]byte) { return 0, hash }

func (unborn) HashAt(uint64) (hash [32]byte, err error) {
	return hash, errors.New("it holds no record yet")
}
