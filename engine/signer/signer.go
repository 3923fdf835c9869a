package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/xmldsig"
)

// Faults of the gate that are not refusals.
var (
	// ErrTokenUsed says that a token has been given to Sign before, with success
	// or without.
	ErrTokenUsed = errors.New("signer: the token has been used")

	// errLint says that the gate's output, read again, is not what it meant to
	// sign: a defect. Nothing of it is returned.
	errLint = errors.New("signer: the signed message differs from the one to be signed")

	// errIdentity marks an identity that cannot sign.
	errIdentity = errors.New("signer: identity")
)

// RefusedError says why the gate did not sign. No key was used.
type RefusedError struct {
	ID  servicerequests.RequestID
	Err error // why; a [*gbcs.MismatchError] names the field that differs
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("signer: refused %s: %v", e.ID, e.Err)
}

// Unwrap returns Err.
func (e *RefusedError) Unwrap() error { return e.Err }

// ErrUnavailable says that the keys cannot be used just now: their module, or the process
// that has them, does not answer. The same question may be asked again.
var ErrUnavailable = errors.New("signer: the keys cannot be used just now")

// ErrStopped says that the signer signs nothing until a start is granted again: it is frozen,
// its direction is over, or it was not asked to open.
var ErrStopped = errors.New("the signer signs nothing")

// errUnknownOriginator is the reason of a refusal: the Request ID's originator
// is no identity of this gate.
var errUnknownOriginator = errors.New("no identity for this originator")

// errDirect is the reason for refusing a Signed Pre-Command as a request.
var errDirect = errors.New("a Signed Pre-Command is signed with a token only")

// Identity holds the keys of one originator. They may live in an HSM.
type Identity struct {
	XML        xmldsig.Signer // signs DUIS XML: User XML signing, OU 87
	PreCommand crypto.Signer  // signs Pre-Commands: supplier, digitalSignature, OU 02
}

// Options configures a Signer.
type Options struct {
	Identities map[servicerequests.EUI]Identity // by originator; at least one
}

// Signer is safe for concurrent use if the keys are.
type Signer struct {
	identities map[servicerequests.EUI]Identity
}

// New makes a gate. Faults of the identities wrap [errIdentity] and are joined.
// The code that loads the keys checks that they belong to their certificates.
func New(o Options) (*Signer, error) {
	var errs []error
	if len(o.Identities) == 0 {
		errs = append(errs, fmt.Errorf("%w: there is none", errIdentity))
	}
	for _, originator := range slices.Sorted(maps.Keys(o.Identities)) {
		identity := o.Identities[originator]
		if originator == 0 {
			errs = append(errs, fmt.Errorf("%w: without an EUI", errIdentity))
		}
		if !onP256(identity.XML.Key) || !onP256(identity.PreCommand) {
			errs = append(errs, fmt.Errorf("%w %s: both keys must be there and on P-256", errIdentity, originator))
		}
		if _, err := xmldsig.NewKeyRef(identity.XML.Issuer, identity.XML.Serial); err != nil {
			errs = append(errs, fmt.Errorf("%w %s: %w", errIdentity, originator, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Signer{identities: maps.Clone(o.Identities)}, nil
}

func onP256(key crypto.Signer) bool {
	if key == nil {
		return false
	}
	public, ok := key.Public().(*ecdsa.PublicKey)
	return ok && public.Curve == elliptic.P256()
}

// SignRequest builds and signs the first or only half of a Service Request: a
// read, an inventory, or the request for a Pre-Command. The gate does not check that
// the meter is planned. A refusal is a [*RefusedError].
func (s *Signer) SignRequest(_ context.Context, _ servicerequests.EUI, r duis.Request) ([]byte, error) {
	identity, err := s.identity(r.ID)
	if err != nil {
		return nil, err
	}
	if r.SignedPreCommand != nil {
		return nil, &RefusedError{ID: r.ID, Err: errDirect}
	}
	return identity.signXML(r)
}

// Token stands for one Pre-Command that may be signed once.
type Token struct {
	expected   gbcs.Expected
	preCommand []byte
	used       atomic.Bool
}

// Prepare compares a Pre-Command from the DCC with what was asked for. The
// token keeps a copy. A refusal is a [*RefusedError]; no key is needed.
func Prepare(e gbcs.Expected, preCommand []byte) (*Token, error) {
	if err := e.Match(preCommand); err != nil {
		return nil, &RefusedError{ID: e.ID, Err: err}
	}
	return &Token{expected: e, preCommand: bytes.Clone(preCommand)}, nil
}

// Use uses the token up, and returns what it is for. The error wraps
// [ErrTokenUsed].
func (t *Token) Use() (e gbcs.Expected, preCommand []byte, err error) {
	if t == nil || t.preCommand == nil {
		return e, nil, errors.New("signer: the token is for nothing")
	}
	if t.used.Swap(true) {
		return e, nil, fmt.Errorf("%w: %s", ErrTokenUsed, t.expected.ID)
	}
	return t.expected, t.preCommand, nil
}

// Return takes a use back, because the signer could not be asked. A later signature for the
// token is of the same bytes.
func (t *Token) Return() { t.used.Store(false) }

// Prepare is [Prepare], for the identities of this gate.
func (s *Signer) Prepare(e gbcs.Expected, preCommand []byte) (*Token, error) {
	if _, err := s.identity(e.ID); err != nil {
		return nil, err
	}
	return Prepare(e, preCommand)
}

// Sign turns the token's Pre-Command into the signed Service Request that
// carries it. A token is used up by the first call, even if that fails: then the
// Pre-Command must be prepared again.
func (s *Signer) Sign(_ context.Context, _ servicerequests.EUI, t *Token) ([]byte, error) {
	e, preCommand, err := t.Use()
	if err != nil {
		return nil, err
	}
	identity, err := s.identity(e.ID)
	if err != nil {
		return nil, err
	}
	message, err := gbcs.Sign(preCommand, identity.PreCommand)
	if err != nil {
		return nil, fmt.Errorf("signer: %s: %w", e.ID, err)
	}
	if err := lintMessage(e, message); err != nil {
		return nil, err
	}
	return identity.signXML(duis.Request{ID: e.ID, Service: e.Service, SignedPreCommand: message})
}

func (s *Signer) identity(id servicerequests.RequestID) (Identity, error) {
	identity, ok := s.identities[id.Originator]
	if !ok {
		return Identity{}, &RefusedError{ID: id, Err: errUnknownOriginator}
	}
	return identity, nil
}

// signXML encodes and signs a request, and reads it again.
func (i Identity) signXML(r duis.Request) ([]byte, error) {
	document, err := duis.AppendRequest(make([]byte, 0, 1024), r)
	if err != nil {
		return nil, &RefusedError{ID: r.ID, Err: err}
	}
	signed, err := i.XML.Sign(document)
	if err != nil {
		return nil, fmt.Errorf("signer: %s: %w", r.ID, err)
	}
	if err := CheckRequest(r, signed); err != nil {
		return nil, err
	}
	return signed, nil
}
