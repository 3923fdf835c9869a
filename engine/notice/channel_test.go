package notice_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/notice"
)

var key = []byte("0123456789abcdef0123456789abcdef")

// A receiver that knows the key can prove a notice, by what the header and the body say and
// nothing else.
func TestWebhookIsSigned(t *testing.T) {
	n := notice.Test("simulator", epoch)
	got := make(chan notice.Notice, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at, mac, _ := strings.Cut(r.Header.Get("Safemode-Signature"), ",v1=")
		at = strings.TrimPrefix(at, "t=")
		h := hmac.New(sha256.New, key)
		io.WriteString(h, at+"."+string(body))
		seconds, err := strconv.ParseInt(at, 10, 64)
		if want := hex.EncodeToString(h.Sum(nil)); mac != want || err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
			t.Errorf("signature %q at %q, want %q", mac, at, want)
		}
		var said notice.Notice
		if err := json.Unmarshal(body, &said); err != nil || r.Header.Get("Safemode-Notice") != said.ID || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, body, err)
		}
		w.WriteHeader(http.StatusNoContent)
		got <- said
	}))
	defer server.Close()
	if err := notice.NewWebhook(server.URL+"/hook", key, nil).Tell(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(n, <-got); diff != "" {
		t.Error(diff)
	}
}

// Any answer but a 2xx is a failure, and so is no answer in time; a redirect is not followed,
// and an error does not quote the address.
func TestWebhookPeers(t *testing.T) {
	followed := false
	var peer string
	mux := http.NewServeMux()
	mux.HandleFunc("/secret/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/followed", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed = true })
	for _, code := range []int{400, 403, 404, 429, 500, 503} {
		mux.HandleFunc("/secret/"+strconv.Itoa(code), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	mux.HandleFunc("/secret/hang", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the peer has gone
		<-r.Context().Done()
	})
	mux.HandleFunc("/secret/slow", func(w http.ResponseWriter, r *http.Request) { // a byte at a time, without an end
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("."))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	closed := httptest.NewServer(mux)
	closed.Close()
	for _, path := range []string{"redirect", "400", "403", "404", "429", "500", "503", "hang", "refused", "slow"} {
		peer = server.URL
		if path == "refused" {
			peer = closed.URL
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		at := time.Now()
		err := notice.NewWebhook(peer+"/secret/"+path, key, nil).Tell(ctx, notice.Test("live", epoch))
		cancel()
		if path == "slow" { // it had answered 200
			if err != nil || time.Since(at) > 5*time.Second {
				t.Errorf("slow: %v after %v", err, time.Since(at))
			}
			continue
		}
		if err == nil || strings.Contains(err.Error(), "secret") || time.Since(at) > 5*time.Second {
			t.Errorf("%s: %v after %v", path, err, time.Since(at))
		}
	}
	if followed {
		t.Error("the redirect was followed")
	}
}

// certificate is one for 127.0.0.1, and what trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, pool
}

// mailServer takes mail as RFC 5321 has it, and STARTTLS where it has a certificate. It
// gives each message, and what was said in the clear.
type mailServer struct {
	address string
	pair    *tls.Certificate
	refuses string // a verb that is answered 451
	hangs   string // a verb that is not answered
	clear   []string
	mails   []string
	done    chan struct{}
}

func serveMail(t *testing.T, s *mailServer) *mailServer {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address, s.done = l.Addr().String(), make(chan struct{})
	go func() {
		defer close(s.done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		s.talk(c)
	}()
	t.Cleanup(func() { _ = l.Close(); <-s.done })
	return s
}

func (s *mailServer) talk(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	say := func(line string) { io.WriteString(c, line+"\r\n") }
	secret := false
	say("220 mail.test")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		if !secret {
			s.clear = append(s.clear, line)
		}
		verb, _, _ := strings.Cut(line, " ")
		switch {
		case verb == s.hangs:
			_, _ = io.Copy(io.Discard, c)
			return
		case verb == s.refuses:
			say("451 not now")
		case verb == "EHLO" && s.pair != nil && !secret:
			say("250-mail.test\r\n250 STARTTLS")
		case verb == "EHLO":
			say("250-mail.test\r\n250 AUTH PLAIN")
		case verb == "STARTTLS":
			say("220 go on")
			c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*s.pair}})
			r, secret = bufio.NewReader(c), true
		case verb == "AUTH":
			say("235 you are known")
		case verb == "DATA":
			say("354 say it")
			var text strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			s.mails = append(s.mails, text.String())
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func tellByMail(t *testing.T, s *mailServer, o notice.MailOptions, n notice.Notice, within time.Duration) error {
	t.Helper()
	o.Server, o.From, o.To = s.address, "safemode@srp.example", []string{"night@srp.example", "day@srp.example"}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return notice.NewMail(o).Tell(ctx, n)
}

// A mail goes encrypted, to all, and reads as the notice; a check of the mail finds it whole.
func TestMail(t *testing.T) {
	pair, pool := certificate(t)
	s := serveMail(t, &mailServer{pair: &pair})
	n := notice.Test("simulator", epoch)
	if err := tellByMail(t, s, notice.MailOptions{Trust: &tls.Config{RootCAs: pool}, Username: "u", Password: "geheim"}, n, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	<-s.done
	if got := strings.Join(s.clear, "\n"); strings.Contains(got, "MAIL") || strings.Contains(got, "AUTH") {
		t.Errorf("in the clear:\n%s", got)
	}
	m, err := mail.ReadMessage(strings.NewReader(s.mails[0]))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != n.Subject() || !strings.HasPrefix(subject, "DRILL: ") {
		t.Errorf("subject %q: %v", subject, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 2 || m.Header.Get("Message-ID") != "<"+n.ID+"@srp.example>" {
		t.Errorf("to %v, %v; id %s", to, err, m.Header.Get("Message-ID"))
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if got := strings.ReplaceAll(string(body), "\r\n", "\n"); err != nil || got != n.Text() {
		t.Errorf("body %q: %v", got, err)
	}
}

// A server without STARTTLS, or with a certificate of no known authority, gets nothing; one that
// refuses or hangs is left in time.
func TestMailPeers(t *testing.T) {
	pair, pool := certificate(t)
	trust := &tls.Config{RootCAs: pool}
	for name, c := range map[string]struct {
		server *mailServer
		trust  *tls.Config
		want   string
	}{
		"no STARTTLS":   {&mailServer{}, trust, "STARTTLS"},
		"a stranger":    {&mailServer{pair: &pair}, &tls.Config{RootCAs: x509.NewCertPool()}, "unknown authority"},
		"it refuses":    {&mailServer{pair: &pair, refuses: "RCPT"}, trust, "451"},
		"data refused":  {&mailServer{refuses: "DATA"}, nil, "451"},
		"it hangs":      {&mailServer{hangs: "EHLO"}, nil, ""},
		"hangs at data": {&mailServer{hangs: "DATA"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveMail(t, c.server)
			at := time.Now()
			err := tellByMail(t, s, notice.MailOptions{Trust: c.trust}, notice.Test("live", epoch), 500*time.Millisecond)
			if err == nil || !strings.Contains(err.Error(), c.want) || time.Since(at) > 5*time.Second {
				t.Errorf("%v after %v", err, time.Since(at))
			}
			<-s.done
			for _, line := range s.clear {
				if c.trust != nil && strings.HasPrefix(line, "MAIL") {
					t.Errorf("in the clear: %s", line)
				}
			}
			if len(s.mails) > 0 {
				t.Errorf("it took %q", s.mails)
			}
		})
	}
}
