package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/config"
	"safemode/servicerequests"
	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/strictyaml"
)

// Each file of testdata/invalid breaks one rule and begins with the faults that
// it must be refused with, word for word.
func TestInvalidFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/invalid/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := file + ":"
			for line := range strings.Lines(string(text)) {
				if fault, ok := strings.CutPrefix(line, "# want: "); ok {
					want += "\n" + strings.TrimSuffix(fault, "\n")
				}
			}
			if _, err = config.Load(file); err == nil {
				t.Fatalf("accepted; want:\n%s", want)
			}
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The example shows the default of every key that may be left out, so it and
// the minimal file mean the same.
func TestExampleShowsTheDefaults(t *testing.T) {
	example, err := config.Load("safemode.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	minimal, err := config.Load("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	minimal.DCC.TransformCertificates = example.DCC.TransformCertificates
	minimal.DCC.XMLSigningCertificates = example.DCC.XMLSigningCertificates
	minimal.DCC.Authorities = example.DCC.Authorities
	minimal.Identities[0].PKIDir = example.Identities[0].PKIDir
	minimal.CustodyDir = example.CustodyDir
	minimal.CarryColumns = example.CarryColumns
	if diff := cmp.Diff(minimal, example); diff != "" {
		t.Error(diff)
	}
}

// Every key stands in the example, live or as a comment.
func TestExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("safemode.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(reflect.Type)
	walk = func(s reflect.Type) {
		for s.Kind() == reflect.Pointer || s.Kind() == reflect.Slice || s.Kind() == reflect.Map {
			s = s.Elem()
		}
		if s.Kind() != reflect.Struct || s == reflect.TypeFor[time.Time]() {
			return
		}
		for field := range s.Fields() {
			key := field.Tag.Get("koanf")
			if key == "" || !strings.Contains(string(text), key+":") {
				t.Errorf("%s.%s: key %q is not in the example", s.Name(), field.Name, key)
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[config.Config]())
}

// The settings that the example has commented out are valid too.
func TestExampleUncommented(t *testing.T) {
	text, err := os.ReadFile("safemode.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	commentedOut := regexp.MustCompile(`(?m)^( *)#([^ #\n])`)
	code := commentedOut.ReplaceAll(text, []byte("$1$2"))
	code = regexp.MustCompile(`(?m)^  socket: .*\n`).ReplaceAll(code, nil) // the signer is at one address
	c, err := config.Parse(code)
	if err == nil && (c.SimulatorClock == nil || c.DCC.TLS.Key == "" || c.Inbox.TLS.Key == "" || c.Operations.TLS.Key == "" || c.Operations.TokenFile == "" || c.SuppressFile == "" ||
		len(c.Limits.Regions) != 4 || len(c.Limits.Services) != 3 || len(c.Limits.AnomalyThresholds) != 1 ||
		c.Roster.SignedBy == "" || len(c.Gates.RevocationLists) != 1 || c.Gates.MPIDsFile == "" || c.Gates.FreezeFile == "" || c.Signer.TLS.Key == "" || c.Notices.Webhook.KeyFile == "" || c.Notices.SMTP.PasswordFile == "" || c.Keys.InProcess == "") {
		err = errors.New("not all comments were tried")
	}
	if err != nil {
		t.Errorf("%v in:\n%s", err, code)
	}
}

func TestLiveFile(t *testing.T) {
	c, err := config.Load("testdata/live.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := config.TLS{Certificate: "testdata/client.pem", Key: "testdata/client.key", Authorities: "testdata/dcc.pem"}
	paths := []string{c.Roster.File, c.Roster.SignedBy, c.Gates.MPIDsFile, c.Gates.FreezeFile, c.Gates.RevocationLists[0], c.Gates.RevocationLists[1]}
	if diff := cmp.Diff([]string{"testdata/roster.yaml", "testdata/recorder.pem", "testdata/mpids.yaml", "testdata/freeze.yaml", "testdata/crl.pem", "https://smki.example/crl"}, paths); diff != "" {
		t.Error(diff)
	}
	if c.Environment != config.Live || c.DCC.TLS != want {
		t.Errorf("environment %q, TLS %+v", c.Environment, c.DCC.TLS)
	}
	inbox := config.InboxTLS{
		Certificate: "testdata/inbox.pem", Key: "testdata/inbox.key", Authorities: "testdata/dcc.pem", AllowedNames: []string{"dcc.example"},
	}
	if diff := cmp.Diff(inbox, c.Inbox.TLS); diff != "" {
		t.Error(diff)
	}
}

func TestPathsStartAtTheFile(t *testing.T) {
	c, err := config.Load("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.CustodyDir, c.Identities[0].PKIDir, c.DCC.Authorities[0], c.SuppressFile}
	if diff := cmp.Diff([]string{"testdata/custody", "testdata/pki", "testdata/root.pem", ""}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := config.Load("testdata/none.yaml"); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "testdata/none.yaml") {
		t.Errorf("%v; want the missing file's name", err)
	}
}

func TestMapsMergeAndListsReplace(t *testing.T) {
	minimal, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(append(minimal, "limits: {regions: {North: {per_second: 7}, 4G South: {per_second: 0.5}}}\npolicy: {retry_gas: [9h], retry_electricity: []}\n"...))
	if err != nil {
		t.Fatal(err)
	}
	regions := map[servicerequests.Region]config.Rate{
		servicerequests.North: {PerSecond: 7}, servicerequests.Central: {PerSecond: 60, Burst: 60},
		servicerequests.South: {PerSecond: 60, Burst: 60}, servicerequests.South4G: {PerSecond: 0.5},
	}
	if diff := cmp.Diff(regions, c.Limits.Regions); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]time.Duration{9 * time.Hour}, c.Policy.RetryGas); diff != "" || len(c.Policy.RetryElectricity) != 0 {
		t.Errorf("%s%v", diff, c.Policy.RetryElectricity)
	}
}

// Any text yields a valid configuration or is refused: with faults, each with its
// path, or as no YAML of ours.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"safemode.example.yaml", "testdata/minimal.yaml", "testdata/invalid/many_at_once.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\n"))
	f.Add([]byte("? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		heaptest.Limit(t, len(text), func() {
			c, err := config.Parse(text)
			if err == nil {
				if err := c.Validate(); err != nil {
					t.Errorf("accepted and not valid: %v", err)
				}
				return
			}
			requireOwn(t, err)
		})
	})
}

// requireOwn fails unless err is a *strictyaml.SyntaxError or joins faults alone.
func requireOwn(t *testing.T, err error) {
	t.Helper()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, inner := range joined.Unwrap() {
			requireOwn(t, inner)
		}
		return
	}
	fault, isFault := errors.AsType[*strictyaml.Fault](err)
	if _, isSyntax := errors.AsType[*strictyaml.SyntaxError](err); !isSyntax && (!isFault || fault.Path == "") {
		t.Errorf("an error without a path: %T %v", err, err)
	}
}

func TestPeople(t *testing.T) {
	people, err := config.LoadPeople("people.example.yaml")
	if err != nil || len(people.People) != 3 {
		t.Fatalf("the example: %+v, %v", people, err)
	}
	digest := strings.Repeat("0a", 32)
	for name, text := range map[string]string{
		"nobody":      "people: []",
		"a role":      "people: [{name: A, role: boss, token_sha256: " + digest + "}]",
		"no digest":   "people: [{name: A, role: viewer, token_sha256: 0a}]",
		"one name":    "people: [{name: A, role: viewer, token_sha256: " + digest + "}, {name: A, role: viewer, token_sha256: " + strings.Repeat("0b", 32) + "}]",
		"one token":   "people: [{name: A, role: viewer, token_sha256: " + digest + "}, {name: B, role: viewer, token_sha256: " + digest + "}]",
		"unknown key": "people: [{name: A, role: viewer, token: secret, token_sha256: " + digest + "}]",
	} {
		path := filepath.Join(t.TempDir(), "people.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.LoadPeople(path); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
