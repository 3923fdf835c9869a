package proof

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"maps"
	"slices"

	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
	"safemode/servicerequests/xmltree"
)

// Reasons why a message is not proven; see the package comment.
var (
	ErrInvalid    = errors.New("proof: message cannot be read")
	ErrUnverified = errors.New("proof: message is not proven")
	ErrUndecided  = errors.New("proof: message cannot be decided yet")

	// ErrUnknownSigner is ErrUnverified of a message that is signed under a certificate
	// which is not among those configured. The DCC may have a new one.
	ErrUnknownSigner = fmt.Errorf("%w: the certificate is not one of the DCC's that are configured", ErrUnverified)

	// ErrOther is for a message that the DCC has signed and that is of no kind that answers
	// a request of ours: the User's other traffic.
	ErrOther = errors.New("proof: message is other traffic")
)

// Undecided says whether a message over an authenticated connection may still be proven
// later, when keys or a certificate of the DCC are known.
func Undecided(err error) bool {
	return errors.Is(err, ErrUndecided) || errors.Is(err, ErrUnknownSigner)
}

// Error is every error of this package. It wraps its Kind and its cause.
type Error struct {
	Kind    error                     // ErrInvalid, ErrUnverified, ErrUndecided, ErrUnknownSigner or ErrOther
	FromDCC bool                      // a key of the DCC has signed the message all the same
	Other   record.OtherKind          // for ErrOther: what the message is
	ID      servicerequests.RequestID // that the message names, if FromDCC; zero if none
	Err     error                     // why
}

func (e *Error) Error() string { return e.Kind.Error() + ": " + e.Err.Error() }

// Unwrap returns Kind and Err.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }

// DeviceKeys are the public keys of all of a device's certificates that are in use: at
// least one for each purpose, the youngest first, all on P-256.
type DeviceKeys struct {
	DigitalSignature []*ecdsa.PublicKey
	KeyAgreement     []*ecdh.PublicKey

	Fresh bool // they were asked for in this very call, and not remembered
}

// ErrKeysUnavailable says that a device's keys could not be asked for. Asking
// again may help.
var ErrKeysUnavailable = errors.New("device keys are unavailable")

// Devices finds the public keys of a device. It is used by several goroutines. No error
// is final: a device whose keys are not known today may be known tomorrow.
type Devices interface {
	// Keys returns the keys, from memory if they are there.
	Keys(ctx context.Context, device servicerequests.EUI) (DeviceKeys, error)
	// Refresh asks for them again: a message has failed under all that Keys gave. It
	// fails with [ErrKeysUnavailable] if they were asked for a moment ago.
	Refresh(ctx context.Context, device servicerequests.EUI) (DeviceKeys, error)
}

// Options configures a Verifier. All fields are required unless they say otherwise.
type Options struct {
	Transform  []*smki.Certificate                    // the DCC's keys for responses that carry Pre-Commands
	XMLSigning []*smki.Certificate                    // the DCC's keys for the other responses and the alerts
	Agreements map[servicerequests.EUI]gbcs.Agreement // of our identities
	Devices    Devices

	// S1SP are keys of SMETS1 Service Providers; there may be none. Their messages change
	// nothing. The roles of their certificates are not known, and not checked.
	S1SP []*smki.Certificate

	// Revoked says whether a certificate's signatures prove nothing any more, though
	// it is among those above. It is asked for every signature, from several
	// goroutines. Nil: none is.
	Revoked func(*smki.Certificate) bool

	// ServerProven says that the channel of synchronous replies proves who answers:
	// TLS with the DCC's own authorities, or the loopback in a simulation. Only then
	// is an unsigned error that ends a request or the sweep taken.
	ServerProven bool
}

// Verifier is safe for concurrent use.
type Verifier struct {
	transform    keySet
	xmlSigning   keySet
	either       keySet
	s1sp         keySet
	agreements   map[servicerequests.EUI]gbcs.Agreement
	devices      Devices
	serverProven bool
}

// keySet is a set of certificates; it is the [xmldsig.Keys] of one role. A revoked
// one has no key.
type keySet struct {
	certificates map[xmldsig.KeyRef]*smki.Certificate
	revoked      func(*smki.Certificate) bool
}

// Key implements [xmldsig.Keys].
func (p keySet) Key(ref xmldsig.KeyRef) (*ecdsa.PublicKey, error) {
	c, ok := p.certificates[ref]
	switch {
	case !ok:
		return nil, xmldsig.ErrUnknownKey
	case p.revoked(c):
		return nil, errRevoked
	}
	return c.PublicKey, nil
}

var errRevoked = fmt.Errorf("%w: its certificate is revoked", xmldsig.ErrUnknownKey)

// New makes a verifier. It refuses certificates that may not sign the DCC's
// responses, and a role whose certificates are all revoked; faults are joined.
func New(o Options) (*Verifier, error) {
	var errs []error
	if o.Revoked == nil {
		o.Revoked = func(*smki.Certificate) bool { return false }
	}
	transform, err := newKeySet("transform", o.Transform, o.Revoked)
	errs = append(errs, err)
	xmlSigning, err := newKeySet("xml_signing", o.XMLSigning, o.Revoked)
	errs = append(errs, err)
	s1sp, err := newProviderKeys(o.S1SP, o.Revoked)
	errs = append(errs, err)
	for _, originator := range slices.Sorted(maps.Keys(o.Agreements)) {
		if originator == 0 || o.Agreements[originator] == nil {
			errs = append(errs, fmt.Errorf("key agreement of %s: there is none", originator))
		}
	}
	if len(o.Agreements) == 0 {
		errs = append(errs, errors.New("key agreement: there is none"))
	}
	if o.Devices == nil {
		errs = append(errs, errors.New("devices: missing"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	either := keySet{maps.Clone(transform.certificates), o.Revoked}
	maps.Copy(either.certificates, xmlSigning.certificates)
	return &Verifier{
		transform:    transform,
		xmlSigning:   xmlSigning,
		either:       either,
		s1sp:         s1sp,
		agreements:   maps.Clone(o.Agreements),
		devices:      o.Devices,
		serverProven: o.ServerProven,
	}, nil
}

func newKeySet(field string, certificates []*smki.Certificate, revoked func(*smki.Certificate) bool) (keySet, error) {
	p := keySet{map[xmldsig.KeyRef]*smki.Certificate{}, revoked}
	if len(certificates) == 0 {
		return p, fmt.Errorf("%s: there is none", field)
	}
	usable := false
	for _, c := range certificates {
		ref, err := xmldsig.NewKeyRef(c.Issuer, c.SerialText())
		if err == nil {
			err = c.CheckPurpose(smki.SignsResponses)
		}
		if err == nil && c.PublicKey.Curve != elliptic.P256() {
			err = errors.New("the key is not on P-256")
		}
		if err != nil {
			return p, fmt.Errorf("%s: %s: %w", field, c.Subject, err)
		}
		p.certificates[ref] = c
		usable = usable || !revoked(c)
	}
	if !usable {
		return p, fmt.Errorf("%s: every certificate is revoked", field)
	}
	return p, nil
}

// outer is a message of the DCC after its XML signature, if any, was checked.
type outer struct {
	duis.Response
	signed bool
	s1sp   *providerMessage // message of a SMETS1 Service Provider; nil: none
}

// read proves and decodes the outside of a message: the XML, with the signature
// that its content needs.
func (v *Verifier) read(raw []byte) (outer, error) {
	tree, err := xmltree.Parse(raw)
	if err != nil {
		return outer{}, &Error{Kind: ErrInvalid, Err: err}
	}
	defer tree.Release()
	signer, err := xmldsig.VerifyTree(tree, v.either)
	switch {
	case errors.Is(err, xmldsig.ErrUnsigned):
		r, err := duis.ReadResponse(tree)
		if err != nil {
			return outer{}, &Error{Kind: ErrInvalid, Err: err}
		}
		return outer{Response: r}, nil
	case err != nil:
		return outer{}, &Error{Kind: faultKind(err), Err: err}
	}
	r, err := duis.ReadResponse(tree) // without the Signature
	if err != nil {                   // of a later schema, or of a kind that is not known
		return outer{}, &Error{Kind: ErrOther, Other: record.OtherSchema, FromDCC: true, Err: err}
	}
	o := outer{Response: r, signed: true, s1sp: v.providerMessage(tree, r)}
	role, name := v.xmlSigning, "XML-signing"
	if _, ok := r.Content.(duis.PreCommand); ok {
		role, name = v.transform, "Transform"
	} else if r.Content == nil {
		role = v.either // an error that a Transform request got has either signature
	}
	if _, ok := role.certificates[signer]; !ok {
		return o, o.fault(ErrUnverified, fmt.Errorf("%s is no %s certificate", signer, name))
	}
	return o, nil
}

// faultKind says whether a document is invalid, or not proven, or
// signed by a key that is not known.
func faultKind(err error) error {
	if errors.Is(err, xmldsig.ErrUnknownKey) && !errors.Is(err, errRevoked) {
		return ErrUnknownSigner
	}
	for _, unproven := range []error{
		xmldsig.ErrProfile, xmldsig.ErrDigest, xmldsig.ErrUnknownKey, xmldsig.ErrSignature, xmldsig.ErrKey,
	} {
		if errors.Is(err, unproven) {
			return ErrUnverified
		}
	}
	return ErrInvalid
}

// fault makes the error of a message with a readable envelope.
func (o outer) fault(kind, err error) error {
	e := &Error{Kind: kind, FromDCC: o.signed, Err: err}
	if o.signed {
		e.ID = o.RequestID
	}
	return e
}

// other makes the error of other traffic, which the DCC has signed.
func (o outer) other(kind record.OtherKind, err error) error {
	return &Error{Kind: ErrOther, Other: kind, FromDCC: true, ID: o.RequestID, Err: err}
}
