package authority_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"safemode/engine/authority"
	"safemode/engine/authority/authoritytest"
	"safemode/engine/direction"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// live has the people and plans of a production PKI.
func live(t testing.TB, o *authoritytest.Office) *authoritytest.Office {
	t.Helper()
	key, err := smki.DeriveTestKey([]byte("authority"), "root")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	root, err := smki.NewRoot(smki.Template{Role: smki.Root, CommonName: "Production", Usage: smki.CertSign, NotBefore: begin, NotAfter: begin.AddDate(20, 0, 0)}, key)
	if err != nil {
		t.Fatal(err)
	}
	o.Authority, o.Environment = root, "live"
	o.HireAll(t)
	return o
}

// freeze is a statement of that night, signed by somebody.
func freeze(t testing.TB, o *authoritytest.Office, signer string, identity servicerequests.EUI, until time.Time) *direction.Freeze {
	t.Helper()
	text := fmt.Appendf(nil, "system: the adapter\nidentities: [%v]\nstated_by: Jo\nstated_at: %s\nfrom: %[2]s\nuntil: %[3]s\n",
		identity, authoritytest.Night.Add(-time.Hour).Format(time.RFC3339), until.Format(time.RFC3339))
	signature, err := direction.Sign(o.Keys[signer], text)
	if err != nil {
		t.Fatal(err)
	}
	f, err := direction.ReadFreeze(text, signature)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// In live a start needs the statement that the everyday adapter is frozen for the plan's
// identities; a rehearsal does not, and is held to one that it has.
func TestLiveNeedsAFrozenAdapter(t *testing.T) {
	o := live(t, authoritytest.New(t))
	tomorrow := authoritytest.Night.AddDate(0, 0, 1)
	c := func(f *direction.Freeze) *authority.Case {
		c := o.First(t)
		c.Trust, c.Freeze = direction.Trust{}, f
		return c
	}
	g, err := c(freeze(t, o, "rita", smki.TestSupplier, tomorrow)).Decide()
	if err != nil || len(g.Spent) != 2 {
		t.Fatal(err)
	}
	refused(t, c(nil), "adapter not frozen: no statement")
	refused(t, c(freeze(t, o, "rita", smki.TestSupplier+1, tomorrow)), "says nothing of "+smki.TestSupplier.String())
	refused(t, c(freeze(t, o, "rita", smki.TestSupplier, authoritytest.Night.Add(-time.Minute))), "was frozen until")
	refused(t, c(freeze(t, o, "alice", smki.TestSupplier, tomorrow)), "not by a recorder on the roster")
	altered := freeze(t, o, "rita", smki.TestSupplier, tomorrow)
	altered.Text = strings.Replace(altered.Text, "Jo", "Jim", 1)
	refused(t, c(altered), "not by a recorder on the roster")
	revoked := c(freeze(t, o, "rita", smki.TestSupplier, tomorrow))
	revoked.Trust.Revoked = func(c *smki.Certificate) bool { return c.CommonName == "rita" }
	if _, err := revoked.Decide(); err == nil {
		t.Error("a recorder whose certificate is revoked counts")
	}
	if _, err := c(nil).Decide(); !errors.Is(err, direction.ErrNotFrozen) || !errors.Is(err, authority.ErrNoAuthority) {
		t.Error(err)
	}

	// An audit proves a start by the statement that it carries.
	made := c(freeze(t, o, "rita", smki.TestSupplier, tomorrow))
	start := authoritytest.OpeningOf(made, g)
	if err := made.Prove(start); err != nil {
		t.Error(err)
	}
	if err := c(nil).Prove(start); !errors.Is(err, direction.ErrNotFrozen) {
		t.Errorf("a live start without a statement is proven: %v", err)
	}

	o = authoritytest.New(t)
	if _, err := o.First(t).Decide(); err != nil {
		t.Errorf("a rehearsal wants a statement: %v", err)
	}
	rehearsed := o.First(t)
	rehearsed.Freeze = freeze(t, o, "rita", smki.TestSupplier+1, tomorrow)
	refused(t, rehearsed, "says nothing of")
}
