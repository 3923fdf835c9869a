package main

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine/directory"
	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/smki"
)

// TestMutualTLSTowardsTheDCC: from the configuration's files to the socket, for the
// DCC's services and for the SMKI service. Where either side does not prove itself no
// request is made.
func TestMutualTLSTowardsTheDCC(t *testing.T) {
	dcc, users, stranger := newTLSAuthority(t, "dcc"), newTLSAuthority(t, "users"), newTLSAuthority(t, "stranger")
	certificate, key := users.issue("user")
	right := config.TLS{Certificate: certificate, Key: key, Authorities: dcc.file}
	elsewhere := *dcc
	elsewhere.address = net.IPv4(127, 0, 0, 2)
	foreign := right
	foreign.Certificate, foreign.Key = stranger.issue("user")
	for name, test := range map[string]struct {
		by     *tlsAuthority // issues the server's certificate
		files  config.TLS
		server func(*tls.Config)
		let    bool
	}{
		"both are who they say":        {dcc, right, nil, true},
		"the server's authority":       {stranger, right, nil, false},
		"the server's name":            {&elsewhere, right, nil, false},
		"the client's authority":       {dcc, foreign, nil, false},
		"a server that has TLS 1.1":    {dcc, right, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, false},
		"no client certificate at all": {dcc, config.TLS{Authorities: dcc.file}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Content-Type", "application/xml")
				io.WriteString(w, "<Response><Result><CertificateSerial>1</CertificateSerial></Result></Response>")
			}))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			pair, err := tls.LoadX509KeyPair(test.by.issue("dcc.example"))
			if err != nil {
				t.Fatal(err)
			}
			pool, err := cli.Pool(users.file)
			if err != nil {
				t.Fatal(err)
			}
			server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
			if test.server != nil {
				test.server(server.TLS)
			}
			server.StartTLS()
			defer server.Close()

			var client *tls.Config
			if test.files.Certificate != "" {
				client, err = loadClientTLS(test.files, secretFiles{strict: true})
			} else { // no configuration can say this
				client = &tls.Config{}
				client.RootCAs, err = cli.Pool(test.files.Authorities)
			}
			if err != nil {
				t.Fatal(err)
			}
			g, err := gateway.New(gateway.Options{URL: server.URL, TLS: client})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			id := servicerequests.RequestID{Originator: smki.TestSupplier, Target: 0x00DB1234567890A0, Counter: 1}
			body, err := duis.AppendRequest(nil, duis.Request{ID: id, Service: servicerequests.ReadSupplyStatus})
			if err != nil {
				t.Fatal(err)
			}
			_, err = g.Post(t.Context(), gateway.Post{Service: record.SendCommand, ID: id, Body: body})
			if (err == nil) != test.let || !g.ServerProven() {
				t.Errorf("gateway: %v", err)
			}
			devices, err := directory.New(directory.Options{URL: server.URL, TLS: client, Authorities: []*smki.Certificate{newAuthority(t, smki.TestMarker).Certificate}})
			if err != nil {
				t.Fatal(err)
			}
			defer devices.Close()
			err = devices.Check(t.Context(), smki.TestSupplier)
			if (err == nil) != test.let || err != nil && !errors.Is(err, proof.ErrKeysUnavailable) {
				t.Errorf("SMKI service: %v", err)
			}
			if n := asked.Load(); (n == 2) != test.let || n != 0 && n != 2 {
				t.Errorf("%d requests were made", n)
			}
		})
	}
}

// In environment live a private key that others may read is refused, and anywhere
// else it is said.
func TestExposedTLSKey(t *testing.T) {
	a := newTLSAuthority(t, "users")
	certificate, key := a.issue("user")
	if err := os.Chmod(key, 0o640); err != nil {
		t.Fatal(err)
	}
	files := config.TLS{Certificate: certificate, Key: key, Authorities: a.file}
	if _, err := loadClientTLS(files, secretFiles{strict: true}); err == nil {
		t.Error("live took it")
	}
	core, logs := observer.New(zap.WarnLevel)
	if _, err := loadClientTLS(files, secretFiles{log: zap.New(core)}); err != nil || logs.Len() != 1 {
		t.Errorf("simulator: %v, log %v", err, logs.All())
	}
}
