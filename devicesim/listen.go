package devicesim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// ErrNotLoopback marks a control address that others could reach.
var ErrNotLoopback = errors.New("control address is not loopback")

// listen binds the three addresses.
func (s *Simulator) listen(o Options) error {
	var binder net.ListenConfig
	for i, service := range []struct {
		address string
		handler http.Handler
		guarded bool // by mutual TLS, where there is any
	}{
		{o.Listen, s.dcc.Handler(), true},
		{o.SMKIListen, s.certificateService(o), true},
		{o.Control, s.control(o.Registerer), false},
	} {
		if service.address == "" {
			service.address = "127.0.0.1:0"
		}
		listener, err := binder.Listen(context.Background(), "tcp", service.address)
		if err != nil {
			return errors.Join(fmt.Errorf("listen: %w", err), s.Close())
		}
		if o.TLS != nil && service.guarded {
			listener = tls.NewListener(listener, mutual(o.TLS))
		}
		s.servers[i] = server{listener, newServer(service.handler, o.Log)}
	}
	if address, ok := s.servers[2].listener.Addr().(*net.TCPAddr); !ok || !address.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("%s: %w", s.ControlAddr(), ErrNotLoopback), s.Close())
	}
	return nil
}

// mutual is the TLS configuration of the DCC's services: a User must have a certificate
// of the DCC's authorities, and at least TLS 1.2.
func mutual(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS12
	c.NextProtos = []string{"http/1.1"}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	return c
}

func newServer(h http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(log.Named("http")),
	}
}
