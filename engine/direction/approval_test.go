package direction_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/direction"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
)

// person is somebody with a certificate and a key.
type person struct {
	direction.Person
	key *ecdsa.PrivateKey
}

func (p person) signatory() direction.Signatory { return p.Person.Signatory() }

// office is a test PKI's issuing authority and its people.
type office struct {
	authority *smki.Authority
	folder    *smki.Folder
	people    map[string]person
	roster    *direction.Roster
}

func newOffice(t testing.TB) *office {
	t.Helper()
	f := smkitest.Folder(t, smki.TestFolder{Seed: []byte("office")})
	o := &office{&smki.Authority{Certificate: f.Issuing.Certificate, Key: f.Issuing.Key}, f, map[string]person{}, &direction.Roster{}}
	for name, role := range map[string]direction.Role{
		"alice": direction.Approver, "bob": direction.Approver, "olga": direction.Operator, "rita": direction.Recorder,
	} {
		o.roster.People = append(o.roster.People, o.hire(t, name, role).Person)
	}
	return o
}

// hire gives somebody a key and a certificate.
func (o *office) hire(t testing.TB, name string, roles ...direction.Role) person {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := person{direction.Person{Name: name, Roles: roles, Certificate: o.certify(t, name, key)}, key}
	o.people[name] = p
	return p
}

func (o *office) certify(t testing.TB, name string, key *ecdsa.PrivateKey) *smki.Certificate {
	t.Helper()
	c, err := o.authority.Issue(smki.Template{
		EUI: smki.TestSupplier, Role: smki.Other, CommonName: name, Usage: smki.DigitalSignature,
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2036, 1, 1, 0, 0, 0, 0, time.UTC),
	}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var issued = time.Date(2026, 11, 25, 18, 0, 0, 0, time.UTC)

func terms(p person) direction.Terms {
	return direction.Terms{
		PlanSHA256: strings.Repeat("ab", 32), SweepID: "abababababab", Environment: "simulator", Purpose: direction.Start,
		Journal: "j", Custody: "c", Resumes: 3, IssuedAt: issued, ExpiresAt: issued.Add(time.Hour), Approver: p.signatory(),
	}
}

func approve(t testing.TB, p person, change func(*direction.Terms)) *direction.Approval {
	t.Helper()
	tt := terms(p)
	if change != nil {
		change(&tt)
	}
	a, err := direction.Approve(tt, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTwoPeople(t *testing.T) {
	o := newOffice(t)
	alice, bob, olga, rita := o.people["alice"], o.people["bob"], o.people["olga"], o.people["rita"]
	mallory := o.hire(t, "mallory", direction.Approver) // not on the roster
	second := person{alice.Person, o.hire(t, "other", direction.Approver).key}
	second.Certificate = o.certify(t, "alice", second.key)
	occasion := direction.Occasion{
		PlanSHA256: strings.Repeat("ab", 32), SweepID: "abababababab", Environment: "simulator",
		Journal: "j", Custody: "c", Others: []direction.Signatory{olga.signatory(), rita.signatory()}, Purpose: direction.Start,
	}
	altered := approve(t, bob, nil)
	altered.Resumes = 900
	prepared := occasion
	prepared.Others = []direction.Signatory{bob.signatory()}
	byName := occasion
	byName.Others = []direction.Signatory{{Name: "bob"}}
	halted := occasion
	halted.Purpose, halted.Subject = direction.Resume, "77"
	resume := func(p person, subject string) *direction.Approval {
		return approve(t, p, func(tt *direction.Terms) { tt.Purpose, tt.Subject = direction.Resume, subject })
	}
	good := approve(t, alice, nil)
	for _, c := range []struct {
		name     string
		occasion direction.Occasion
		list     []*direction.Approval
		at       time.Time
		want     string // of the error; empty: approved
	}{
		{"two", occasion, []*direction.Approval{good, approve(t, bob, nil)}, issued.Add(time.Minute), ""},
		{"at the last instant", occasion, []*direction.Approval{good, approve(t, bob, nil)}, issued.Add(time.Hour), ""},
		{"none", occasion, nil, issued, "start of sweep abababababab: nobody has signed, and two approvers must"},
		{"one", occasion, []*direction.Approval{good}, issued, "one has signed (alice)"},
		{"the same twice", occasion, []*direction.Approval{good, approve(t, alice, func(tt *direction.Terms) { tt.Resumes = 1 })}, issued, "the same person signed twice (alice)"},
		{"the same with another key", occasion, []*direction.Approval{good, approve(t, second, nil)}, issued, "alice: nobody on the roster has this name and key"},
		{"a stranger", occasion, []*direction.Approval{good, approve(t, mallory, nil)}, issued, "mallory: nobody on the roster has this name and key"},
		{"an operator", occasion, []*direction.Approval{good, approve(t, olga, nil)}, issued, "olga: who has prepared a plan"},
		{"a recorder", occasion, []*direction.Approval{good, approve(t, rita, nil)}, issued, "rita: who has prepared a plan or recorded its direction"},
		{"the preparer", prepared, []*direction.Approval{good, approve(t, bob, nil)}, issued, "bob: who has prepared a plan or recorded its direction may not approve it"},
		{"the preparer by name", byName, []*direction.Approval{good, approve(t, bob, nil)}, issued, "bob: who has prepared a plan or recorded its direction may not approve it"},
		{"altered", occasion, []*direction.Approval{good, altered}, issued, "bob: the signature is not valid: the approval was altered"},
		{"by another's key", occasion, []*direction.Approval{good, approve(t, person{bob.Person, mallory.key}, nil)}, issued, "bob: the signature is not valid"},
		{"expired", occasion, []*direction.Approval{good, approve(t, bob, func(tt *direction.Terms) { tt.ExpiresAt = issued.Add(time.Minute) })}, issued.Add(time.Minute + 1), "bob: it expired 2026-11-25T18:01:00Z"},
		{"of tomorrow", occasion, []*direction.Approval{good, approve(t, bob, func(tt *direction.Terms) { tt.IssuedAt = issued.Add(time.Hour) })}, issued, "bob: it was issued in the future"},
		{"of another plan", occasion, []*direction.Approval{good, approve(t, bob, func(tt *direction.Terms) { tt.PlanSHA256 = strings.Repeat("cd", 32) })}, issued, "bob: it approves another plan (cdcdcdcdcdcd...)"},
		{"of live", occasion, []*direction.Approval{good, approve(t, bob, func(tt *direction.Terms) { tt.Environment = "live" })}, issued, "bob: it is for sweep abababababab in environment live"},
		{"too many ahead", occasion, []*direction.Approval{good, approve(t, bob, func(tt *direction.Terms) { tt.Resumes = 5000 })}, issued, "bob: 5000 resumes ahead: at most 1000"},
		{"a start for a resume", halted, []*direction.Approval{good, approve(t, bob, nil)}, issued, "resume 77 of sweep abababababab: nobody has signed"},
		{"a resume after another halt", halted, []*direction.Approval{resume(alice, "77"), resume(bob, "33")}, issued, "one has signed (alice)"},
		{"a resume", halted, []*direction.Approval{resume(alice, "77"), resume(bob, "77"), good}, issued, ""},
	} {
		two, err := c.occasion.Find(c.list, o.roster, c.at)
		switch {
		case c.want == "" && (err != nil || len(two) != 2 || two[0].Approver.Name == two[1].Approver.Name):
			t.Errorf("%s: %v, %v", c.name, two, err)
		case c.want != "" && (!errors.Is(err, direction.ErrNotApproved) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	if n := direction.ResumesOf([]*direction.Approval{good, approve(t, bob, func(tt *direction.Terms) { tt.Resumes = 1 })}); n != 1 {
		t.Errorf("%d resumes", n)
	}
}

func TestApprovalFile(t *testing.T) {
	o, dir := newOffice(t), filepath.Join(t.TempDir(), "plan [final]") // a name, no pattern
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	want := approve(t, o.people["alice"], nil)
	path, err := want.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || filepath.Base(path) != "approval-start-alice-20261125T180000Z.json" {
		t.Errorf("%s: %v, %v", path, info, err)
	}
	all, err := direction.LoadApprovals(dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	if diff := cmp.Diff(want, all[0]); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(filepath.Join(dir, "approval-x.json"), []byte(`{"plan_sha256":"x","more":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := direction.LoadApprovals(dir); !errors.Is(err, direction.ErrNotApproved) || !strings.Contains(err.Error(), "approval-x.json") {
		t.Errorf("an unknown field: %v", err)
	}
	if _, err := direction.Approve(direction.Terms{Subject: "a\nb"}, o.people["alice"].key); err == nil {
		t.Error("a line end was signed")
	}
}

// The canonical text is as doc.go has it.
func TestApprovalText(t *testing.T) {
	tt := direction.Terms{
		PlanSHA256: "p", Header: "h", SweepID: "s", Environment: "live", Journal: "j", Custody: "c", Purpose: direction.Resume, Subject: "12", Resumes: 4,
		IssuedAt: issued.In(time.FixedZone("", 3600)), ExpiresAt: issued.Add(time.Hour), Approver: direction.Signatory{Name: "Ann Other", Key: "k"},
	}
	text, err := tt.Text()
	want := "safemode approval 2\nplan p\nheader h\nsweep s\nenvironment live\njournal j\ncustody c\npurpose resume\nsubject 12\nresumes 4\n" +
		"issued 2026-11-25T18:00:00Z\nexpires 2026-11-25T19:00:00Z\napprover Ann Other\nkey k\n"
	if err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
}

func TestRosterAndRecord(t *testing.T) {
	o, dir := newOffice(t), t.TempDir()
	path := filepath.Join(dir, "roster.yaml")
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := direction.FormatRoster(o.roster)
	sign := func(p person, text []byte) []byte {
		signature, err := direction.Sign(p.key, text)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	rita := o.people["rita"]
	write(path, file)
	if _, err := direction.LoadRoster(path, rita.Certificate); !errors.Is(err, direction.ErrRoster) || !errors.Is(err, direction.ErrSignature) {
		t.Errorf("not signed: %v", err)
	}
	write(path+".sig", sign(o.people["alice"], file))
	if _, err := direction.LoadRoster(path, rita.Certificate); !errors.Is(err, direction.ErrSignature) {
		t.Errorf("signed by another: %v", err)
	}
	write(path+".sig", sign(rita, file))
	roster, err := direction.LoadRoster(path, rita.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if len(roster.People) != 4 || !roster.Named("alice").May(direction.Approver) || roster.Named("alice").May(direction.Recorder) || roster.Named("eve").May(direction.Approver) {
		t.Errorf("%+v", roster)
	}
	if roster.CheckEnvironment("simulator") != nil || !errors.Is(roster.CheckEnvironment("live"), direction.ErrRoster) {
		t.Error("test people are taken in live, or not in a rehearsal")
	}
	for name, change := range map[string][2]string{
		"].name: nobody is called \"safemode\"":        {"name: \"" + roster.People[1].Name, "name: \"Safemode"},
		"].name: \"" + roster.People[0].Name + "\" is": {"name: \"" + roster.People[1].Name, "name: \"" + strings.ToUpper(roster.People[0].Name)},
		`people[1].name: `:                             {"name: \"" + roster.People[1].Name, "name: \"" + roster.People[0].Name},
		"roles[0]: \"boss\"":                           {"[" + string(roster.People[0].Roles[0]) + "]", "[boss]"},
		"people[0].certificate":                        {"BEGIN CERTIFICATE", "BEGIN NOTHING"},
		"people[0].power: unknown key":                 {"    roles", "    power: all\n    roles"},
	} {
		_, err := direction.ParseRoster([]byte(strings.Replace(string(file), change[0], change[1], 1)))
		if !errors.Is(err, direction.ErrRoster) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}

	record := filepath.Join(dir, "direction.yaml")
	write(record, []byte(text))
	write(record+".sig", sign(o.people["olga"], []byte(text)))
	if _, _, err := direction.LoadRecord(record, roster); !errors.Is(err, direction.ErrSignature) {
		t.Errorf("signed by an operator: %v", err)
	}
	write(record+".sig", sign(rita, []byte(text)))
	d, r, err := direction.LoadRecord(record, roster)
	if err != nil {
		t.Fatal(err)
	}
	if r.RecordedBy != rita.signatory() || r.CheckText(&d) != nil || r.Check(roster) != nil {
		t.Errorf("%+v: %v, %v", r.RecordedBy, r.CheckText(&d), r.Check(roster))
	}
	wider := d
	wider.MaximumMeters++
	if r.CheckText(&wider) == nil {
		t.Error("a record holds for a direction that says more")
	}
	forged := *r
	forged.Text = strings.Replace(forged.Text, "maximum_meters: 10", "maximum_meters: 11", 1)
	if err := forged.Check(roster); !errors.Is(err, direction.ErrSignature) {
		t.Errorf("an altered text: %v", err)
	}
	forged = *r
	forged.RecordedBy = o.people["alice"].signatory()
	if err := forged.Check(roster); !errors.Is(err, direction.ErrSignature) {
		t.Errorf("no recorder: %v", err)
	}
}

// openssl makes the signatures that we check, and checks those that we make.
func TestSignatureByOpenSSL(t *testing.T) {
	openssl := outside.Program(t, "openssl", "openssl")
	files, err := smki.TestFolder{Seed: []byte("office")}.Files()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file, keyFile := put("direction.yaml", []byte(text)), put("rita.key", files["staff/rita.key"])
	certificate, err := smki.ParseCertificatePEM(files["staff/rita.pem"])
	if err != nil {
		t.Fatal(err)
	}
	key, err := smki.ParsePrivateKeyPEM(files["staff/rita.key"])
	if err != nil {
		t.Fatal(err)
	}
	ours, err := direction.Sign(key, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(dir, "rita.pub")
	for _, args := range [][]string{
		{"pkey", "-in", keyFile, "-pubout", "-out", public},
		{"dgst", "-sha256", "-verify", public, "-signature", put("ours.sig", ours), file},
		{"dgst", "-sha256", "-sign", keyFile, "-out", filepath.Join(dir, "theirs.sig"), file},
	} {
		if out, err := exec.Command(openssl, args...).CombinedOutput(); err != nil {
			t.Fatalf("openssl %v: %v: %s", args, err, out)
		}
	}
	theirs, err := os.ReadFile(filepath.Join(dir, "theirs.sig"))
	if err != nil {
		t.Fatal(err)
	}
	if err := direction.Verify(certificate, []byte(text), theirs); err != nil {
		t.Error(err)
	}
	if err := direction.Verify(certificate, []byte(text+" "), theirs); !errors.Is(err, direction.ErrSignature) {
		t.Errorf("another text: %v", err)
	}
}
