package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
)

// Notices says how people who do not watch are told that they are needed.
type Notices struct {
	Webhook Webhook `koanf:"webhook"`
	SMTP    SMTP    `koanf:"smtp"`
}

// Webhook is an address to which each notice is POSTed.
type Webhook struct {
	URL         string `koanf:"url"` // empty: none
	KeyFile     string `koanf:"key_file"`
	Authorities string `koanf:"authorities"` // PEM file; empty: the machine's
}

// SMTP is a server that takes mail.
type SMTP struct {
	Server       string   `koanf:"server"` // host:port; empty: none
	TLS          string   `koanf:"tls"`    // starttls, or none on this machine
	From         string   `koanf:"from"`
	To           []string `koanf:"to"`
	Username     string   `koanf:"username"` // empty: the server asks for none
	PasswordFile string   `koanf:"password_file"`
	Authorities  string   `koanf:"authorities"` // PEM file; empty: the machine's
}

// Whether mail is encrypted.
const (
	StartTLS = "starttls"
	noTLS    = "none"
)

func (f *faults) notices(n Notices, e Environment) {
	w := n.Webhook
	if w != (Webhook{}) {
		f.url("notices.webhook.url", w.URL, e)
		f.required("notices.webhook.key_file", w.KeyFile)
		u, err := url.Parse(w.URL)
		f.check(err != nil || u.Scheme != "http" || OnThisMachine(u.Hostname()), "notices.webhook.url",
			"%q: another machine needs https", w.URL)
	}
	s := n.SMTP
	f.oneOf("notices.smtp.tls", s.TLS, StartTLS, noTLS)
	if s.Server == "" && s.From == "" && len(s.To) == 0 && s.Username == "" && s.PasswordFile == "" && s.Authorities == "" {
		return
	}
	host, port, err := net.SplitHostPort(s.Server)
	number, unread := strconv.ParseUint(port, 10, 16)
	f.check(err == nil && host != "" && unread == nil && number > 0, "notices.smtp.server", "%q: want host:port, like mail.example:587", s.Server)
	f.check(s.TLS != noTLS || OnThisMachine(host), "notices.smtp.tls", "none is for a server on this machine: %s is another", host)
	f.check(s.TLS != noTLS || s.Username == "", "notices.smtp.username", "a password needs tls: starttls")
	f.check((s.Username == "") == (s.PasswordFile == ""), "notices.smtp.password_file", "username and password_file go together")
	f.address("notices.smtp.from", s.From)
	f.check(len(s.To) > 0, "notices.smtp.to", "required: name one address or more")
	for i, to := range s.To {
		path := fmt.Sprintf("notices.smtp.to[%d]", i)
		f.address(path, to)
		f.check(slices.Index(s.To, to) == i, path, "%q is listed already", to)
	}
}

// address checks an address of mail, which is without a name.
func (f *faults) address(path, text string) {
	a, err := mail.ParseAddress(text)
	f.check(err == nil && a.Address == text, path, "%q: want an address like night@srp.example", text)
}

// OnThisMachine says whether a host is the loopback.
func OnThisMachine(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
