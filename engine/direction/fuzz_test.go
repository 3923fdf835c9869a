package direction

import (
	"errors"
	"testing"

	"safemode/servicerequests/heaptest"
	"safemode/servicerequests/strictyaml"
)

// FuzzParseRoster: nobody stands on a roster without a key and a role, or twice.
func FuzzParseRoster(f *testing.F) {
	f.Add([]byte("people:\n  - {name: Alice, roles: [approver], certificate: \"-----BEGIN CERTIFICATE-----\"}\n"))
	f.Add([]byte("people: []\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r *Roster
		var err error
		heaptest.Limit(t, len(text), func() { r, err = ParseRoster(text) })
		if err != nil {
			if !errors.Is(err, ErrRoster) || r != nil {
				t.Fatalf("foreign error %v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, p := range r.People {
			if p.Name == "" || len(p.Roles) == 0 || p.Certificate == nil || seen[p.Name] || seen[Fingerprint(p.Certificate)] {
				t.Fatalf("accepted %+v", p)
			}
			seen[p.Name], seen[Fingerprint(p.Certificate)] = true, true
		}
	})
}

// FuzzMPIDRecord: a record that is taken names each MPID once, with its source, and says when
// where it says to whom.
func FuzzMPIDRecord(f *testing.F) {
	f.Add([]byte("mpids:\n  - {mpid: ABCD, source: phone}\n  - {mpid: EFGH, to: WXYZ, transferred_at: 2026-12-01T00:00:00Z, source: mail}\n"))
	f.Add([]byte("mpids: [{mpid: ABCD, transferred_at: 2026-12-01, source: x}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r mpidRecord
		var err error
		heaptest.Limit(t, len(text), func() { r = mpidRecord{}; err = strictyaml.Unmarshal(text, &r) })
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, m := range r.MPIDs {
			if m.MPID == "" || m.Source == "" || seen[m.MPID] || m.To != "" && m.TransferredAt.IsZero() {
				t.Fatalf("accepted %+v", m)
			}
			seen[m.MPID] = true
		}
		if len(seen) == 0 {
			t.Fatal("a record of nothing is taken")
		}
	})
}
