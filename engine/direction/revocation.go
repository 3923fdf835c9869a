package direction

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"safemode/servicerequests/smki"
)

// RevocationOptions is what the certificates' gate rests on.
type RevocationOptions struct {
	Lists        []string            // files and http or https URLs of revocation lists
	Certificates []*smki.Certificate // those that must stand
	Authorities  []*smki.Certificate // who may have signed a list
	CheckExpiry  bool                // hold the certificates to their time, on the sweep's clock
	Poll         time.Duration       // how often a URL is asked
	Now          func() time.Time    // real time, for the lists' own time; nil is time.Now
	Warn         func(string)        // told once of a list that tells only of the certificates it names; optional
	Client       *http.Client        // nil: one that waits as long as it is let
}

// Revocations is what revocation lists say of certificates.
type Revocations struct {
	o RevocationOptions

	lists []*revocationSource
}

// revocationSource is one list.
type revocationSource struct {
	of   *Revocations
	name string

	list atomic.Pointer[smki.RevocationList] // as it was read last; nil: never
	text []byte                              // of list
	// Of a URL: when it was asked, and how that ended.
	asked time.Time
	err   error
}

// maxRevocationList bounds a list, in bytes.
const maxRevocationList = 16 << 20

// NewRevocations makes the evidence. It reads nothing.
func NewRevocations(o RevocationOptions) *Revocations {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	r := &Revocations{o: o}
	for _, name := range o.Lists {
		r.lists = append(r.lists, &revocationSource{of: r, name: name})
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

// Read reads a file, or asks a URL whose time has come. What is the same as last time is
// not parsed again.
func (s *revocationSource) Read(ctx context.Context) error {
	if !strings.HasPrefix(s.name, "http://") && !strings.HasPrefix(s.name, "https://") {
		text, err := os.ReadFile(s.name)
		return s.take(text, err)
	}
	now := s.of.o.Now()
	if !s.asked.IsZero() && now.Sub(s.asked) < s.of.o.Poll {
		return s.err
	}
	s.asked = now
	text, err := s.of.fetch(ctx, s.name)
	s.err = s.take(text, err)
	return s.err
}

func (s *revocationSource) take(text []byte, err error) error {
	if err != nil || s.list.Load() != nil && bytes.Equal(text, s.text) {
		return err
	}
	list, err := smki.ParseRevocationList(text, s.of.o.Authorities)
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
	for _, source := range r.lists {
		if list := source.list.Load(); list != nil && list.Check(c) != nil {
			return true
		}
	}
	return false
}

// Check says whether every certificate stands. The error wraps [smki.ErrRevoked] or
// [smki.ErrNotValidNow], or says that a list has run out or covers no certificate's
// issuer.
func (r *Revocations) Check(now time.Time) error {
	read := make([]*smki.RevocationList, 0, len(r.lists))
	for _, source := range r.lists {
		if list := source.list.Load(); list != nil {
			read = append(read, list)
		}
	}
	for _, list := range read {
		if real := r.o.Now(); !list.NextUpdate.IsZero() && real.After(list.NextUpdate) {
			return fmt.Errorf("the revocation list of %s ran out %s", list.Issuer, list.NextUpdate.UTC().Format(time.RFC3339))
		}
	}
	for _, c := range r.o.Certificates {
		covered, partial := len(r.o.Lists) == 0, ""
		for _, list := range read {
			if err := list.Check(c); err != nil {
				return err
			}
			if list.Issuer == c.Issuer && list.Partial != "" {
				partial = list.Partial // it says nothing of those that it does not name
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
