package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"safemode/cmd/cli"
	"safemode/cmd/rehearsal"
	"safemode/config"
	"safemode/engine"
	"safemode/engine/console"
	"safemode/engine/inbox"
)

// loadClientTLS reads the files of mutual TLS towards the DCC; nil if none is
// configured.
func loadClientTLS(t config.TLS, secrets secretFiles) (*tls.Config, error) {
	if t == (config.TLS{}) {
		return nil, nil
	}
	pair, err := secrets.loadPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("dcc.tls: %w", err)
	}
	pool, err := cli.Pool(t.Authorities)
	if err != nil {
		return nil, fmt.Errorf("dcc.tls.authorities: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: pool}, nil
}

// loadInbox reads what guards the inbox.
func loadInbox(i config.Inbox, secrets secretFiles) (inbox.Address, error) {
	a := inbox.Address{
		Listen: i.Listen, AllowedNames: i.TLS.AllowedNames,
		Connections: i.Connections.Total, ConnectionsPerPeer: i.Connections.PerPeer,
	}
	if i.TLS.Certificate == "" {
		return a, nil
	}
	pair, err := secrets.loadPair(i.TLS.Certificate, i.TLS.Key)
	if err != nil {
		return a, fmt.Errorf("inbox.tls: %w", err)
	}
	pool, err := cli.Pool(i.TLS.Authorities)
	if err != nil {
		return a, fmt.Errorf("inbox.tls.authorities: %w", err)
	}
	a.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool}
	return a, nil
}

// loadOperations reads what guards the operations address.
func loadOperations(o config.Operations, secrets secretFiles) (a console.Address, err error) {
	a.Listen, a.Redact = o.Listen, o.Redact
	if o.TLS != (config.ServerTLS{}) {
		pair, err := secrets.loadPair(o.TLS.Certificate, o.TLS.Key)
		if err != nil {
			return a, fmt.Errorf("operations.tls: %w", err)
		}
		a.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	}
	if o.TokenFile != "" {
		if a.Token, err = loadToken(o.TokenFile); err != nil {
			return a, fmt.Errorf("operations.token_file: %w", err)
		}
	}
	if o.LookTokenFile != "" {
		if a.LookToken, err = loadToken(o.LookTokenFile); err != nil {
			return a, fmt.Errorf("operations.look_token_file: %w", err)
		}
	}
	if o.PeopleFile != "" {
		if a.People, err = loadPeople(o.PeopleFile); err != nil {
			return a, fmt.Errorf("operations.people_file: %w", err)
		}
	}
	return a, a.Check()
}

// roles are those of the file of people, as the console has them.
var roles = map[string]console.Role{config.Viewer: console.Looks, config.Operator: console.Orders, config.Approver: console.Approves}

// loadPeople reads the people who may look and those who may give orders.
func loadPeople(name string) ([]console.Person, error) {
	if err := checkPrivate(name); err != nil {
		return nil, err
	}
	file, err := config.LoadPeople(name)
	if err != nil {
		return nil, err
	}
	var people []console.Person
	for _, p := range file.People {
		person := console.Person{Name: p.Name, Role: roles[p.Role]}
		if _, err := hex.Decode(person.TokenSHA256[:], []byte(p.TokenSHA256)); err != nil {
			return nil, err
		}
		people = append(people, person)
	}
	return people, nil
}

// checkPeers has every TLS peer of an engine checked with revocation lists.
func checkPeers(o *engine.Options, revoked func(chain []*x509.Certificate) error) {
	o.Inbox.Revoked = revoked
	if o.DCC.TLS == nil {
		return
	}
	o.DCC.TLS.VerifyConnection = func(s tls.ConnectionState) (err error) {
		for _, chain := range s.VerifiedChains { // one that stands is enough
			if err = revoked(chain); err == nil {
				return nil
			}
		}
		return err
	}
}

// peerAuthorities are the authorities of TLS peers. A file that cannot be read is a fault of the
// section that names it.
func peerAuthorities(c *config.Config) (all []*x509.Certificate) {
	for _, name := range [...]string{c.DCC.TLS.Authorities, c.Inbox.TLS.Authorities} {
		if name == "" {
			continue
		}
		certificates, _ := cli.Authorities(name)
		all = append(all, certificates...)
	}
	return all
}

// loadTestTLS reads one side of mutual TLS from a test folder.
func loadTestTLS(dir, side string) (*tls.Config, error) {
	file := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	pair, err := tls.LoadX509KeyPair(file(side+".pem"), file(side+".key"))
	if err != nil {
		return nil, fmt.Errorf("--tls: %w (safemode pki init makes it)", err)
	}
	pool, err := cli.Pool(file(rehearsal.TLSAuthority + ".pem"))
	if err != nil {
		return nil, fmt.Errorf("--tls: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool, RootCAs: pool}, nil
}
