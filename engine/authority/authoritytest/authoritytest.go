// Package authoritytest has the people, the plan and the approvals of tests that need
// somebody with authority.
package authoritytest

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"safemode/engine/authority"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/smki/smkitest"
)

// Night is the real time at which everything here happens.
var Night = time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)

const (
	JournalID = "00112233445566778899aabbccddeeff"
	CustodyID = "c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0"
)

// Office is a test PKI's people, each with a certificate of a role and a time.
type Office struct {
	Authority *smki.Authority
	Folder    *smki.Folder
	Keys      map[string]*ecdsa.PrivateKey
	Roster    *direction.Roster

	Environment string // of its plans
}

func New(t testing.TB) *Office {
	t.Helper()
	f := smkitest.Folder(t, smki.TestFolder{Seed: []byte("authority")})
	o := &Office{&smki.Authority{Certificate: f.Issuing.Certificate, Key: f.Issuing.Key}, f, map[string]*ecdsa.PrivateKey{}, nil, "simulator"}
	o.HireAll(t)
	return o
}

// HireAll gives all five new certificates, and makes the roster of them.
func (o *Office) HireAll(t testing.TB) {
	t.Helper()
	o.Roster = o.employ(t, []direction.Person{
		o.hire(t, "alice", direction.Approver), o.hire(t, "bob", direction.Approver), o.hire(t, "carol", direction.Approver),
		o.hire(t, "olga", direction.Operator), o.hire(t, "rita", direction.Recorder),
	})
}

// hire gives somebody a key and a certificate of the years 2026 to 2035.
func (o *Office) hire(t testing.TB, name string, role direction.Role) direction.Person {
	return o.HireFrom(t, name, role, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), o.Authority)
}

func (o *Office) HireFrom(t testing.TB, name string, role direction.Role, from time.Time, by *smki.Authority) direction.Person {
	t.Helper()
	key, err := smki.DeriveTestKey([]byte("authority"), name)
	if err != nil {
		t.Fatal(err)
	}
	o.Keys[name] = key
	c, err := by.Issue(smki.Template{
		EUI: smki.TestSupplier, Role: smki.Other, CommonName: name, Usage: smki.DigitalSignature,
		NotBefore: from, NotAfter: from.AddDate(9, 0, 0),
	}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return direction.Person{Name: name, Roles: []direction.Role{role}, Certificate: c}
}

// employ is the roster of some people, signed by rita.
func (o *Office) employ(t testing.TB, people []direction.Person) *direction.Roster {
	t.Helper()
	r := &direction.Roster{People: people}
	text := direction.FormatRoster(r)
	signature, err := direction.Sign(o.Keys["rita"], text)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range people {
		if p.Name == "rita" {
			r.SignedBy = p.Certificate
		}
	}
	signed, err := direction.SignedRoster(text, signature, r.SignedBy)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Without is the office's roster but for some people.
func (o *Office) Without(t testing.TB, names ...string) *direction.Roster {
	t.Helper()
	var left []direction.Person
	for _, p := range o.Roster.People {
		gone := false
		for _, name := range names {
			gone = gone || p.Name == name
		}
		if !gone {
			left = append(left, p)
		}
	}
	return o.employ(t, left)
}

// With is the office's roster with one person's entry replaced.
func (o *Office) With(t testing.TB, person direction.Person) *direction.Roster {
	t.Helper()
	var people []direction.Person
	for _, p := range o.Roster.People {
		if p.Name == person.Name {
			p = person
		}
		people = append(people, p)
	}
	return o.employ(t, people)
}

// directed is the text of a direction.
const directed = `reference: DIR-1
date: 2026-11-25
issuing_body: the Authority
document_sha256: abababababababababababababababababababababababababababababababab
supplier: {eui: 90-B3-D5-1F-30-01-00-00, mpids: [TEST]}
srp: the provider
permitted_srvs: ["1.6", "7.4", "6.2.9"]
fuels: [electricity, gas]
maximum_meters: 100
not_before: 2026-11-25T00:00:00Z
not_after: 2026-12-25T00:00:00Z
`

// Plan is one that olga has prepared and signed.
func (o *Office) Plan(t testing.TB) *plan.Plan {
	t.Helper()
	d, err := direction.Parse([]byte(directed))
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := direction.Sign(o.Keys["rita"], []byte(directed))
	if err != nil {
		t.Fatal(err)
	}
	p := &plan.Plan{Header: plan.Header{
		Version: plan.Version, Environment: o.Environment, CreatedAt: Night.Add(-time.Hour), PreparedBy: o.Roster.Named("olga").Signatory(),
		Direction: d, Record: &direction.Record{Text: directed, Signature: recorded, RecordedBy: o.Roster.Named("rita").Signatory()},
		Originators: []servicerequests.EUI{smki.TestSupplier},
		Journal:     JournalID, Custody: &plan.Custody{ID: CustodyID}, Content: "the plan's meters",
		Bounds: plan.Bounds{Settings: map[string]float64{authority.LongestSetting: (72 * time.Hour).Seconds()}},
	}}
	sum := sha256.Sum256([]byte("plan"))
	p.SHA256 = hex.EncodeToString(sum[:])
	if err := p.Sign(o.Keys["olga"]); err != nil {
		t.Fatal(err)
	}
	return p
}

// Approve is a person's approval of an occasion, as safemode approve makes it.
func (o *Office) Approve(t testing.TB, p *plan.Plan, on direction.Occasion, name string, at time.Time, change func(*direction.Terms)) *direction.Approval {
	t.Helper()
	who := direction.Signatory{Name: name}
	if person := o.Roster.Named(name); person != nil {
		who = person.Signatory()
	}
	terms := direction.Terms{
		PlanSHA256: p.SHA256, Header: p.Digest(), SweepID: p.SweepID(), Environment: p.Environment, Journal: p.Journal, Custody: p.Custody.ID,
		Purpose: on.Purpose, Subject: on.Subject, Resumes: 1, IssuedAt: at, ExpiresAt: at.Add(24 * time.Hour), Approver: who,
	}
	if change != nil {
		change(&terms)
	}
	a, err := direction.Approve(terms, o.Keys[name])
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// First is the case of the first start of the office's plan, approved by alice and bob.
func (o *Office) First(t testing.TB) *authority.Case { return o.FirstOf(t, o.Plan(t)) }

// FirstOf is the case of the first start of a plan, approved by alice and bob.
func (o *Office) FirstOf(t testing.TB, p *plan.Plan) *authority.Case {
	t.Helper()
	c := &authority.Case{
		Plan: p, Roster: o.Roster, Now: Night, Journal: authority.Journal{ID: JournalID},
		Custody: &authority.Custody{ID: p.Custody.ID, Entries: []custody.Entry{{N: 1, Act: custody.Made, Custody: p.Custody.ID}}},
		Trust:   direction.Trust{Chained: smki.Trust(o.Folder.Authorities()).Verify},
	}
	for _, name := range []string{"alice", "bob"} {
		c.Approvals = append(c.Approvals, o.Approve(t, p, c.Occasion(), name, Night, nil))
	}
	return c
}

// OpeningOf is the record of a start by a grant.
func OpeningOf(c *authority.Case, g authority.Grant) record.Opening {
	return record.Opening{
		SweepID: c.Plan.SweepID(), PlanSHA256: c.Plan.SHA256, Environment: c.Plan.Environment, Approvals: g.Approvals,
		ResumesLeft: g.Resumes, ApprovedUntil: g.Until, Began: c.Now, PlanSignature: c.Plan.Signature, Custody: CustodyID, CustodyEntry: g.Entry,
	}
}
