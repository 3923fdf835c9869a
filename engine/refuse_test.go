package engine_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine"
	"safemode/engine/checkpoint"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/servicerequests"
	"safemode/servicerequests/clock"
	"safemode/servicerequests/smki"
)

// outsider is a certificate of no test PKI, for the same purpose as one of it.
func outsider(t testing.TB, like *smki.Certificate, role smki.Role) *smki.Certificate {
	t.Helper()
	return issued(t, "Real Root", like, role)
}

// issued is a certificate by a root of this name.
func issued(t testing.TB, issuer string, like *smki.Certificate, role smki.Role) *smki.Certificate {
	t.Helper()
	keys := make([]*ecdsa.PrivateKey, 2)
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now().UTC().Truncate(time.Second)
	root, err := smki.NewRoot(smki.Template{Role: smki.IssuingAuthority, CommonName: issuer, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0)}, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := root.Issue(smki.Template{
		Role: role, EUI: like.EUI, CommonName: "Z", Usage: like.Usage, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0),
	}, &keys[1].PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOpenRefuses(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	simulator, live := newPlan(t, engine.Simulator, 1), newPlan(t, "live", 1)
	for name, c := range map[string]struct {
		plan   *plan.Plan
		change func(*engine.Options)
		says   string
	}{
		"test keys in live": {plan: live, change: func(o *engine.Options) {
			o.DCC.TLS, o.Inbox.TLS = &tls.Config{}, &tls.Config{}
		}, says: "of a test PKI"},
		"live without mutual TLS": {plan: live, change: func(*engine.Options) {}, says: "mutual TLS"},
		"a key of no test PKI in a simulator": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.Authorities = nil
			o.Identities[0].DigitalSigning.Certificate = outsider(t, o.Identities[0].DigitalSigning.Certificate, 0x02)
		}},
		"a DCC of no test PKI in a simulator": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.Authorities = nil
			o.DCC.Transform[0] = outsider(t, o.DCC.Transform[0], 0x89)
		}},
		"a certificate that chains to nothing": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.Transform[0] = outsider(t, o.DCC.Transform[0], 0x89)
		}},
		"certificates changed about": {plan: simulator, change: func(o *engine.Options) {
			o.Identities[0].XMLSigning, o.Identities[0].DigitalSigning = o.Identities[0].DigitalSigning, o.Identities[0].XMLSigning
		}},
		"published keys, and a DCC elsewhere": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.URL, o.DCC.Authorities = "https://192.0.2.1:443", nil
			o.Identities[0].DigitalSigning.Certificate = issued(t, "Z1", o.Identities[0].DigitalSigning.Certificate, 0x02)
		}, says: "anybody can have the private key"},
		"published keys, and an SMKI service elsewhere": {plan: simulator, change: func(o *engine.Options) {
			o.DCC.SMKIURL, o.DCC.Authorities = "http://dcc.example:8083", nil
			o.Identities[0].KeyAgreement.Certificate = issued(t, "OB", o.Identities[0].KeyAgreement.Certificate, 0x02)
		}, says: "anybody can have the private key"},
		"another's certificates": {plan: simulator, change: func(o *engine.Options) { o.Identities[0].EUI++ }},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, d, c.plan, t.TempDir())
			c.change(&o)
			e, err := engine.Open(t.Context(), o)
			if !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("opened: %v", err)
			}
			if e != nil {
				t.Error("an engine beside the error")
				e.Close()
			}
			if _, err := os.Stat(o.Journal); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a journal was begun: %v", err)
			}
		})
	}
}

// A journal and the counters of an originator belong to one sweep.
func TestOpenRefusesAnotherSweep(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	p := newPlan(t, engine.Simulator, 1)
	e := open(t, options(t, d, p, dir))
	if err := e.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		running bool // the first engine is still open
		change  func(*engine.Options)
		want    error
	}{
		{"the same journal, while it is used", true, func(*engine.Options) {}, journal.ErrInUse},
		{"another journal, the same counters, while they are used", true, func(o *engine.Options) { o.Journal += "2" }, custody.ErrInUse},
		{"another journal, the same counters", false, func(o *engine.Options) { o.Journal += "3" }, custody.ErrOtherOwner},
		{"another plan", false, func(o *engine.Options) { o.Plan = newPlan(t, engine.Simulator, 2) }, engine.ErrRefused},
		{"another clock", false, func(o *engine.Options) { o.Clock = clock.Clock{Speed: 60} }, engine.ErrRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !c.running {
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
			}
			o := options(t, d, p, dir)
			c.change(&o)
			if _, err := engine.Open(t.Context(), o); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestAddressInUseGivesEverythingBack(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := newPlan(t, engine.Simulator, 1)
	for key, change := range map[string]func(*engine.Options){
		"inbox.listen":      func(o *engine.Options) { o.Inbox.Listen = taken.Addr().String() },
		"operations.listen": func(o *engine.Options) { o.Operations.Listen = taken.Addr().String() },
	} {
		o := options(t, d, p, dir)
		change(&o)
		if _, err := engine.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := open(t, options(t, d, p, dir)).Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestUnreachableDCCIsSaidBeforeAnythingIsSigned(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, change := range []func(*engine.Options){
		func(o *engine.Options) { o.DCC.URL = gone.URL },
		func(o *engine.Options) { o.DCC.SMKIURL = gone.URL },
	} {
		o := options(t, d, newPlan(t, engine.Simulator, 1), t.TempDir())
		change(&o)
		if _, err := engine.Open(t.Context(), o); !errors.Is(err, engine.ErrUnreachable) {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(o.Journal); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a journal was begun in vain: %v", err)
		}
	}
}

func TestWhatIsBegunInVainLeavesNothing(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	dir := t.TempDir()
	first := open(t, options(t, d, newPlan(t, engine.Simulator, 1), dir))
	defer first.Close()
	o := options(t, d, newPlan(t, engine.Simulator, 1), dir) // the same custody, another journal
	o.Journal += ".second"
	if _, err := engine.Open(t.Context(), o); !errors.Is(err, custody.ErrInUse) {
		t.Fatalf("%v", err)
	}
	left, err := filepath.Glob(o.Journal + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestClosedGateTakesNothing(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	o := options(t, d, newPlan(t, engine.Simulator, 1), t.TempDir())
	o.Clock.Anchor = o.Plan.Direction.NotAfter.Add(time.Hour)
	o.Clock.Speed = 1e-9 // stands still at the anchor
	if _, err := engine.Open(t.Context(), o); !errors.Is(err, engine.ErrRefused) || !errors.Is(err, direction.ErrNotInForce) {
		t.Fatalf("%v", err)
	}
	if files, err := os.ReadDir(o.CustodyDir); err != nil || len(files) > 0 {
		t.Errorf("custody was taken: %v, %v", files, err)
	}
}

// Only a rehearsal may leave the order of hours at risk.
func TestPlanOrderIsForRehearsals(t *testing.T) {
	d, dir := newDCC(t, servicerequests.NotRegistered), t.TempDir()
	o := options(t, d, newPlan(t, engine.Simulator, 5), dir)
	o.Rehearsal, o.Policy.PlanOrder = false, true
	if _, err := engine.Open(t.Context(), o); !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), "only a rehearsal") {
		t.Errorf("opened: %v", err)
	}
	if d.posts.Load() != 0 {
		t.Error("something was sent")
	}
}

// contents is all files under a folder with what they hold.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// secondIdentity is one of the supplier's with keys of its own, and who vouches for them.
func secondIdentity(t testing.TB) (engine.Identity, []*smki.Certificate) {
	t.Helper()
	f := folderOf(t, smki.TestFolder{Seed: []byte("second"), Supplier: smki.TestSupplier + 0x10000})
	return engine.TestIdentity(f), f.Authorities()
}

// A start that is refused, wherever that happens, leaves everything as it was, also what
// others have left there; and the mended start goes on.
func TestRefusedStartLeavesNoTrace(t *testing.T) {
	d := newDCC(t, servicerequests.NotRegistered)
	p := newPlan(t, engine.Simulator, 3)
	other, authorities := secondIdentity(t)
	fill := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, *engine.Options)
		mend  func(*testing.T, *engine.Options)
		want  error // nil: any
	}{
		"an identity stands there twice": {
			spoil: func(_ *testing.T, o *engine.Options) { o.Identities = append(o.Identities, o.Identities[0]) },
			want:  engine.ErrRefused,
		},
		"the second's counters are another journal's": {
			spoil: func(t *testing.T, o *engine.Options) {
				fill(t, filepath.Join(o.CustodyDir, other.EUI.String()+".json"), `{"originator":"`+other.EUI.String()+`","owner":"other","high_water":7}`)
			},
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(filepath.Join(o.CustodyDir, other.EUI.String()+".json")); err != nil {
					t.Fatal(err)
				}
			},
			want: custody.ErrOtherOwner,
		},
		"the second's counters cannot be locked": {
			spoil: func(t *testing.T, o *engine.Options) {
				if err := os.Mkdir(filepath.Join(o.CustodyDir, other.EUI.String()+".json.lock"), 0o700); err != nil {
					t.Fatal(err)
				}
			},
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(filepath.Join(o.CustodyDir, other.EUI.String()+".json.lock")); err != nil {
					t.Fatal(err)
				}
			},
		},
		"after all was claimed": {
			spoil: func(_ *testing.T, o *engine.Options) { o.InboxLimits.MaxBody = -1 },
		},
		"another journal's checkpoints": {
			spoil: func(t *testing.T, o *engine.Options) {
				note, err := checkpoint.Checkpoint{Journal: "00112233445566778899aabbccddeeff", Seq: 1}.Sign(o.Checkpoints.Signer)
				if err != nil {
					t.Fatal(err)
				}
				fill(t, o.Checkpoints.Path, string(note))
			},
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(o.Checkpoints.Path); err != nil {
					t.Fatal(err)
				}
			},
			want: engine.ErrRefused,
		},
		"another journal's log": {
			spoil: func(t *testing.T, o *engine.Options) { fill(t, o.Journal+"-wal", "records") },
			mend: func(t *testing.T, o *engine.Options) {
				if err := os.Remove(o.Journal + "-wal"); err != nil {
					t.Fatal(err)
				}
			},
			want: journal.ErrForeign,
		},
		"a closed gate, and a lock and an index that others left": {
			spoil: func(t *testing.T, o *engine.Options) {
				fill(t, o.Journal+".lock", "")
				fill(t, o.Journal+".index", "of another journal")
				fill(t, o.Journal+".index-wal", "of another journal")
				o.Clock = clock.Clock{Anchor: o.Plan.Direction.NotAfter.Add(time.Hour), Speed: 1e-9}
			},
			want: engine.ErrRefused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fresh := func() engine.Options {
				o, _ := pinned(t, options(t, d, p, dir))
				o.Identities = append(o.Identities, other)
				o.DCC.Authorities = append(o.DCC.Authorities, authorities...)
				return o
			}
			o := fresh()
			c.spoil(t, &o)
			before := contents(t, dir)
			foreseen := engine.Foresee(t.Context(), o)
			_, err := engine.Open(t.Context(), o)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("opened: %v, want %v", err, c.want)
			}
			if said := sayings(foreseen); !slices.Contains(said, placeless(err)) {
				t.Errorf("foreseen: %q; the start says %q", said, placeless(err))
			}
			if diff := cmp.Diff(before, contents(t, dir)); diff != "" {
				t.Errorf("what is there after a refusal (-before +after):\n%s", diff)
			}
			if c.mend != nil {
				c.mend(t, &o)
			}
			if err := open(t, fresh()).Run(t.Context()); err != nil {
				t.Errorf("the mended start: %v", err)
			}
		})
	}
}
