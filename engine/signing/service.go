package signing

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"safemode/engine/authority"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// Names in the signer's folder.
const (
	logName    = "signer.db"
	FrozenName = "frozen"
)

// Options configures a signer. All fields are required unless they say otherwise.
type Options struct {
	Folder      string // of its log and its freeze
	Plan        *plan.Plan
	Roster      *direction.Roster
	Trust       direction.Trust
	MaxValidity time.Duration // how long an approval may be valid; 0: what the plan says
	Broker      servicerequests.EUI
	Limits      Limits // Meters is the direction's

	Gate       *signer.Signer
	Agreements map[servicerequests.EUI]gbcs.Agreement

	// Gates are the gates that the signer checks itself. Nil: none.
	Gates *direction.Gates
	// Stopped says why nothing may be signed now: the plan is not there any more, say. Nil:
	// it is not asked.
	Stopped func() error
	Now     func() time.Time // nil: time.Now
	Log     *zap.Logger
}

// Service is the signer. It is safe for concurrent use.
type Service struct {
	o   Options
	log *journal.Journal

	mu           sync.Mutex
	memory       *memory
	current      *grant // nil: nothing is signed
	last         *grant // the last grant, also before a freeze
	frozenAt     time.Time
	inode        uint64 // of the log's file when it was made or accepted, by its own record
	lossAccepted bool   // two people have accepted this log though it may lack signatures
	refusals     int    // in the log since the last grant
}

// maxRefusals bounds the refusals that the log keeps between two grants: a hostile client
// must not fill the disk.
const maxRefusals = 100_000

// New makes a signer, and reads its log. It signs nothing before [Service.Open].
func New(ctx context.Context, o Options) (_ *Service, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limits.Meters == 0 || o.Limits.Meters > o.Plan.Direction.MaximumMeters {
		o.Limits.Meters = o.Plan.Direction.MaximumMeters
	}
	s := &Service{o: o, memory: newMemory(o.Limits, o.Broker)}
	if err := o.Plan.Each(func(t *plan.Target) error {
		s.memory.meters[t.Device] = &meter{
			kind: t.Type, originator: t.Originator, suppressed: t.Suppressed, proxies: [2]servicerequests.EUI{t.Proxy},
		}
		return nil
	}, func(*plan.Rejected) error { return nil }); err != nil {
		return nil, err
	}
	path := filepath.Join(o.Folder, logName)
	if s.log, err = journal.Open(path, journal.Options{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.log.Close())
		}
	}()
	if err := s.replayLog(ctx); err != nil {
		return nil, err
	}
	inode, err := durable.Folder(o.Folder).Mark(logName)
	if err != nil {
		return nil, err
	}
	start := s.eventRecord(CodeStarted, logEvent{}, o.Now())
	if s.log.Last() == 0 {
		s.inode = inode
		start = s.eventRecord(codeMade, logEvent{Inode: inode}, o.Now())
	}
	if s.inode != inode {
		return nil, fmt.Errorf("%w: %s is another file than the log was made as: %w", errOlder, path, signer.ErrStopped)
	}
	if err := s.log.Commit(ctx, start); err != nil {
		return nil, err
	}
	return s, s.noteFreeze()
}

// Close closes the log.
func (s *Service) Close() error { return s.log.Close() }

// replayLog reads the log into the memory.
func (s *Service) replayLog(ctx context.Context) error {
	for r, err := range s.log.Records(ctx, 1) {
		if err != nil {
			return err
		}
		switch r.Kind {
		case record.Request, record.SignedCommand:
			p := signature{meter: r.Device, id: r.ID, service: r.Service, command: r.Kind == record.SignedCommand, at: r.At}
			copy(p.digest[:], r.Body)
			s.memory.remember(p)
		case record.Refused:
			s.refusals++
		case record.Opened:
			o := new(grant)
			if err := json.Unmarshal(r.Body, o); err != nil {
				return fmt.Errorf("signer's log: record %d: %w", r.Seq, err)
			}
			if o.Plan != s.o.Plan.SHA256 { // counters and commands stay known; the permission to sign does not
				o = nil
			}
			s.current, s.last, s.lossAccepted, s.refusals = o, o, false, 0
		case record.Operator:
			var a logEvent
			if err := json.Unmarshal(r.Body, &a); err != nil {
				return fmt.Errorf("signer's log: record %d: %w", r.Seq, err)
			}
			switch r.Code {
			case codeMade:
				s.inode = a.Inode
			case codeAccept:
				s.inode, s.lossAccepted, s.current = a.Inode, true, nil
			case codeFrozen:
				s.current, s.frozenAt = nil, r.At
			}
		}
	}
	return nil
}

// noteFreeze ends the current grant, durably, if the signer was frozen since.
func (s *Service) noteFreeze() error {
	if unnoted, err := s.unnotedFreeze(); !unnoted {
		return err
	}
	s.current, s.frozenAt = nil, s.o.Now()
	return s.log.Commit(context.Background(), s.eventRecord(codeFrozen, logEvent{Reason: "safemode signer freeze"}, s.frozenAt))
}

// unnotedFreeze says whether the signer was frozen and the log does not know it.
func (s *Service) unnotedFreeze() (bool, error) {
	info, err := os.Lstat(filepath.Join(s.o.Folder, FrozenName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return s.current != nil || s.frozenAt.Before(info.ModTime()), nil
}

// checkStopped says why nothing may be signed now, whatever is asked.
func (s *Service) checkStopped(now time.Time) error {
	if _, err := os.Lstat(filepath.Join(s.o.Folder, FrozenName)); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: it is frozen (safemode signer thaw ends that, and two approve again)", signer.ErrStopped)
	}
	if s.o.Stopped != nil {
		if err := s.o.Stopped(); err != nil {
			return fmt.Errorf("%w: %w", signer.ErrStopped, err)
		}
	}
	err := s.o.Plan.Direction.InForce(now)
	if err == nil && s.o.Gates != nil {
		err = s.o.Gates.Check(now)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", signer.ErrStopped, err)
	}
	if err := s.log.Err(); err != nil {
		return fmt.Errorf("%w: its log: %w: make room, and start it again", signer.ErrUnavailable, err)
	}
	return nil
}

// Open decides whether a start may act. If so, the signer signs for it from now on, unless
// only a look is asked for.
func (s *Service) Open(ctx context.Context, ev Evidence) (Granted, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ev.Look {
		return s.foresee(ev)
	}
	if err := s.noteFreeze(); err != nil {
		return Granted{}, err
	}
	o, err := s.decide(ev, s.last, s.frozenAt, s.o.Now())
	if err != nil {
		s.o.Log.Warn("start refused", zap.Error(err))
		s.logRefusal(signature{}, err)
		return Granted{}, err
	}
	var adopted []signature
	if s.lossAccepted { // the journal's signatures that the log has lost are remembered
		for _, k := range ev.Signed {
			if p := k.signature(); !s.memory.knows(p) {
				p.at = o.At
				adopted = append(adopted, p)
			}
		}
	}
	for _, p := range adopted {
		s.memory.remember(p)
		s.log.Append(p.record())
	}
	if err := s.log.Commit(ctx, record.Record{At: o.At, Kind: record.Opened, Body: encode(o)}); err != nil {
		return Granted{}, err
	}
	s.current, s.last, s.lossAccepted, s.refusals = o, o, false, 0
	s.o.Log.Info("signer opened for a start", zap.String("journal", o.Journal), zap.Int("records", int(o.Records)))
	return Granted{Until: s.o.Plan.Direction.NotAfter}, nil
}

// foresee says what Open would, and changes nothing.
func (s *Service) foresee(ev Evidence) (Granted, error) {
	now, frozenAt := s.o.Now(), s.frozenAt
	unnoted, err := s.unnotedFreeze()
	if unnoted {
		frozenAt = now
	}
	if err == nil {
		_, err = s.decide(ev, s.last, frozenAt, now)
	}
	return Granted{Until: s.o.Plan.Direction.NotAfter}, err
}

// request signs the Service Request of a planned meter. Refusals are a
// [*signer.RefusedError], a [*rateError] or wrap [signer.ErrStopped].
func (s *Service) request(ctx context.Context, meter servicerequests.EUI, r duis.Request) ([]byte, error) {
	p := signature{meter: meter, id: r.ID, service: r.Service}
	if r.SignedPreCommand != nil {
		return nil, s.refuse(p, errors.New("a Signed Pre-Command is signed as a command only"))
	}
	if r.Service == servicerequests.ReadInventory && r.InventoryDevice != meter {
		return nil, s.refuse(p, errTarget)
	}
	document, err := duis.AppendRequest(nil, r)
	if err != nil {
		return nil, s.refuse(p, err)
	}
	copy(p.digest[:], digestOf(document))
	if err := s.permit(ctx, p); err != nil {
		return nil, err
	}
	return s.o.Gate.SignRequest(ctx, meter, r)
}

// command signs the Pre-Command that follows from an earlier request. Refusals are like
// those of request.
func (s *Service) command(ctx context.Context, meter servicerequests.EUI, e gbcs.Expected, preCommand []byte) ([]byte, error) {
	p := signature{meter: meter, id: e.ID, service: e.Service, command: true}
	if k := s.memory.meters[meter]; k != nil { // which meters there are does not change
		e.Device = k.kind
	}
	token, err := s.o.Gate.Prepare(e, preCommand)
	if err != nil {
		return nil, s.refuse(p, err)
	}
	unsigned, err := gbcs.ToBeSigned(preCommand)
	if err != nil {
		return nil, s.refuse(p, err)
	}
	copy(p.digest[:], digestOf(unsigned))
	if err := s.permit(ctx, p); err != nil {
		return nil, err
	}
	return s.o.Gate.Sign(ctx, meter, token)
}

// permit checks everything, and makes the signature's record durable before the signature is
// made.
func (s *Service) permit(ctx context.Context, p signature) error {
	p.at = s.o.Now()
	s.mu.Lock()
	err := s.check(p)
	if err == nil {
		s.memory.remember(p)
		s.log.Append(p.record())
	}
	s.mu.Unlock()
	if err != nil {
		return s.refuse(p, err)
	}
	if err := s.log.Commit(ctx); err != nil { // the queued records are durable, or nothing is signed
		return fmt.Errorf("%w: its log: %w", signer.ErrUnavailable, err)
	}
	return nil
}

// check says why a signature must not be made.
func (s *Service) check(p signature) error {
	if err := s.checkStopped(p.at); err != nil {
		if s.current != nil {
			err = errors.Join(err, s.noteFreeze())
		}
		return err
	}
	if s.current == nil {
		return fmt.Errorf("%w: no start has been granted", signer.ErrStopped)
	}
	k := s.memory.meters[p.meter]
	if k == nil {
		return errMeter
	}
	if err := s.o.Plan.Direction.Covers(p.service, k.kind); err != nil {
		return err
	}
	return s.memory.check(p)
}

// refuse records a refusal and makes its error. If nothing may be signed now, the error does
// not refuse this message.
func (s *Service) refuse(p signature, why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logRefusal(p, why)
	var rate *rateError
	var refused *signer.RefusedError
	if errors.As(why, &rate) || errors.As(why, &refused) || errors.Is(why, signer.ErrStopped) || errors.Is(why, signer.ErrUnavailable) {
		return why
	}
	return &signer.RefusedError{ID: p.id, Err: why}
}

// logRefusal writes a refusal into the log, up to a bound.
func (s *Service) logRefusal(p signature, why error) {
	if s.refusals++; s.refusals > maxRefusals {
		return
	}
	r := p.record()
	r.At, r.Kind, r.Code, r.Body = s.o.Now(), record.Refused, record.RefusedUnpermitted, encode(logEvent{Reason: why.Error()})
	if p.id.Counter > servicerequests.MaxCounter {
		r.ID.Counter = 0
	}
	s.log.Append(r)
	s.o.Log.Warn("signature refused", zap.Stringer("meter", p.meter), zap.Stringer("service", p.service), zap.Stringer("id", p.id), zap.Error(why))
}

func (p signature) record() record.Record {
	kind := record.Request
	if p.command {
		kind = record.SignedCommand
	}
	return record.Record{At: p.at, Kind: kind, Device: p.meter, Service: p.service, ID: p.id, Body: p.digest[:]}
}

// agree derives the AES key of a Response or an Alert of a device.
func (s *Service) agree(ctx context.Context, d derivation) ([16]byte, error) {
	a := s.o.Agreements[d.Identity]
	if a == nil {
		return [16]byte{}, fmt.Errorf("%w: no identity %s", errDerive, d.Identity)
	}
	mode := gbcs.Mode(d.Mode)
	if mode != gbcs.ModeResponse && mode != gbcs.ModeAlert || d.From == d.Identity {
		return [16]byte{}, fmt.Errorf("%w: keys of mode %d are not given out", errDerive, d.Mode)
	}
	device, err := devicePoint(d.Device)
	if err != nil {
		return [16]byte{}, fmt.Errorf("%w: %w", errDerive, err)
	}
	return a.DeriveKey(ctx, device, gbcs.KeyInfo{Mode: mode, Originator: d.From, Counter: d.Counter, Target: d.Identity})
}

// Refusals that are the interface's own.
var (
	errDerive    = errors.New("no such key")
	errAuthority = authority.ErrNoAuthority
)

// anyDevice is a public key for trying out whether a key can be derived.
var anyDevice = sync.OnceValue(func() *ecdh.PublicKey {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // the system has no randomness
	}
	return key.PublicKey()
})

// about says what the signer is.
func (s *Service) about() About {
	a := About{Version: interfaceVersion, PlanSHA256: s.o.Plan.SHA256, Log: s.log.ID(), Records: s.log.Last()}
	for id, agreement := range s.o.Agreements {
		a.Identities = append(a.Identities, id)
		if _, err := agreement.DeriveKey(context.Background(), anyDevice(), gbcs.KeyInfo{Mode: gbcs.ModeResponse, Target: id}); errors.Is(err, gbcs.ErrNotCheckable) {
			a.Unchecked = append(a.Unchecked, id)
		}
	}
	slices.Sort(a.Identities)
	slices.Sort(a.Unchecked)
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Open, a.Refused = s.current != nil, s.refusals
	if s.last != nil {
		a.Remembers = s.last.Records
	}
	if err := s.checkStopped(s.o.Now()); err != nil {
		a.Stopped = err.Error()
	}
	return a
}

// acceptanceSubject names a signer's log in its present state. Two people approve it when it
// may not be the newest.
func acceptanceSubject(id string, records uint64, hash [32]byte, inode uint64) string {
	return fmt.Sprintf("signer's log %s at record %d %x, file %d", id, records, hash[:16], inode)
}

// Accept takes a log for the newest that was restored, or begun because the old one is lost,
// if two people have approved exactly that log. With nil approvals it only returns what they
// must name.
func Accept(ctx context.Context, o Options, approvals []*direction.Approval) (subject string, err error) {
	log, err := journal.Open(filepath.Join(o.Folder, logName), journal.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	inode, err := durable.Folder(o.Folder).Mark(logName)
	if err != nil {
		return "", err
	}
	tip := log.Tip()
	subject = acceptanceSubject(log.ID(), tip.Seq, tip.Hash, inode)
	now := time.Now()
	c := authority.Case{
		Plan: o.Plan, Roster: o.Roster, Trust: o.Trust, MaxValidity: o.MaxValidity, Now: now, Approvals: approvals,
		Journal: authority.Journal{ID: o.Plan.Journal},
	}
	if _, err := c.DecideAcceptance(subject); err != nil {
		return subject, err
	}
	return subject, log.Commit(ctx, record.Record{At: now, Kind: record.Operator, Code: codeAccept, Body: encode(logEvent{Inode: inode, Subject: subject})})
}
