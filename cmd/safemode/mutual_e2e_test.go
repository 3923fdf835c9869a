package main

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"safemode/cmd/cli"
	"safemode/cmd/rehearsal"
)

// A whole sweep over mutual TLS, both ways: towards the DCC's services, its SMKI
// service, and from there to the inbox. A load test may run over it, too.
func TestSweepOverMutualTLS(t *testing.T) {
	long(t)
	s := newScene(t, 20, 5, hasty)
	mutual := "tls: {certificate: pki/tls/user.pem, key: pki/tls/user.key, authorities: pki/tls/authority.pem"
	s.configure(t, "safemode.yaml",
		"url: http://", "url: https://",
		"  transform_certificates", "  "+mutual+"}\n  transform_certificates",
		"inbox: {listen: "+s.inbox+"}", "inbox: {listen: "+s.inbox+", "+mutual+", allowed_names: ["+rehearsal.TLSDCCName+"]}}")
	s.plan(t, "plan", "safemode.yaml", "direction.yaml")
	sim := s.sim(t, "--tls", "--respond-to", "https://"+s.inbox+"/smartdcc/duis")

	pool, err := cli.Pool(s.path("pki/tls/authority.pem"))
	if err != nil {
		t.Fatal(err)
	}
	nobody := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for _, address := range []string{s.duis, s.smki} {
		if reply, err := nobody.Get("https://" + address + "/"); err == nil {
			reply.Body.Close()
			t.Errorf("%s answers %s to who shows no certificate", address, reply.Status)
		}
	}

	must(t, "", "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
	s.sweep(t).succeeds()
	summary, meters := s.report(t, "journal.db")
	if summary.Verdicts.OnSupply < summary.Meters/2 {
		t.Errorf("%+v", summary.Verdicts)
	}
	must(t, "", "evidence", "--journal", s.path("journal.db"), "--device", meters[0]["device_id"], "--config", s.path("safemode.yaml"), "--out", s.path("evidence"))
	s.borneOut(t, sim, meters)

	sim = s.sim(t, "--tls", "--respond-to", "https://"+s.inbox+"/smartdcc/duis")
	start(t, "loadtest", "--tls", "--url", "https://"+s.duis, "--smki-url", "https://"+s.smki, "--inbox", s.inbox, "--pki", s.path("pki"),
		"--portfolio", s.path("portfolio.csv"), "--custody", s.path("loadtest-custody"), "--duration", "2s", "--wait", "20s",
		"--rate", "10", "--threshold", "answered>=50%").succeeds()
	stopSim(t, sim)
}
