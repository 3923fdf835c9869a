package signercmd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine/authority"
	"safemode/engine/direction"
	"safemode/engine/durable"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/signer"
	"safemode/engine/signing"
	"safemode/servicerequests/safefile"
)

func (p Program) serve() *cobra.Command {
	var path string
	var verbose bool
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Hold the keys, and sign what the plan allows",
		Long: `Holds the supplier's keys and signs for a sweep, which names it in its configuration
(signer.socket, or signer.url with signer.tls). It has its own copy of plan, roster and
limits, and decides by them: a sweep opens it with the approvals of two people. Each
signature and each refusal is in its own log (signer.db in its folder) before it is made;
"safemode audit --signer-log" holds that against the sweep's journal.

It goes on as it was after a restart. "freeze" stops it at once; so does taking its plan
away. It ends with Ctrl-C.`,
		Example: "  " + p.Name + " serve --config signer.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := p.Logger(p.Err, verbose)
			defer log.Sync()
			l, err := load(path)
			if err != nil {
				return fail(cli.Usage, err)
			}
			return fail(cli.Failed, p.run(c.Context(), l, log))
		},
	}
	c.Flags().StringVar(&path, "config", "", "the signer's configuration")
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log grants, too")
	cli.Require(c, "config")
	return c
}

// fail gives an error an exit code, but one that has one, or that says that somebody must
// approve or wait first.
func fail(code int, err error) error {
	var known *cli.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, authority.ErrNoAuthority), errors.Is(err, direction.ErrNotApproved), errors.Is(err, journal.ErrInUse):
		code = cli.Refused
	}
	return cli.Fail(code, err)
}

func (p Program) run(ctx context.Context, l loaded, log *zap.Logger) (err error) {
	keys, err := p.open(ctx, l.Signer, log.Named("token"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.close()) }()
	o := l.options()
	if o.Gate, err = signer.New(signer.Options{Identities: keys.identities}); err != nil {
		return err
	}
	o.Agreements, o.Log, o.Stopped = keys.agreements, log.Named("signer"), planPresent(l.Plan)
	look := func(err error) {
		if err != nil {
			log.Warn("evidence could not be read", zap.Error(err))
		}
	}
	look(l.gates.Look(ctx))
	watching, stop := context.WithCancel(ctx)
	var gates sync.WaitGroup
	defer gates.Wait()
	defer stop()
	gates.Go(func() { l.gates.Watch(watching, look) })
	s, err := signing.New(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	listener, err := l.listen(ctx)
	if err != nil {
		return err
	}
	server := s.Server()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(p.Err, "the signer has plan %s and answers at %s\n", l.plan.SweepID(), l.Listen)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	quiet, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = server.Shutdown(quiet)
	if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// planPresent checks that the plan that the signer began with is still there: to remove the plan
// is to stop the signer.
func planPresent(folder string) func() error {
	path := filepath.Join(folder, plan.FileName)
	was, err := os.Lstat(path)
	return func() error {
		now, gone := os.Lstat(path)
		switch {
		case err != nil || gone != nil:
			return fmt.Errorf("its plan is not there any more: %w", errors.Join(err, gone))
		case !os.SameFile(was, now) || !was.ModTime().Equal(now.ModTime()) || was.Size() != now.Size():
			return fmt.Errorf("%s is not the plan any more that it began with", path)
		}
		return nil
	}
}

// listen listens where the configuration says.
func (l *loaded) listen(ctx context.Context) (net.Listener, error) {
	if l.Socket() {
		users := l.Users
		if len(users) == 0 {
			users = []int{os.Getuid()}
		}
		return signing.ListenUnix(ctx, l.Listen, users)
	}
	pair, err := pair(l.TLS)
	if err != nil {
		return nil, err
	}
	pool, err := cli.Pool(l.TLS.Authorities)
	if err != nil {
		return nil, err
	}
	return inbox.Listen(ctx, inbox.Address{
		Listen: l.Listen, AllowedNames: l.TLS.AllowedNames, Connections: 512, ConnectionsPerPeer: 256,
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool},
	})
}

func pair(t config.InboxTLS) (tls.Certificate, error) {
	certificate, err := safefile.Read(t.Certificate, safefile.Small, safefile.Own)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := safefile.Read(t.Key, safefile.Small, safefile.Secret)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certificate, key)
}

func (p Program) freeze() *cobra.Command {
	return p.folder("freeze", "Stop the signer at once",
		`Stops the signer at its next question, without its help and without the sweep's: it signs
nothing more. It needs the signer's folder and nothing else, and anybody may who can
write there. After it is taken back ("thaw"), only approvals count that were given since.`,
		func(l loaded) error {
			path := filepath.Join(l.Folder, signing.FrozenName)
			err := durable.Replace(path, 0o600, durable.Bytes(fmt.Appendf(nil, "frozen %s\n", time.Now().UTC().Format(time.RFC3339))))
			if err == nil {
				fmt.Fprintln(p.Out, "frozen: nothing is signed")
			}
			return err
		})
}

func (p Program) thaw() *cobra.Command {
	return p.folder("thaw", "Take a freeze back",
		`Takes a freeze back. The signer signs again once a sweep has opened it with the approvals
of two people, given after the freeze.`,
		func(l loaded) error {
			path := filepath.Join(l.Folder, signing.FrozenName)
			if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
				return cli.Fail(cli.Usage, errors.New("the signer is not frozen"))
			}
			err := durable.Remove(path)
			if err == nil {
				fmt.Fprintln(p.Out, "thawed: have two approve, and start the sweep again")
			}
			return err
		})
}

func (p Program) accept() *cobra.Command {
	return p.folder("accept", "Take a log that was restored, or begun because the old one is lost, for the newest",
		`Takes the signer's log for the newest though it was restored from a backup, copied, or
begun because the old one is lost. Two must have approved that very log: without
their approvals in the plan's folder the command says what they must name. The signer
must not be running. Never do this while the newer log can still be found.`,
		func(l loaded) error {
			approvals, err := direction.LoadApprovals(l.Plan)
			if err != nil {
				return err
			}
			_ = l.gates.Look(context.Background()) // a list that cannot be read revokes nothing
			subject, err := signing.Accept(context.Background(), l.options(), approvals)
			if err != nil {
				return fmt.Errorf("%w\nTwo must approve it: safemode approve --accept --subject %q --plan DIR --cert FILE --key FILE", err, subject)
			}
			fmt.Fprintln(p.Out, "accepted: "+subject)
			return nil
		})
}

// folder is a command on the signer's folder.
func (p Program) folder(name, short, long string, do func(loaded) error) *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: name + " --config FILE", Short: short, Long: long, Example: "  " + p.Name + " " + name + " --config signer.yaml", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := load(path)
			if name == "freeze" && l.Signer != nil {
				err = nil // a plan or a roster that cannot be read stops no freeze
			}
			if err != nil {
				return fail(cli.Usage, err)
			}
			return fail(cli.Failed, do(l))
		},
	}
	c.Flags().StringVar(&path, "config", "", "the signer's configuration")
	cli.Require(c, "config")
	return c
}
