package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"safemode/config"
	"safemode/engine/console"
	"safemode/engine/inbox"
)

// loadClientTLS reads the files of mutual TLS towards the DCC; nil if none is
// configured.
func loadClientTLS(t config.TLS) (*tls.Config, error) {
	if t == (config.TLS{}) {
		return nil, nil
	}
	pair, err := loadPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("dcc.tls: %w", err)
	}
	pool, err := loadPool(t.Authorities)
	if err != nil {
		return nil, fmt.Errorf("dcc.tls.authorities: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: pool}, nil
}

// loadInbox reads what guards the inbox.
func loadInbox(i config.Inbox) (inbox.Address, error) {
	a := inbox.Address{
		Listen: i.Listen, AllowedNames: i.TLS.AllowedNames,
		Connections: i.Connections.Total, ConnectionsPerPeer: i.Connections.PerPeer,
	}
	if i.TLS.Certificate == "" {
		return a, nil
	}
	pair, err := loadPair(i.TLS.Certificate, i.TLS.Key)
	if err != nil {
		return a, fmt.Errorf("inbox.tls: %w", err)
	}
	pool, err := loadPool(i.TLS.Authorities)
	if err != nil {
		return a, fmt.Errorf("inbox.tls.authorities: %w", err)
	}
	a.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool}
	return a, nil
}

// loadOperations reads what guards the operations address.
func loadOperations(o config.Operations) (a console.Address, err error) {
	a.Listen = o.Listen
	if o.TLS != (config.ServerTLS{}) {
		pair, err := loadPair(o.TLS.Certificate, o.TLS.Key)
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
	if o.PeopleFile != "" {
		if a.People, err = loadPeople(o.PeopleFile); err != nil {
			return a, fmt.Errorf("operations.people_file: %w", err)
		}
	}
	return a, nil
}

// loadPeople reads who may look and who may give orders.
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
		person := console.Person{Name: p.Name, Operator: p.Role == config.Operator}
		if _, err := hex.Decode(person.TokenSHA256[:], []byte(p.TokenSHA256)); err != nil {
			return nil, err
		}
		people = append(people, person)
	}
	return people, nil
}

// loadPair reads a certificate with what it needs to chain, and its key.
func loadPair(certificate, key string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return pair, fmt.Errorf("%s, %s: %w", certificate, key, err)
	}
	return pair, nil
}

// loadPool reads the certificates of those who may vouch for a peer.
func loadPool(name string) (*x509.CertPool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", name)
	}
	return pool, nil
}

// shortestToken is too long to be guessed, whatever it is made of: half of it is as
// long as a key.
const shortestToken = 32

// loadToken reads the operations token from a file that nobody else may read. The
// error never quotes it.
func loadToken(name string) (string, error) {
	if err := checkPrivate(name); err != nil {
		return "", err
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if len(token) < shortestToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s: want one line of %d printable characters or more; make it with: (umask 077; openssl rand -hex 32 >%s)",
			name, shortestToken, name)
	}
	return token, nil
}

// checkPrivate refuses a secret's file that others than its owner may read.
func checkPrivate(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return fmt.Errorf("%s is open to others than its owner (mode %04o): chmod 600 it, and replace the secret if others may have read it",
			name, info.Mode().Perm())
	}
	return nil
}
