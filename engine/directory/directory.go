package directory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"safemode/engine/proof"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/smki"
)

var (
	// errUnavailable says that the SMKI service could not be asked, or did not
	// answer sensibly. Asking again may help: it wraps
	// [proof.ErrKeysUnavailable].
	errUnavailable = fmt.Errorf("directory: the SMKI service: %w", proof.ErrKeysUnavailable)

	// errNoCertificate says that the service has no certificate in use for the
	// device, or no valid one. It is not final: tomorrow it may have one.
	errNoCertificate = errors.New("directory: no certificate")
)

// Options configures a Directory.
type Options struct {
	URL    string       // of the SMKI service, without its paths
	Client *http.Client // nil: one that follows no redirect and uses no proxy
	TLS    *tls.Config  // of that client: its certificate, and the authorities of the service's; at least TLS 1.2 is used
	APIKey string       // sent with each question

	// Authorities are the certificates that a device certificate must chain to,
	// each of them trusted: at least one root.
	Authorities []*smki.Certificate

	Timeout time.Duration // of all questions for one device together, real time; 0: 20 s
	Devices int           // how many devices' keys are kept, at about 400 bytes each; 0: 100,000

	// Again is the minimum time between two questions for a device's keys because a message
	// has failed under the cached ones. By the clock; 0: 1 min.
	Again time.Duration
	Clock clock.Clock // by which keys change; zero: real time
	// Learnt is called with a device when its keys have become known, or have changed. It must
	// not block. Optional.
	Learnt func(servicerequests.EUI)
}

// validate joins all faults, each with its field.
func (o Options) validate() error {
	var errs []error
	if u, err := url.Parse(o.URL); err != nil {
		errs = append(errs, fmt.Errorf("url: %w", err))
	} else if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		errs = append(errs, fmt.Errorf("url %q: want http://host or https://host", o.URL))
	}
	if len(o.Authorities) == 0 {
		errs = append(errs, errors.New("authorities: there is none"))
	}
	if o.Timeout < 0 || o.Devices < 0 || o.Again < 0 {
		errs = append(errs, errors.New("timeout, devices and again must not be negative"))
	}
	return errors.Join(errs...)
}

// Directory is safe for concurrent use.
type Directory struct {
	service     service
	authorities smki.Trusted
	timeout     time.Duration
	again       time.Duration
	learnt      func(servicerequests.EUI)
	clock       clock.Clock
	made        time.Time // by the clock

	asked atomic.Uint64 // how often the service was asked for a device's keys

	mu       sync.Mutex
	cache    cache
	underWay map[servicerequests.EUI]*lookup
}

// maxLookups bounds how many devices are asked about at a time.
const maxLookups = 1024

// lookup is a question to the service that is under way; done is closed when keys and err are
// set.
type lookup struct {
	done chan struct{}
	keys proof.DeviceKeys
	err  error
}

// New makes a directory that knows no device yet. It does not connect.
func New(o Options) (*Directory, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	client := o.Client
	if client == nil {
		transport := &http.Transport{MaxConnsPerHost: 16, MaxIdleConnsPerHost: 16, IdleConnTimeout: 90 * time.Second}
		if o.TLS != nil {
			transport.TLSClientConfig = o.TLS.Clone()
			transport.TLSClientConfig.MinVersion = max(o.TLS.MinVersion, tls.VersionTLS12)
		}
		client = &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if o.Clock.Anchor.IsZero() {
		o.Clock.Anchor = time.Now()
	}
	o.Clock = o.Clock.Start(time.Time{})
	return &Directory{
		service:     serviceAt(client, base, o.APIKey),
		authorities: smki.Trust(o.Authorities),
		timeout:     cmp.Or(o.Timeout, 20*time.Second),
		again:       cmp.Or(o.Again, time.Minute),
		learnt:      o.Learnt,
		clock:       o.Clock,
		made:        o.Clock.Now(),
		cache:       newCache(cmp.Or(o.Devices, 100_000)),
		underWay:    map[servicerequests.EUI]*lookup{},
	}, nil
}

// Keys returns the keys of a device, from the cache or from the SMKI service. The service is
// asked once, however many callers ask for one device at a time. Errors wrap
// [errUnavailable] or [errNoCertificate], and are not cached.
func (d *Directory) Keys(ctx context.Context, device servicerequests.EUI) (proof.DeviceKeys, error) {
	d.mu.Lock()
	if kept := d.cache.get(device); kept != nil {
		keys := kept.keys
		d.mu.Unlock()
		return keys.unpack()
	}
	return d.wait(ctx, device)
}

// Refresh asks the service for the keys of a device although they are cached: a message has
// failed under them, and the device may have others by now. It fails with [errUnavailable]
// if it was called for the device within Again. When it fails the cached keys stay.
func (d *Directory) Refresh(ctx context.Context, device servicerequests.EUI) (proof.DeviceKeys, error) {
	d.mu.Lock()
	kept := d.cache.get(device)
	if since := d.clock.Now().Sub(d.made); kept != nil && d.underWay[device] == nil {
		if since-kept.asked < d.again {
			d.mu.Unlock()
			return proof.DeviceKeys{}, fmt.Errorf("%w: %s: it was asked less than %v ago", errUnavailable, device, d.again)
		}
		kept.asked = since // also if it fails
	}
	return d.wait(ctx, device)
}

// wait waits for the service's answer about a device, and asks if no question is under way.
// The caller holds the mutex; wait unlocks it.
func (d *Directory) wait(ctx context.Context, device servicerequests.EUI) (proof.DeviceKeys, error) {
	l, joined := d.underWay[device]
	if !joined {
		if len(d.underWay) >= maxLookups {
			d.mu.Unlock()
			return proof.DeviceKeys{}, fmt.Errorf("%w: %s: it is asked about %d devices already", errUnavailable, device, maxLookups)
		}
		l = &lookup{done: make(chan struct{})}
		d.underWay[device] = l
		// The answer is for all who wait, so the first caller's context does not end the
		// question; the time-out does.
		go d.find(context.WithoutCancel(ctx), device, l)
	}
	d.mu.Unlock()
	select {
	case <-l.done:
		keys := l.keys
		keys.Fresh = !joined // the answer to an earlier call's question may be older than this call's message
		return keys, l.err
	case <-ctx.Done():
		return proof.DeviceKeys{}, fmt.Errorf("%w: %s: %w", errUnavailable, device, ctx.Err())
	}
}

// Asked is for how many devices' keys the service was asked so far.
func (d *Directory) Asked() uint64 { return d.asked.Load() }

// Check asks the service for an organisation that it must know, to find a wrong or broken
// service early. Errors wrap [errUnavailable] or [errNoCertificate].
func (d *Directory) Check(ctx context.Context, organisation servicerequests.EUI) error {
	found, err := d.service.search(ctx, subjectOrganisation, organisation)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: it does not answer as an SMKI service does", errUnavailable)
	}
	return err
}

// Listed says whether the service lists a certificate of an organisation as in use, by the
// certificate itself. The error says what it lists, and wraps [errUnavailable] or
// [errNoCertificate].
func (d *Directory) Listed(ctx context.Context, c *smki.Certificate) error {
	found, err := d.service.search(ctx, subjectOrganisation, c.EUI)
	if err != nil {
		return err
	}
	for _, r := range found {
		der, err := d.service.retrieve(ctx, r.serial)
		switch {
		case err != nil:
			return err
		case !bytes.Equal(der, c.Raw):
		case r.status != "I":
			return fmt.Errorf("%w: its status is %.10q", errNoCertificate, r.status)
		default:
			return nil
		}
	}
	return fmt.Errorf("%w: the %d that are listed of %s are others", errNoCertificate, len(found), c.EUI)
}

// Close closes the connections that are not in use.
func (d *Directory) Close() { d.service.client.CloseIdleConnections() }

// find asks the service and ends the lookup.
func (d *Directory) find(ctx context.Context, device servicerequests.EUI, l *lookup) {
	d.asked.Add(1)
	begun := d.clock.Now().Sub(d.made)
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	l.keys, l.err = d.ask(ctx, device)
	d.mu.Lock()
	changed := l.err == nil && d.cache.put(device, pack(l.keys), begun)
	delete(d.underWay, device)
	close(l.done)
	d.mu.Unlock()
	if changed && d.learnt != nil {
		d.learnt(device)
	}
}

func (d *Directory) ask(ctx context.Context, device servicerequests.EUI) (keys proof.DeviceKeys, err error) {
	found, err := d.service.search(ctx, subjectDevice, device)
	if err != nil {
		return keys, fmt.Errorf("%s: %w", device, err)
	}
	signing, err := d.certificates(ctx, device, found, "DS", smki.DigitalSignature)
	if err != nil {
		return keys, err
	}
	agreement, err := d.certificates(ctx, device, found, "KA", smki.KeyAgreement)
	if err != nil {
		return keys, err
	}
	for _, c := range signing {
		keys.DigitalSignature = append(keys.DigitalSignature, c.PublicKey)
	}
	for _, c := range agreement {
		key, err := c.ECDH()
		if err != nil {
			return proof.DeviceKeys{}, fmt.Errorf("%w: %s: %w", errNoCertificate, device, err)
		}
		keys.KeyAgreement = append(keys.KeyAgreement, key)
	}
	return keys, nil
}

// maxCandidates bounds how many certificates of one purpose are fetched.
const maxCandidates = 4

// certificates fetches the certificates in use for one purpose and returns the valid ones,
// the newest first. A device has two while they are being changed: the
// service lists the new one before the device uses it.
func (d *Directory) certificates(ctx context.Context, device servicerequests.EUI, found []result, code string, usage smki.Usage) (believed []*smki.Certificate, err error) {
	reason := errors.New("none is in use")
	fetched := 0
	for _, r := range found {
		if r.status != "I" || r.usage != code || fetched == maxCandidates {
			continue
		}
		fetched++
		der, err := d.service.retrieve(ctx, r.serial)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", device, err)
		}
		c, err := d.verify(der, device, usage)
		if err != nil {
			reason = fmt.Errorf("serial %s: %w", r.serial, err)
			continue
		}
		believed = append(believed, c)
	}
	if len(believed) == 0 {
		return nil, fmt.Errorf("%w for %s, %s: %w", errNoCertificate, device, usage, reason)
	}
	slices.SortStableFunc(believed, func(a, b *smki.Certificate) int { return b.NotBefore.Compare(a.NotBefore) })
	return believed, nil
}

// verify reads a certificate and checks everything that it must be. It does not check
// validity in time, because device certificates do not expire.
func (d *Directory) verify(der []byte, device servicerequests.EUI, usage smki.Usage) (*smki.Certificate, error) {
	c, err := smki.ParseCertificate(der)
	switch {
	case err != nil:
		return nil, err
	case !c.Device:
		return nil, errors.New("it is no device's")
	case c.EUI != device:
		return nil, fmt.Errorf("it is that of %s", c.EUI)
	case c.Usage != usage:
		return nil, fmt.Errorf("it is for %s", c.Usage)
	}
	return c, d.authorities.Verify(c)
}
