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
	"sync"
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
	Client       *http.Client        // nil: one with a time-out of 30 seconds
}

// Revocations is what revocation lists say of certificates.
type Revocations struct {
	o RevocationOptions

	mu    sync.Mutex
	lists []revocationSource
}

// revocationSource is one list as it was read last.
type revocationSource struct {
	*smki.RevocationList
	text  []byte
	asked time.Time // a URL
	err   error     // of asking last
}

// maxRevocationList bounds a list, in bytes.
const maxRevocationList = 16 << 20

// NewRevocations makes the evidence. It reads nothing.
func NewRevocations(o RevocationOptions) *Revocations {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 30 * time.Second}
	}
	return &Revocations{o: o, lists: make([]revocationSource, len(o.Lists))}
}

// Read reads every file and asks every URL whose time has come. Every list must be
// had: an error says which was not.
func (r *Revocations) Read(ctx context.Context) error {
	var faults []error
	for i, name := range r.o.Lists {
		r.mu.Lock()
		source := r.lists[i]
		r.mu.Unlock()
		remote := strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
		if now := r.o.Now(); remote && !source.asked.IsZero() && now.Sub(source.asked) < r.o.Poll {
			faults = append(faults, source.err)
			continue
		} else if remote {
			source.asked = now
		}
		if source.err = r.read(ctx, name, remote, &source); source.err != nil {
			faults = append(faults, source.err)
		}
		r.mu.Lock()
		r.lists[i] = source
		r.mu.Unlock()
	}
	return errors.Join(faults...)
}

// read reads one list. What is the same as last time is not parsed again.
func (r *Revocations) read(ctx context.Context, name string, remote bool, source *revocationSource) error {
	var text []byte
	var err error
	if remote {
		text, err = r.fetch(ctx, name)
	} else {
		text, err = os.ReadFile(name)
	}
	if err != nil || source.RevocationList != nil && bytes.Equal(text, source.text) {
		return err
	}
	list, err := smki.ParseRevocationList(text, r.o.Authorities)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	source.RevocationList, source.text = list, text
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
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, source := range r.lists {
		if source.RevocationList != nil && source.RevocationList.Check(c) != nil {
			return true
		}
	}
	return false
}

// Check says whether every certificate stands. The error wraps [smki.ErrRevoked] or
// [smki.ErrNotValidNow], or says that a list has run out or covers no certificate's
// issuer.
func (r *Revocations) Check(now time.Time) error {
	r.mu.Lock()
	lists := make([]*smki.RevocationList, 0, len(r.lists))
	for _, source := range r.lists {
		if source.RevocationList != nil {
			lists = append(lists, source.RevocationList)
		}
	}
	r.mu.Unlock()
	for _, list := range lists {
		if real := r.o.Now(); !list.NextUpdate.IsZero() && real.After(list.NextUpdate) {
			return fmt.Errorf("the revocation list of %s ran out %s", list.Issuer, list.NextUpdate.UTC().Format(time.RFC3339))
		}
	}
	for _, c := range r.o.Certificates {
		covered := len(r.o.Lists) == 0
		for _, list := range lists {
			if err := list.Check(c); err != nil {
				return err
			}
			covered = covered || list.Issuer == c.Issuer
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
