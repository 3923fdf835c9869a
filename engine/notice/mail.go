package notice

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"strings"
	"time"
)

// MailOptions is what a channel by mail is made of.
type MailOptions struct {
	Server string // host:port of a server that takes mail (SMTP)
	// Trust is for STARTTLS, without which nothing is said. Nil: it is said in the clear,
	// which is for a server on this machine.
	Trust              *tls.Config
	From               string   // an address, without a name
	To                 []string // likewise
	Username, Password string   // empty: the server asks for none
}

// Mail is a channel by mail. Make it with [NewMail].
type Mail struct{ o MailOptions }

// NewMail makes one.
func NewMail(o MailOptions) *Mail { return &Mail{o} }

// Name implements [Channel].
func (*Mail) Name() string { return "smtp" }

// Tell implements [Channel]: one message to all.
func (m *Mail) Tell(ctx context.Context, n Notice) error {
	if err := m.tell(ctx, n); err != nil {
		return fmt.Errorf("smtp: %w", err)
	}
	return nil
}

func (m *Mail) tell(ctx context.Context, n Notice) error {
	host, _, err := net.SplitHostPort(m.o.Server)
	if err != nil {
		return err
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", m.o.Server)
	if err != nil {
		return err
	}
	defer connection.Close()
	// A peer that hangs is left: net/smtp knows no context.
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	client, err := smtp.NewClient(connection, host)
	if err != nil {
		return err
	}
	if trust := m.o.Trust; trust != nil {
		if found, _ := client.Extension("STARTTLS"); !found {
			return errors.New("the server offers no STARTTLS: nothing is said in the clear")
		}
		trust = trust.Clone()
		trust.ServerName = host
		if err := client.StartTLS(trust); err != nil {
			return err
		}
	}
	if m.o.Username != "" {
		if err := client.Auth(smtp.PlainAuth("", m.o.Username, m.o.Password, host)); err != nil {
			return err
		}
	}
	if err := client.Mail(m.o.From); err != nil {
		return err
	}
	for _, to := range m.o.To {
		if err := client.Rcpt(to); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.message(n, time.Now())); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // the server has taken it, or not
		return err
	}
	_ = client.Quit()
	return nil
}

// message is the mail: one part of plain text, in lines that end with CR LF.
func (m *Mail) message(n Notice, now time.Time) []byte {
	var b bytes.Buffer
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	header("From", m.o.From)
	header("To", strings.Join(m.o.To, ", "))
	header("Subject", mime.QEncoding.Encode("utf-8", n.Subject()))
	header("Date", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	_, domain, _ := strings.Cut(m.o.From, "@")
	header("Message-ID", "<"+n.ID+"@"+domain+">") // the same at each try
	header("Auto-Submitted", "auto-generated")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(n.Text(), "\n", "\r\n"))) // to memory
	_ = w.Close()
	return b.Bytes()
}
