package direction_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"safemode/engine/direction"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

const frozen = `system: everyday adapter
identities: [90-B3-D5-1F-30-01-00-00]
stated_by: Jo, by telephone
stated_at: 2026-11-25T18:00:00Z
from: 2026-11-25T19:00:00Z
until: 2026-12-20T00:00:00Z
`

// Every rule of the statement's file.
func TestReadFreeze(t *testing.T) {
	if f, err := direction.ReadFreeze([]byte(frozen), nil); err != nil || f.System != "everyday adapter" || f.Identities[0] != smki.TestSupplier ||
		!strings.Contains(f.String(), `"everyday adapter" is frozen until 2026-12-20T00:00:00Z, says "Jo, by telephone"`) {
		t.Errorf("%v, %v", f, err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"no system", "system: everyday adapter", "system: ' '", "system: required"},
		{"nobody", "stated_by: Jo, by telephone\n", "", "stated_by: required"},
		{"no identity", "[90-B3-D5-1F-30-01-00-00]", "[]", "identities: required"},
		{"twice", "00-00]", "00-00, 90-B3-D5-1F-30-01-00-00]", "identities[1]: 90-B3-D5-1F-30-01-00-00 is named already"},
		{"no EUI", "90-B3-D5-1F-30-01-00-00", "90", "identities"},
		{"no end", "until: 2026-12-20T00:00:00Z\n", "", "until: required"},
		{"it ends before it begins", "until: 2026-12-20", "until: 2026-11-25", "until: want after from"},
		{"too long", "until: 2026-12-20", "until: 2026-12-30", "until: want 744h0m0s after stated_at at most"},
		{"no zone", "00:00:00Z", "00:00:00", "until"},
		{"an unknown key", "system:", "sistem: x\nsystem:", "sistem"},
	} {
		if _, err := direction.ReadFreeze([]byte(strings.Replace(frozen, c.old, c.new, 1)), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// A statement counts if a recorder on the roster has signed it as it is, with a certificate
// that stands, for all identities, in its time.
func TestFreezeHolds(t *testing.T) {
	o := newOffice(t)
	signed := func(name, text string) *direction.Freeze {
		t.Helper()
		signature, err := direction.Sign(o.people[name].key, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		f, err := direction.ReadFreeze([]byte(text), signature)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	o.hire(t, "mallory", direction.Recorder) // not on the roster
	altered := signed("rita", frozen)
	altered.Text = strings.Replace(altered.Text, "2026-12-20", "2026-12-24", 1)
	later := issued.Add(2 * time.Hour)
	ours := []servicerequests.EUI{smki.TestSupplier}
	good := signed("rita", frozen)
	for _, c := range []struct {
		name       string
		freeze     *direction.Freeze
		roster     *direction.Roster
		trust      direction.Trust
		identities []servicerequests.EUI
		now        time.Time
		want       string
	}{
		{"good", good, o.roster, direction.Trust{}, ours, later, ""},
		{"its last instant", good, o.roster, direction.Trust{}, ours, good.Until, ""},
		{"none", nil, o.roster, direction.Trust{}, ours, later, "no statement"},
		{"no roster", good, nil, direction.Trust{}, ours, later, "no roster"},
		{"not a recorder", signed("alice", frozen), o.roster, direction.Trust{}, ours, later, "not by a recorder on the roster"},
		{"not on the roster", signed("mallory", frozen), o.roster, direction.Trust{}, ours, later, "not by a recorder on the roster"},
		{"altered", altered, o.roster, direction.Trust{}, ours, later, "not by a recorder on the roster"},
		{"revoked", good, o.roster, direction.Trust{Revoked: func(*smki.Certificate) bool { return true }}, ours, later, "rita: "},
		{"of no authority", good, o.roster, direction.Trust{Chained: func(*smki.Certificate) error { return errors.New("stranger") }}, ours, later, "stranger"},
		{"another identity", good, o.roster, direction.Trust{}, append(ours, 0x77), later, "says nothing of 00-00-00-00-00-00-00-77"},
		{"not yet", good, o.roster, direction.Trust{}, ours, issued, "is frozen from 2026-11-25T19:00:00Z on"},
		{"of the future", signed("rita", strings.NewReplacer("2026-11-25T18", "2026-12-10T18", "12-20", "12-29").Replace(frozen)), o.roster, direction.Trust{}, ours, later, "is of the future"},
		{"expired", good, o.roster, direction.Trust{}, ours, good.Until.Add(time.Second), "was frozen until 2026-12-20T00:00:00Z"},
	} {
		err := c.freeze.Check(c.roster, c.trust, c.identities, c.now, later)
		if (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, direction.ErrNotFrozen) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// The gate is closed until the statement was read, follows the file, and closes by itself
// when the statement's time is over.
func TestTheAdaptersGate(t *testing.T) {
	o := newOffice(t)
	path := filepath.Join(t.TempDir(), "freeze.yaml")
	put := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	state := func(text, signer string) {
		t.Helper()
		signature, err := direction.Sign(o.people[signer].key, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		put(path, []byte(text))
		put(path+".sig", signature)
	}
	d := parse(t, text)
	synctest.Test(t, func(t *testing.T) {
		file := direction.NewFreezeFile(direction.FreezeOptions{
			Path: path, Roster: o.roster, Identities: []servicerequests.EUI{smki.TestSupplier}, Now: func() time.Time { return issued.Add(2 * time.Hour) },
		})
		g := direction.NewGates(direction.GateOptions{Direction: &d, Frozen: file, MaxAge: time.Hour, Poll: time.Second})
		check := func(now time.Time, want string) {
			t.Helper()
			_ = g.Look(t.Context())
			err := g.CheckGate(direction.Frozen, now)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		now := issued.Add(2 * time.Hour)
		if g.Freeze() != nil || g.CheckGate(direction.Frozen, now) == nil {
			t.Error("open before it was looked at")
		}
		check(now, "no such file")
		put(path, []byte(frozen))
		check(now, "it is not signed")
		state(frozen, "bob")
		check(now, "not by a recorder")
		state(frozen, "rita")
		check(now, "")
		check(time.Date(2026, 12, 20, 0, 0, 1, 0, time.UTC), "was frozen until")
		if f := g.Freeze(); f == nil || f.Text != frozen {
			t.Errorf("%v", f)
		}
		state(strings.Replace(frozen, "2026-12-20", "2026-12-22", 1), "rita") // stated again
		check(time.Date(2026, 12, 20, 0, 0, 1, 0, time.UTC), "")
		put(path, []byte(strings.Replace(frozen, "2026-12-20", "2026-12-24", 1)))
		check(now, "not by a recorder") // altered
		put(path, []byte("system: ["))
		check(now, "not by a recorder") // what was read last is held to
	})
	bare := direction.NewGates(direction.GateOptions{Direction: &d})
	if err := bare.CheckComplete(); err == nil || !strings.Contains(err.Error(), "gate adapter has no evidence") {
		t.Error(err)
	}
	var none *direction.Gates
	if none.Freeze() != nil {
		t.Error("no gates have a statement")
	}
}

// The example is one that is taken.
func TestFreezeExample(t *testing.T) {
	text, err := os.ReadFile("../../config/freeze.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direction.ReadFreeze(text, nil); err != nil {
		t.Error(err)
	}
}

func FuzzReadFreeze(f *testing.F) {
	f.Add([]byte(frozen))
	f.Fuzz(func(t *testing.T, text []byte) {
		if read, err := direction.ReadFreeze(text, nil); err == nil && read.Validate() != nil {
			t.Error("a statement that is not valid is read")
		}
	})
}
