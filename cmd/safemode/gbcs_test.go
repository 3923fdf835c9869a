package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// ask is what `gbcs sign` is asked for.
type ask struct {
	srv                string
	originator, target servicerequests.EUI
	counter            uint64
	cert, key          string // files
	message            string
}

func (a ask) args() []string {
	return []string{
		"gbcs", "sign", "--srv", a.srv, "--originator", a.originator.String(), "--target", a.target.String(),
		"--counter", strconv.FormatUint(a.counter, 10), "--cert", a.cert, "--key", a.key, a.message,
	}
}

// askFor is what a message of the test data would be signed for.
func askFor(m vectorMessage, p keyFiles) ask {
	return ask{
		m.SRV, m.Parsed.BusinessOriginatorID, m.Parsed.BusinessTargetID, m.Parsed.OriginatorCounter,
		p.cert(supplierDS), p.key(supplierDS), m.Hex,
	}
}

var (
	permittedPreCommands = []string{"ECS09", "GCS06", "ECS02", "GCS02", "ECS44", "GCS39"}
	forbiddenPreCommands = []string{"ECS03", "GCS03", "ECS42", "ECS43", "GCS32"}
)

// preCommands returns the Pre-Command of each use case.
func preCommands(t *testing.T, useCases []string) []vectorMessage {
	t.Helper()
	var found []vectorMessage
	for _, m := range vectorMessages(t) {
		if m.Kind == "precommand" && slices.Contains(useCases, m.UseCase) {
			found = append(found, m)
		}
	}
	if len(found) != len(useCases) {
		t.Fatalf("%d Pre-Commands, want %d", len(found), len(useCases))
	}
	return found
}

func TestGBCSSignVectors(t *testing.T) {
	p := publishedKeys(t)
	commands := map[string]vectorMessage{}
	for _, m := range vectorMessages(t) {
		commands[m.Name] = m
	}
	for _, m := range preCommands(t, permittedPreCommands) {
		t.Run(m.UseCase, func(t *testing.T) {
			a := askFor(m, p)
			command := commands[strings.Replace(m.Name, "_PRECOMMAND", "_COMMAND", 1)]
			inner := command.Hex[2*command.Parsed.GroupingHeaderOffset : len(command.Hex)-2*12] // without MAC
			for _, form := range []string{m.Hex, m.Hex + "00", strings.ToUpper(m.Hex), base64.StdEncoding.EncodeToString(m.bytes(t))} {
				a.message = form
				signed := strings.TrimSuffix(must(t, "", a.args()...), "\n")
				if len(signed) != len(inner) || signed[:len(signed)-2*64] != inner[:len(inner)-2*64] {
					t.Errorf("%.20s...: signed message is not the Command's but for the signature:\n%s\n%s", form, signed, inner)
				}
				must(t, "", "gbcs", "verify", "--cert", a.cert, signed)
			}
			a.message = "-"
			must(t, m.Hex[:20]+"\n  "+m.Hex[20:]+"\n", a.args()...)
		})
	}
}

func TestGBCSSignRefusesForbiddenVectors(t *testing.T) {
	p := publishedKeys(t)
	for _, m := range preCommands(t, forbiddenPreCommands) {
		for _, service := range servicerequests.Services {
			a := askFor(m, p)
			a.srv = service.SRV()
			refuses(t, exitRefused, "", "", a.args()...)
			a.message += "00"
			refuses(t, exitRefused, "", "", a.args()...)
		}
		a := askFor(m, p)
		refuses(t, exitRefused, map[string]string{
			"7.1": "Enable Supply", "7.2": "Disable Supply", "1.6": "Update Payment Mode to Prepayment",
		}[m.SRV], "", a.args()...)
		if m.SRV == "1.6" {
			refuses(t, exitRefused, "", "", append(a.args(), "--mode", "prepayment")...)
		}
	}
}

func TestGBCSSignRefusesVectorsOtherwiseAskedFor(t *testing.T) {
	t.Parallel()
	p := publishedKeys(t)
	foreign := foreignSupplier(t)
	for _, m := range preCommands(t, permittedPreCommands) {
		t.Run(m.UseCase, func(t *testing.T) {
			signed := strings.TrimSpace(must(t, "", askFor(m, p).args()...))
			for name, c := range map[string]struct {
				reason string
				change func(*ask)
			}{
				"target":     {"target", func(a *ask) { a.target++ }},
				"originator": {"90-B3-D5-1F-30-01-00-01", func(a *ask) { a.originator++ }},
				"other's key": {"originator", func(a *ask) {
					a.originator, a.cert, a.key = 0x90B3D51F30030000, p.cert(otherSupplierDS), p.key(otherSupplierDS)
				}},
				"counter":      {"originator counter", func(a *ask) { a.counter++ }},
				"counter wrap": {"originator counter", func(a *ask) { a.counter += 1 << 24 }},
				"null bytes":   {"message", func(a *ask) { a.message += "0000" }},
				"a byte":       {"message", func(a *ask) { a.message += "01" }},
				"signed":       {"signed_pre_command", func(a *ask) { a.message = signed }},
				"nothing":      {"message", func(a *ask) { a.message = "" }},
				"cut":          {"message", func(a *ask) { a.message = a.message[:len(a.message)-2] }},
				"half a byte":  {"hexadecimal", func(a *ask) { a.message = a.message[1:] }},
				"no hex":       {"hexadecimal", func(a *ask) { a.message = "xyz" }},
				"ASN.1":        {"message", func(a *ask) { a.message = "3003020101" }},
				"foreign PKI":  {"no test PKI", func(a *ask) { a.cert, a.key = foreign.cert("ds"), foreign.key("ds") }},
				"EUI":          {"belongs to", func(a *ask) { a.cert, a.key = p.cert(otherSupplierDS), p.key(otherSupplierDS) }},
				"usage":        {"keyAgreement", func(a *ask) { a.cert, a.key = p.cert(supplierKA), p.key(supplierKA) }},
				"a device's":   {"no test PKI", func(a *ask) { a.cert, a.key = p.cert("00db1234567890a0-ds"), p.key(supplierDS) }},
				"another SRV":  {"", func(a *ask) { a.srv = map[string]string{"2.5": "7.3", "7.3": "1.6", "1.6": "2.5"}[a.srv] }},
				"a read":       {"no Pre-Command", func(a *ask) { a.srv = "7.4" }},
				"inventory":    {"no Pre-Command", func(a *ask) { a.srv = "8.2" }},
				"7.1":          {"Enable Supply", func(a *ask) { a.srv = "7.1" }},
				"unknown SRV":  {"not in the permitted set", func(a *ask) { a.srv = "6.15.1" }},
			} {
				t.Run(name, func(t *testing.T) {
					a := askFor(m, p)
					c.change(&a)
					refuses(t, exitRefused, c.reason, "", a.args()...)
				})
			}
		})
	}
}

// foreignSupplier is an identity of the test supplier's EUI that some other PKI
// issued: for this command, a production certificate.
func foreignSupplier(t *testing.T) keyFiles {
	t.Helper()
	p := keyFiles{t.TempDir()}
	root := newAuthority(t, "Production")
	key := newKey(t)
	cert := issueCertificate(t, root, key, smki.Template{Role: smki.Supplier, EUI: smki.TestSupplier, Usage: smki.DigitalSignature})
	putFile(t, p.cert("ds"), cert.PEM())
	putKey(t, p.key("ds"), key)
	return p
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T, commonName string) *smki.Authority {
	t.Helper()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	root, err := smki.NewRoot(smki.Template{
		Role: smki.Root, CommonName: commonName, Usage: smki.CertSign, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
	}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// issueCertificate makes a certificate that lasts for the year 2026.
func issueCertificate(t *testing.T, by *smki.Authority, key *ecdsa.PrivateKey, template smki.Template) *smki.Certificate {
	t.Helper()
	template.NotBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	template.NotAfter = template.NotBefore.AddDate(1, 0, 0)
	cert, err := by.Issue(template, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// One flipped bit turns Arm into Disable. Only the DCC's clock is free.
// Without -whole one bit of each byte is flipped, not each.
func TestGBCSSignRefusesVectorsWithOneBitFlipped(t *testing.T) {
	t.Parallel()
	p := publishedKeys(t)
	for _, m := range preCommands(t, permittedPreCommands) {
		t.Run(m.UseCase, func(t *testing.T) {
			original := m.bytes(t)
			free := 0
			for bit := range 8 * len(original) {
				if !*whole && bit%8 != bit/8%8 {
					continue
				}
				changed := slices.Clone(original)
				changed[bit/8] ^= 1 << (bit % 8)
				a := askFor(m, p)
				a.message = hex.EncodeToString(changed)
				// Provider id, 4 bytes, ends before payload byte 15 (GBCS use cases GCS02 and GCS39).
				clock := bit/8 - m.Parsed.PayloadOffset - 15
				if (m.UseCase == "GCS02" || m.UseCase == "GCS39") && 0 <= clock && clock < 4 {
					must(t, "", a.args()...)
					free++
					continue
				}
				refuses(t, exitRefused, "", "", a.args()...)
			}
			if want := map[string]int{"GCS02": ofWhole(4, 32), "GCS39": ofWhole(4, 32)}[m.UseCase]; free != want {
				t.Errorf("%d bits are free, want %d", free, want)
			}
		})
	}
}

func TestGBCSDecodeVectors(t *testing.T) {
	for _, m := range vectorMessages(t) {
		t.Run(m.Name, func(t *testing.T) {
			line := must(t, "", "gbcs", "decode", "--json", m.Hex)
			if strings.Count(line, "\n") != 1 {
				t.Errorf("not one line: %q", line)
			}
			type facts struct {
				Kind        string              `json:"kind"`
				UseCase     string              `json:"use_case"`
				MessageCode string              `json:"message_code"`
				Originator  servicerequests.EUI `json:"originator"`
				Target      servicerequests.EUI `json:"target"`
				Counter     uint64              `json:"counter"`
				Payload     string              `json:"payload"`
				Signature   *string             `json:"signature"`
				MAC         *string             `json:"mac"`
				Error       string              `json:"error"`
			}
			var got facts
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatal(err)
			}
			want := facts{
				Kind: strings.Replace(m.Kind, "precommand", "pre_command", 1), UseCase: m.UseCase,
				MessageCode: strings.ToUpper(m.Parsed.MessageCode), Originator: m.Parsed.BusinessOriginatorID,
				Target: m.Parsed.BusinessTargetID, Counter: m.Parsed.OriginatorCounter,
				Payload: m.Parsed.Payload, Signature: m.Parsed.Signature, MAC: m.Parsed.MAC,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-publisher +decode\n%s", diff)
			}
			for _, key := range []string{`"signature":`, `"mac":`} { // null where absent
				if !strings.Contains(line, key) {
					t.Errorf("%s is missing", key)
				}
			}
			people := must(t, base64.StdEncoding.EncodeToString(m.bytes(t)), "gbcs", "decode", "-")
			if err := json.Unmarshal([]byte(people), &got); err != nil || strings.Count(people, "\n") < 10 {
				t.Errorf("without --json: %v\n%s", err, people)
			}
		})
	}
}

// The payload of a known use case must be readable; the rest is printed all the same.
func TestGBCSDecodeFaults(t *testing.T) {
	r := safemode(t, "", "gbcs", "decode", "--json", "df090100000000000003e80890b3d51f300100000800db1234567890a00002005115d9200003e8000103000900000a006aff0101120099")
	if r.code != exitFailed || !strings.Contains(r.out, `"error":`) || r.err == "" {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	refuses(t, exitUsage, "standard input: too long", strings.Repeat(" ", messageLimit+1), "gbcs", "decode", "-")
}

func TestGBCSVerifyVectors(t *testing.T) {
	p := publishedKeys(t)
	signed := 0
	for _, m := range vectorMessages(t) {
		cert := p.signingCert(m.Parsed.BusinessOriginatorID)
		if m.Signature.KeyEUI == "" {
			refuses(t, exitFailed, "none", "", "gbcs", "verify", "--cert", cert, m.Hex)
			continue
		}
		signed++
		t.Run(m.Name, func(t *testing.T) {
			line := must(t, m.Hex, "gbcs", "verify", "--json", "--cert", cert, "-")
			if !json.Valid([]byte(line)) || strings.Count(line, "\n") != 1 {
				t.Errorf("not one line of JSON: %q", line)
			}
			for _, offset := range []int{
				m.Parsed.PayloadOffset - 30, // counter
				m.Parsed.PayloadOffset + m.Parsed.PayloadLength - 1,
				m.Parsed.PayloadOffset + m.Parsed.PayloadLength + 1, // r
			} {
				b := m.bytes(t)
				b[offset] ^= 1
				refuses(t, exitFailed, "", "", "gbcs", "verify", "--cert", cert, hex.EncodeToString(b))
			}
			refuses(t, exitFailed, "belongs to", "", "gbcs", "verify", "--cert", p.cert(otherSupplierDS), m.Hex)
			refuses(t, exitFailed, "keyAgreement", "", "gbcs", "verify", "--cert", strings.Replace(cert, "-ds", "-ka", 1), m.Hex)
		})
	}
	if signed != 29 {
		t.Errorf("%d signed messages, want 29", signed)
	}
	refuses(t, exitUsage, "hexadecimal", "", "gbcs", "verify", "--cert", p.cert(supplierDS), "hello!")
	refuses(t, exitUsage, "none.pem", "", "gbcs", "verify", "--cert", "none.pem", "DF09")
	refuses(t, exitFailed, "malformed", "", "gbcs", "verify", "--cert", p.cert(supplierDS), "DF09")
}
