package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"os"

	"safemode/config"
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
	pool, err := loadPool(t.Authorities)
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
	pool, err := loadPool(i.TLS.Authorities)
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
