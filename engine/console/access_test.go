package console

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const token = "0123456789abcdef0123456789abcdef"

func TestListen(t *testing.T) {
	listener, err := Listen(t.Context(), Address{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(newConsole(t, &fakeSweep{}, nil))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	resp, err := http.Get(server.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ok\n" {
		t.Errorf("got %q, %v", body, err)
	}
	if _, err := Listen(t.Context(), Address{Listen: listener.Addr().String()}); err == nil {
		t.Error("an address in use: accepted")
	}
}

// Where other machines can ask, both TLS and a token must guard.
func TestListenElsewhere(t *testing.T) {
	for name, a := range map[string]Address{
		"bare":          {},
		"token, no TLS": {Token: token},
		"TLS, no token": {TLS: &tls.Config{}},
	} {
		a.Listen = ":0"
		if l, err := Listen(t.Context(), a); !errors.Is(err, errNotLoopback) {
			t.Errorf("%s: got %v", name, err)
			if err == nil {
				l.Close()
			}
		}
	}
	open, err := Listen(t.Context(), Address{Listen: ":0", TLS: &tls.Config{}, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	open.Close()
}

func TestListenTLS(t *testing.T) {
	borrowed := httptest.NewTLSServer(nil) // for its certificate
	defer borrowed.Close()
	listener, err := Listen(t.Context(), Address{Listen: "127.0.0.1:0", TLS: &tls.Config{Certificates: borrowed.TLS.Certificates}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: newConsole(t, &fakeSweep{}, nil), ErrorLog: zap.NewStdLog(zap.NewNop())}
	go server.Serve(listener)
	defer server.Close()
	transport := borrowed.Client().Transport.(*http.Transport).Clone()
	client := &http.Client{Transport: transport}
	resp, err := client.Get("https://" + listener.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.TLS == nil || resp.TLS.Version < tls.VersionTLS12 {
		t.Errorf("TLS state %+v", resp.TLS)
	}
	transport.CloseIdleConnections()
	transport.TLSClientConfig.MinVersion = tls.VersionTLS10
	transport.TLSClientConfig.MaxVersion = tls.VersionTLS11
	if resp, err := client.Get("https://" + listener.Addr().String() + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("TLS 1.1 was let in")
	}
	if resp, err := http.Get("http://" + listener.Addr().String() + "/healthz"); err == nil {
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("plain HTTP was let in")
		}
	}
}

func TestToken(t *testing.T) {
	s := &fakeSweep{status: 1}
	registry := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	h := newConsole(t, s, func(o *Options) { o.Token, o.Registerer, o.Log = token, registry, zap.New(core) })
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	paths := map[string]string{"/": "GET", "/metrics": "GET", "/api/v1/sweep": "GET", "/api/v1/sweep/stop": "POST", "/nothing": "GET"}
	turned := 0
	for _, authorization := range []string{
		"", "Bearer", "Bearer ", "Bearer " + token[1:], "Bearer " + token + " ", "bearer " + token, token,
		basic("", ""), basic(token, ""), basic("ops", token[1:]), "Basic " + token,
	} {
		for path, method := range paths {
			w := ask(h, method, path, "Authorization", authorization)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" || strings.Contains(w.Body.String(), token) {
				t.Errorf("%q: %s %s: got %d %q", authorization, method, path, w.Code, w.Body)
			}
			turned++
		}
	}
	if len(s.orders) != 0 {
		t.Errorf("orders %v", s.orders)
	}
	for _, authorization := range []string{"Bearer " + token, basic("ops", token), basic("", token)} {
		// Under any host name: who knows the token is no page that had its name rebound.
		if w := ask(h, "GET", "/api/v1/sweep", "Authorization", authorization, "Host", "ops.example"); w.Code != 200 {
			t.Errorf("%q: got %d", authorization, w.Code)
		}
	}
	// A browser sends Basic by itself, for whatever page asks.
	if w := ask(h, "POST", "/api/v1/sweep/stop", "Authorization", basic("ops", token), "Sec-Fetch-Site", "cross-site"); w.Code != 403 || len(s.orders) != 0 {
		t.Errorf("foreign page: got %d, orders %v", w.Code, s.orders)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := ask(h, "GET", path); w.Code != 200 || w.Body.String() != "ok\n" {
			t.Errorf("%s: got %d %q", path, w.Code, w.Body)
		}
	}
	if got := counted(t, registry, "safemode_operations_refused_total", "token"); got != float64(turned) {
		t.Errorf("%v counted, want %d", got, turned)
	}
	if logs.FilterMessage("request refused").Len() == 0 {
		t.Error("the log says nothing")
	}
	for _, entry := range logs.All() {
		for _, f := range entry.Context {
			if strings.Contains(f.String, token) {
				t.Errorf("the log holds the token: %v", entry)
			}
		}
	}
}

// counted reads the counter with this label value.
func counted(t *testing.T, g prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no %s{%s}", name, label)
	return 0
}
