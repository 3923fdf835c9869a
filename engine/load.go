package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"safemode/engine/custody"
	"safemode/engine/directory"
	"safemode/engine/durable"
	"safemode/engine/gateway"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/loadtest"
	"safemode/engine/plan"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// LoadOptions is what a load test is made of. All fields are required unless they
// say otherwise.
type LoadOptions struct {
	Identity   Identity
	DCC        DCC
	CustodyDir string // of the test's own counters and the journal that owns them; made if it is not there

	Inbox     inbox.Address
	InboxPath string

	// Test says which services are asked of which meters. OpenLoadTest sets its counters,
	// signer, gateway, verifier and originator.
	Test loadtest.Options
	Log  *zap.Logger
}

// LoadTest is a load test with everything around it. Make it with [OpenLoadTest]
// and [LoadTest.Close] it in any case.
type LoadTest struct {
	tester  *loadtest.Tester
	gateway *gateway.Gateway
	devices *directory.Directory
	journal *journal.Journal
	custody *custody.Counters
	inbox   *inbox.Listener

	inboxURL string
	server   *http.Server
	serving  sync.WaitGroup
}

// OpenLoadTest makes a load test ready: it takes the custody of its counters and
// serves its inbox. It sends nothing. Errors that wrap [ErrRefused] say that it
// must not run: an address that is not loopback, or keys and certificates that are
// not of a test PKI.
func OpenLoadTest(ctx context.Context, o LoadOptions) (_ *LoadTest, err error) {
	l := &LoadTest{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := checkLoadKeys(&o); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.CustodyDir, 0o700); err != nil {
		return nil, err
	}
	// The journal is the counters' owner; a load test has nothing to write in it.
	if l.journal, err = journal.Open(filepath.Join(o.CustodyDir, "loadtest.db"), journal.Options{}); err != nil {
		return nil, err
	}
	if l.custody, err = custody.Open(durable.Folder(o.CustodyDir), o.Identity.EUI, owner{l.journal}, custody.Options{}); err != nil {
		return nil, err
	}
	if l.inbox, err = inbox.Listen(ctx, o.Inbox); err != nil {
		return nil, err
	}
	if err := l.connect(o); err != nil {
		return nil, err
	}
	l.serving.Go(func() { // ends with Close
		if err := l.server.Serve(l.inbox); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("inbox server ended", zap.Error(err))
		}
	})
	return l, nil
}

// checkLoadKeys refuses what could reach or serve a real DCC.
func checkLoadKeys(o *LoadOptions) error {
	var faults []error
	for _, at := range []*string{&o.DCC.URL, &o.DCC.SMKIURL} {
		checked, err := loadtest.LoopbackURL(*at)
		if err != nil {
			faults = append(faults, fmt.Errorf("%w: %w", ErrRefused, err))
			continue
		}
		*at = checked
	}
	if len(o.DCC.Transform) == 0 || len(o.DCC.XMLSigning) == 0 {
		faults = append(faults, errors.New("the DCC's certificates are missing"))
	}
	return errors.Join(append(faults, checkKeys(o.sweep()))...)
}

// sweep makes the options of a sweep of a simulator with the same keys and DCC.
func (o *LoadOptions) sweep() Options {
	return Options{Plan: &plan.Plan{Header: plan.Header{Environment: Simulator}}, Identities: []Identity{o.Identity}, DCC: o.DCC}
}

func (l *LoadTest) connect(o LoadOptions) (err error) {
	if l.gateway, err = gateway.New(gateway.Options{URL: o.DCC.URL, TLS: o.DCC.TLS, Timeout: o.DCC.Timeout, Connections: max(64, o.Test.Workers)}); err != nil {
		return err
	}
	if l.devices, err = directory.New(directory.Options{URL: o.DCC.SMKIURL, TLS: o.DCC.TLS, Authorities: o.DCC.Authorities}); err != nil {
		return err
	}
	gate, agreements, err := keysFrom(o.sweep())
	if err != nil {
		return err
	}
	verifier, err := verifierOf(o.sweep(), agreements, l.devices, l.gateway)
	if err != nil {
		return err
	}
	o.Test.Counters, o.Test.Signer, o.Test.Gateway, o.Test.Verifier = l.custody, gate, l.gateway, verifier
	o.Test.Originator, o.Test.Log = o.Identity.EUI, o.Log
	if l.tester, err = loadtest.New(o.Test); err != nil {
		return err
	}
	in, err := inbox.New(inbox.Options{
		Verifier: verifier, Authenticated: inbox.OverLoopback,
		// An answer is measured and not kept: it is no evidence.
		Receive: func(ctx context.Context, r record.Record) error {
			d, err := verifier.Delivery(ctx, r.Body)
			switch {
			case err == nil:
				l.tester.Deliver(d)
			case proof.Undecided(err):
				return err // it is sent again
			}
			return nil
		},
		Now: time.Now, Log: o.Log.Named("inbox"), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	l.inboxURL = l.inbox.URL(o.InboxPath)
	l.server = in.Server(l.inbox, o.InboxPath)
	return nil
}

// InboxURL is where the DCC must deliver to.
func (l *LoadTest) InboxURL() string { return l.inboxURL }

// Check asks the SMKI service for an organisation that it must know, so that an absent
// system is noticed before the first request.
func (l *LoadTest) Check(ctx context.Context, organisation servicerequests.EUI) error {
	if err := l.devices.Check(ctx, organisation); err != nil {
		return fmt.Errorf("SMKI service %w: %w", ErrUnreachable, err)
	}
	return nil
}

// Meet asks for the meters' keys, as many at once as the directory asks for, so
// that the test measures the system and not this program's first contact.
func (l *LoadTest) Meet(ctx context.Context, meters []loadtest.Target) error {
	asking, ctx := errgroup.WithContext(ctx)
	asking.SetLimit(16)
	for _, m := range meters {
		asking.Go(func() error {
			if _, err := l.devices.Keys(ctx, m.Device); err != nil {
				return fmt.Errorf("keys of %v: %w", m.Device, err)
			}
			return ctx.Err()
		})
	}
	return asking.Wait()
}

// Run carries out one stage; see [loadtest.Tester.Run].
func (l *LoadTest) Run(ctx context.Context, stage loadtest.Stage) (loadtest.Step, error) {
	return l.tester.Run(ctx, stage)
}

// Close gives everything back. It may be called more than once.
func (l *LoadTest) Close() error {
	var faults []error
	switch {
	case l.server != nil:
		faults = append(faults, l.server.Close())
		l.serving.Wait()
	case l.inbox != nil:
		faults = append(faults, l.inbox.Close())
	}
	if l.gateway != nil {
		l.gateway.Close()
	}
	if l.devices != nil {
		l.devices.Close()
	}
	if l.custody != nil {
		faults = append(faults, l.custody.Close())
	}
	if l.journal != nil {
		faults = append(faults, l.journal.Close())
	}
	return errors.Join(faults...)
}

// TestIdentity makes an identity of a PKI folder's supplier.
func TestIdentity(f *smki.Folder) Identity {
	return Identity{
		EUI:        f.Supplier.XMLSigning.Certificate.EUI,
		XMLSigning: f.Supplier.XMLSigning, DigitalSigning: f.Supplier.DigitalSigning, KeyAgreement: f.Supplier.KeyAgreement,
	}
}
