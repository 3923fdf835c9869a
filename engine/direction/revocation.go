package direction

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"safemode/engine/durable"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

// RevocationOptions is what the certificates' gate rests on.
type RevocationOptions struct {
	Lists        []string            // files and http or https URLs of revocation lists
	Certificates []*smki.Certificate // those that must stand
	Authorities  []*smki.Certificate // who may have signed a list
	CheckExpiry  bool                // check the certificates' validity in time, on the sweep's clock
	Poll         time.Duration       // how often a URL is asked
	Now          func() time.Time    // real time, for the lists' own time; nil is time.Now
	Warn         func(string)        // told once of a list that tells only of the certificates it names; optional
	Client       *http.Client        // nil: one that waits as long as it is let, and goes nowhere else

	// Peers are lists of the authorities of TLS peers, and PeerAuthorities who may have
	// signed one.
	Peers           []string
	PeerAuthorities []*x509.Certificate

	// ListAge is how long a list is valid after it was made, if it does not say until when.
	// 0: such a list is refused.
	ListAge time.Duration
	// Memory are the files in which one (MemoryName) remembers the newest list of each issuer,
	// so that no start accepts an older one. Nil: only this Revocations remembers.
	Memory durable.Files
	// Look has the file stay as it is.
	Look bool
}

// Revocations is what revocation lists say of certificates.
type Revocations struct {
	o RevocationOptions

	lists  []*revocationSource // those of Lists, then those of Peers
	memory *listMemory
}

// revocationSource is one list.
type revocationSource struct {
	of    *Revocations
	name  string
	peers bool // it is of the authorities of TLS peers

	list atomic.Pointer[smki.RevocationList] // as it was read last; nil: never
	text []byte                              // of list
	// For a URL: when it was asked last, and how that ended.
	asked time.Time
	err   error
}

// maxRevocationList bounds a list, in bytes.
const maxRevocationList = 16 << 20

// clockSkew is how far the clock of a list's issuer may be ahead of this machine's. ASSUMPTION.
const clockSkew = 5 * time.Minute

// NewRevocations makes the evidence. It reads nothing.
func NewRevocations(o RevocationOptions) *Revocations {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{CheckRedirect: func(to *http.Request, _ []*http.Request) error {
			return fmt.Errorf("it leads elsewhere, to %s: name the address itself", to.URL)
		}}
	}
	r := &Revocations{o: o, memory: &listMemory{files: o.Memory, looks: o.Look}}
	for _, name := range o.Lists {
		r.lists = append(r.lists, &revocationSource{of: r, name: name})
	}
	for _, name := range o.Peers {
		r.lists = append(r.lists, &revocationSource{of: r, name: name, peers: true})
	}
	return r
}

// Read reads every list, one after the other. Every list must be had: an error says
// which was not.
func (r *Revocations) Read(ctx context.Context) error {
	faults := make([]error, len(r.lists))
	for i, list := range r.lists {
		faults[i] = list.Read(ctx)
	}
	return errors.Join(faults...)
}

// Read reads a file, or asks a URL that is due. A list that has not changed is not parsed again.
func (s *revocationSource) Read(ctx context.Context) error {
	if !strings.HasPrefix(s.name, "http://") && !strings.HasPrefix(s.name, "https://") {
		text, err := safefile.Read(s.name, maxRevocationList, safefile.Checked)
		return s.accept(ctx, text, err)
	}
	now := s.of.o.Now()
	if !s.asked.IsZero() && now.Sub(s.asked) < s.of.o.Poll {
		return s.err
	}
	s.asked = now
	text, err := s.of.fetch(ctx, s.name)
	s.err = s.accept(ctx, text, err)
	return s.err
}

// accept reads a list that was fetched. The list counts once it is remembered.
func (s *revocationSource) accept(ctx context.Context, text []byte, err error) error {
	if err != nil || s.list.Load() != nil && bytes.Equal(text, s.text) {
		return err
	}
	var list *smki.RevocationList
	if s.peers {
		list, err = smki.ParseTLSRevocationList(text, s.of.o.PeerAuthorities)
	} else {
		list, err = smki.ParseRevocationList(text, s.of.o.Authorities)
	}
	if err == nil {
		err = s.of.inTime(list)
	}
	if err == nil && list.Partial == "" { // lists of other scopes are numbered by themselves (RFC 5280, 5.2.3)
		err = s.of.memory.remember(ctx, list)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	s.list.Store(list)
	s.text = text
	if list.Partial != "" && s.of.o.Warn != nil {
		s.of.o.Warn(fmt.Sprintf("%s tells only of the certificates that it names (%s): it does not show that others stand", s.name, list.Partial))
	}
	return nil
}

// until is when a list stops being valid; zero if nothing says when.
func (r *Revocations) until(list *smki.RevocationList) time.Time {
	if list.NextUpdate.IsZero() && r.o.ListAge > 0 {
		return list.ThisUpdate.Add(r.o.ListAge)
	}
	return list.NextUpdate
}

// inTime refuses a list that is of the future, or without end.
func (r *Revocations) inTime(list *smki.RevocationList) error {
	switch {
	case list.ThisUpdate.After(r.o.Now().Add(clockSkew)):
		return fmt.Errorf("the revocation list of %s is of the future, of %s: set this machine's clock, or get the list again",
			list.Issuer, list.ThisUpdate.UTC().Format(time.RFC3339))
	case r.until(list).IsZero():
		return fmt.Errorf("the revocation list of %s does not say when the next is due (nextUpdate): say in gates.revocation_list_age how long it holds", list.Issuer)
	case !list.NextUpdate.IsZero() && !list.NextUpdate.After(list.ThisUpdate):
		return fmt.Errorf("the revocation list of %s ends before it begins", list.Issuer)
	}
	return nil
}

// current says whether a list has run out.
func (r *Revocations) current(list *smki.RevocationList) error {
	if until := r.until(list); r.o.Now().After(until) {
		return fmt.Errorf("the revocation list of %s ran out %s", list.Issuer, until.UTC().Format(time.RFC3339))
	}
	return nil
}

func (r *Revocations) fetch(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	reply, err := r.o.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, reply.Status)
	}
	text, err := io.ReadAll(io.LimitReader(reply.Body, maxRevocationList+1))
	if err == nil && len(text) > maxRevocationList {
		err = fmt.Errorf("%s: longer than %d bytes", url, maxRevocationList)
	}
	return text, err
}

// Revoked says whether a list that was read last names a certificate: any, not only
// those that must stand.
func (r *Revocations) Revoked(c *smki.Certificate) bool {
	for _, list := range r.read(false) {
		if list.Check(c) != nil {
			return true
		}
	}
	return false
}

// read are the lists as they were read last, those of TLS peers or the others.
func (r *Revocations) read(peers bool) (lists []*smki.RevocationList) {
	for _, source := range r.lists {
		if list := source.list.Load(); list != nil && source.peers == peers {
			lists = append(lists, list)
		}
	}
	return lists
}

// PeerRevoked refuses a TLS peer by revocation lists. chain is the chain that verified it, its
// own certificate first and its root last. There must be a list of the issuer of its own
// certificate, and all lists of its issuers must be current and name none of them. Without
// lists of peers no peer is refused. The error wraps [smki.ErrRevoked], or says what is
// missing.
func (r *Revocations) PeerRevoked(chain []*x509.Certificate) error {
	if len(r.o.Peers) == 0 {
		return nil
	}
	lists := r.read(true)
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		covered := false
		for _, list := range lists {
			if !list.IsOf(issuer) {
				continue
			}
			if err := errors.Join(r.current(list), list.CheckTLS(c)); err != nil {
				return fmt.Errorf("TLS peer %q: %w", c.Subject, err)
			}
			covered = covered || list.Partial == ""
		}
		if i == 0 && !covered {
			return fmt.Errorf("TLS peer %q: no revocation list of %q, who issued its certificate", c.Subject, issuer.Subject)
		}
	}
	return nil
}

// Check says whether every certificate stands, and whether the lists of TLS peers may be
// gone by. The error wraps [smki.ErrRevoked] or [smki.ErrNotValidNow], or says that a list
// has run out or covers no certificate's issuer.
func (r *Revocations) Check(now time.Time) error {
	read := r.read(false)
	for _, list := range append(r.read(true), read...) {
		if err := r.current(list); err != nil {
			return err
		}
	}
	for _, c := range r.o.Certificates {
		covered, partial := len(r.o.Lists) == 0, ""
		for _, list := range read {
			if err := list.Check(c); err != nil {
				return err
			}
			if list.Issuer == c.Issuer && list.Partial != "" {
				partial = list.Partial // it says nothing about certificates that it does not name
				continue
			}
			covered = covered || list.Issuer == c.Issuer
		}
		if !covered && partial != "" {
			return fmt.Errorf("the revocation list of %s is of a scope that is not known (%s), so it does not show that the certificate %s stands: name a complete list", c.Issuer, partial, c.SerialText())
		}
		if !covered {
			return fmt.Errorf("no revocation list of %s, who issued the certificate %s", c.Issuer, c.SerialText())
		}
		if r.o.CheckExpiry {
			if err := c.CheckValidAt(now); err != nil {
				return fmt.Errorf("%w (serial %s)", err, c.SerialText())
			}
		}
	}
	return nil
}
