package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine/durable"
	"safemode/engine/journal"
	"safemode/engine/notice"
	"safemode/servicerequests/safefile"
)

func newNotify(io stdio) *cobra.Command {
	return group("notify", "Try who is told, or tell what a run could not", newNotifyTest(io), newNotifySend(io))
}

func newNotifyTest(io stdio) *cobra.Command {
	var configPath string
	c := &cobra.Command{
		Use:   "test --config FILE",
		Short: "Send a test notice by every channel of the configuration",
		Long: `Sends a notice that says it is a test by every channel of notices, once, and says
what came of each. It fails (exit 1) where one was not taken.`,
		Example: "  safemode notify test --config safemode.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, channels, err := loadNotices(configPath)
			if err != nil {
				return err
			}
			var faults []error
			for _, channel := range channels {
				ctx, cancel := context.WithTimeout(c.Context(), notifyFor)
				err := channel.Tell(ctx, notice.Test(string(conf.Environment), time.Now()))
				cancel()
				if err != nil {
					faults = append(faults, err)
					continue
				}
				fmt.Fprintf(io.out, "%s: taken\n", channel.Name())
			}
			return failWith(exitFailed, errors.Join(faults...))
		},
	}
	c.Flags().StringVar(&configPath, "config", "", "configuration file")
	required(c, "config")
	return c
}

// notifyFor bounds one try by hand; sendFor all of them.
const (
	notifyFor = 15 * time.Second
	sendFor   = time.Minute
)

func newNotifySend(io stdio) *cobra.Command {
	var configPath, journalPath string
	c := &cobra.Command{
		Use:   "send --config FILE --journal FILE",
		Short: "Send the notices that a run which has ended could not",
		Long: `Sends what stands in the journal's file of notices, for up to a minute. A running
sweep does that by itself, and so does the next start. It fails (exit 1) where some are
left.`,
		Example: "  safemode notify send --config safemode.yaml --journal journal.db",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := newLogger(io.err, false)
			conf, channels, err := loadNotices(configPath)
			if err != nil {
				return err
			}
			notifier, err := openNotifier(conf, journalPath, channels, prometheus.NewRegistry(), log)
			if err != nil {
				return err
			}
			defer notifier.Close()
			ctx, cancel := context.WithTimeout(c.Context(), sendFor)
			defer cancel()
			told := make(chan struct{})
			go func() { defer close(told); notifier.Run(ctx) }()
			left := notifier.Settle(ctx)
			cancel()
			<-told
			if left > 0 {
				return failWith(exitFailed, fmt.Errorf("%d are left: they are kept", left))
			}
			fmt.Fprintln(io.out, "nothing is left to be said")
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&configPath, "config", "", "configuration file")
	f.StringVar(&journalPath, "journal", "", "the sweep's journal")
	required(c, "config", "journal")
	return c
}

// loadNotices reads a configuration and makes its channels, of which there must be one.
func loadNotices(path string) (*config.Config, []notice.Channel, error) {
	conf, err := loadConfig(path)
	if err != nil {
		return nil, nil, err
	}
	channels, err := channelsOf(conf)
	if err == nil && len(channels) == 0 {
		err = fmt.Errorf("%s: notices names neither a webhook nor smtp: nobody is told", path)
	}
	return conf, channels, failWith(exitUsage, err)
}

// channelsOf makes the channels of a configuration, with the secrets that it names.
func channelsOf(c *config.Config) (channels []notice.Channel, err error) {
	if w := c.Notices.Webhook; w.URL != "" {
		key, err := loadToken(w.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("notices.webhook.key_file: %w", err)
		}
		trust, err := trustIn(w.Authorities)
		if err != nil {
			return nil, fmt.Errorf("notices.webhook.authorities: %w", err)
		}
		channels = append(channels, notice.NewWebhook(w.URL, []byte(key), trust))
	}
	if s := c.Notices.SMTP; s.Server != "" {
		o := notice.MailOptions{Server: s.Server, From: s.From, To: s.To, Username: s.Username}
		if s.PasswordFile != "" {
			password, err := safefile.Read(s.PasswordFile, safefile.Small, safefile.Secret)
			if err != nil {
				return nil, fmt.Errorf("notices.smtp.password_file: %w", err)
			}
			o.Password = string(bytes.TrimSpace(password))
		}
		if s.TLS == config.StartTLS {
			if o.Trust, err = trustIn(s.Authorities); err != nil {
				return nil, fmt.Errorf("notices.smtp.authorities: %w", err)
			}
		}
		channels = append(channels, notice.NewMail(o))
	}
	return channels, nil
}

// trustIn is TLS with servers that have a certificate of a file's authorities, or of the
// machine's if no file is named.
func trustIn(authorities string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if authorities == "" {
		return t, nil
	}
	pool, err := cli.Pool(authorities)
	t.RootCAs = pool
	return t, err
}

// openNotifier opens the file of notices of a journal.
func openNotifier(c *config.Config, journalPath string, channels []notice.Channel, registry prometheus.Registerer, log *zap.Logger) (*notice.Notifier, error) {
	d, err := notice.Open(notice.Options{Path: noticesOf(c, journalPath), Channels: channels, Log: log.Named("notice"), Registry: registry})
	return d, notifierRefused(err)
}

// noticesOf is the file of notices beside a journal. If the journal is not a file, it lies in the
// folder of counters, or in the working folder. Each machine has its own: people may be told
// twice, by two machines.
func noticesOf(c *config.Config, journalPath string) string {
	switch {
	case !journal.IsAddress(journalPath):
		return journalPath + ".notices"
	case journal.IsAddress(c.CustodyDir):
		return journal.Beside(journalPath, c.CustodyDir) + ".notices"
	}
	return filepath.Join(c.CustodyDir, "journal.notices")
}

func notifierRefused(err error) error {
	if errors.Is(err, durable.ErrLocked) {
		return failWith(exitRefused, fmt.Errorf("notices: a running sweep, or another safemode notify send, has the file: %w", err))
	}
	return failWith(exitFailed, err)
}
