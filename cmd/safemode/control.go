package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine"
	"safemode/engine/advice"
	"safemode/engine/console"
	"safemode/engine/record"
	"safemode/engine/report"
)

const defaultOperations = advice.DefaultOperations

// newStatus shows where a running sweep stands.
func newStatus(io stdio) *cobra.Command {
	var client operations
	var asJSON, watch bool
	var journalPath, planDir, configPath string
	c := &cobra.Command{
		Use:   "status",
		Short: "Where the sweep stands, whether it is real, and what to do",
		Long: `Says whether the sweep is real, how it is (ok, needs a person, not sending), what there is
for people to do, with the commands, and where it stands. It asks the running sweep. With
--journal it goes by the journal alone: after the end, and where nothing answers; it says
how the sweep ended. --config and --plan are then named in the commands that it advises.`,
		Example: `  safemode status --journal journal.db --config safemode.yaml --plan plan
  safemode status --operations 127.0.0.1:8090 --json
  safemode status --watch
  safemode status --operations https://ops.example:8090 --ca ca.pem --token-file operations.token`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ask := func() (status record.Status, err error) {
				return status, client.call(c.Context(), http.MethodGet, "", nil, &status)
			}
			if journalPath != "" {
				return statusOfJournal(c.Context(), io, journalPath, planDir, configPath, asJSON)
			}
			status, err := ask()
			if err != nil {
				w := wayHere(io, config.Night{})
				w.say(io, w.stands())
				return err
			}
			if watch {
				t, ok := fillable(io, false).err.(*terminal)
				if !ok {
					return failWith(exitUsage, errors.New("--watch fills a terminal, and this is none; without it the command can be run again and again"))
				}
				return failWith(exitFailed, t.show(c.Context(), screen{status: ask, quits: true}))
			}
			if asJSON {
				return printJSON(io.out, status)
			}
			return printStatus(io.out, status)
		},
	}
	client.addFlags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	c.Flags().BoolVar(&watch, "watch", false, "fill the terminal with it, a look a second, until q is pressed")
	c.Flags().StringVar(&journalPath, "journal", "", "go by this journal instead, also after the end")
	c.Flags().StringVar(&planDir, "plan", "", "with --journal: folder of the plan")
	c.Flags().StringVar(&configPath, "config", "", "with --journal: the configuration file")
	c.MarkFlagsMutuallyExclusive("json", "watch")
	c.MarkFlagsMutuallyExclusive("journal", "watch")
	c.MarkFlagsMutuallyExclusive("journal", "operations")
	return c
}

// statusOfJournal says how a sweep stands by its journal alone.
func statusOfJournal(ctx context.Context, io stdio, path, planDir, configPath string, asJSON bool) error {
	place, custodyDir := placeOf(configPath, planDir, path), ""
	if configPath != "" {
		conf, err := loadConfig(configPath)
		if err != nil {
			return err
		}
		custodyDir = conf.CustodyDir
		place.Operations, place.Guarded = conf.Operations.Listen, conf.Operations.PeopleFile != "" || conf.Operations.TokenFile != ""
	}
	st, err := engine.StatusOf(ctx, path, custodyDir, nil, place)
	if err != nil {
		return failWith(journalCode(err), err)
	}
	if st.State != "planned" {
		var r *report.Report
		if r, err = readReport(ctx, path); err != nil {
			return err
		}
		engine.Tally(&st, r, place)
	}
	if asJSON {
		return printJSON(io.out, st)
	}
	return printStatus(io.out, st)
}

// operations is the operations address of a running sweep, and what it takes to be
// let in there.
type operations struct {
	address, tokenFile, authorities string
	patience                        time.Duration // for one answer; 0: ten seconds
	person                          string        // whom an order is from, where no token says so; empty: this machine's user
}

func (o *operations) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.address, "operations", defaultOperations, "operations address of the sweep: host:port, or https://host:port")
	f.StringVar(&o.tokenFile, "token-file", "", "file with your operations token, where the sweep asks for one")
	f.StringVar(&o.authorities, "ca", "", "PEM file with the authorities of the sweep's TLS certificate (default the system's)")
}

// base is the address as a URL. Another machine is asked by https only.
func (o *operations) base() (string, error) {
	address := o.address
	if !strings.Contains(address, "://") {
		scheme := "http://"
		if o.authorities != "" {
			scheme = "https://"
		}
		address = scheme + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
		return "", failWith(exitUsage, fmt.Errorf("--operations %q: want host:port or https://host:port", o.address))
	}
	if u.Scheme == "http" && o.tokenFile != "" && !config.OnThisMachine(u.Hostname()) {
		return "", failWith(exitUsage, fmt.Errorf("--operations %q: a token goes to another machine by https only", o.address))
	}
	return u.Scheme + "://" + u.Host, nil
}

// client trusts who --ca names. It follows no redirect: the token is for one address.
func (o *operations) client() (*http.Client, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.authorities != "" {
		var err error
		if c.RootCAs, err = cli.Pool(o.authorities); err != nil {
			return nil, failWith(exitUsage, fmt.Errorf("--ca: %w", err))
		}
	}
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: c, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// call talks to the running sweep.
func (o *operations) call(ctx context.Context, method, path string, body []byte, result any) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(o.patience, 10*time.Second))
	defer cancel()
	base, err := o.base()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, base+"/api/v1/sweep"+path, bytes.NewReader(body))
	if err != nil {
		return failWith(exitUsage, fmt.Errorf("--operations %q: %w", o.address, err))
	}
	request.Header.Set(console.PersonHeader, cmp.Or(o.person, claimant()))
	if o.tokenFile != "" {
		token, err := loadToken(o.tokenFile)
		if err != nil {
			return failWith(exitUsage, fmt.Errorf("--token-file: %w", err))
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client, err := o.client()
	if err != nil {
		return err
	}
	reply, err := client.Do(request)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && method == http.MethodPost {
			return failWith(exitFailed, fmt.Errorf("%s does not answer: the order may still be carried out; see safemode status, or status --journal", o.address))
		}
		return failWith(exitFailed, fmt.Errorf("no sweep answers at %s: %w: if it has ended, safemode status --journal FILE says how, and what to do", o.address, errors.Unwrap(err)))
	}
	defer reply.Body.Close()
	said, err := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
	if err != nil {
		return failWith(exitFailed, fmt.Errorf("%s: %w", o.address, err))
	}
	if reply.StatusCode == http.StatusUnauthorized {
		return failWith(exitRefused, fmt.Errorf("%s asks for the operations token: name its file with --token-file", o.address))
	}
	switch text := strings.TrimSpace(string(said)); {
	case reply.StatusCode == http.StatusForbidden:
		return failWith(exitRefused, fmt.Errorf("%s: %s", o.address, text))
	case reply.StatusCode == http.StatusUnprocessableEntity:
		return failWith(exitUsage, errors.New(text))
	case reply.StatusCode >= 300:
		return failWith(exitFailed, fmt.Errorf("%s: %s: %s", o.address, reply.Status, text))
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(said, result); err != nil {
		return failWith(exitFailed, fmt.Errorf("%s does not answer as a sweep: %w", o.address, err))
	}
	return nil
}
