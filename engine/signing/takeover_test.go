package signing

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"safemode/engine/direction"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/smki"
)

const (
	supply   = servicerequests.ReadSupplyStatus
	toCredit = servicerequests.SwitchToCredit
)

// The signer signs an honest engine's requests, after they are in the log.
func TestSigns(t *testing.T) {
	s := newScene(t, 3, nil)
	if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrStopped) {
		t.Errorf("before a start was granted: %v", err)
	}
	s.open()
	if err := errors.Join(s.request(s.id(firstMeter), supply), s.command(s.id(firstMeter), toCredit, true)); err != nil {
		t.Fatal(err)
	}
	same := s.id(firstMeter)
	if err := errors.Join(s.request(same, supply), s.request(same, supply), s.command(s.id(firstMeter), toCredit, true)); err != nil {
		t.Errorf("the very same again: %v", err)
	}
	s.stop()
	s.start()
	if err := s.request(s.id(firstMeter), supply); err != nil {
		t.Errorf("after its restart: %v", err)
	}
	if err := s.command(same, toCredit, false); err == nil {
		t.Error("a request of before the restart is not remembered")
	}
}

// An attacker who has taken over the sweep's machine speaks the interface perfectly.
func TestTakeover(t *testing.T) {
	s := newScene(t, 4, func(o *Options) { o.Limits.Commands = 2; o.Limits.Meters = 2 }).open()
	suppressed := firstMeter + 3
	if err := s.command(s.id(firstMeter), toCredit, true); err != nil {
		t.Fatal(err)
	}
	used := s.id(firstMeter)
	if err := s.request(used, supply); err != nil {
		t.Fatal(err)
	}
	ask := func(srv string) error {
		status, text := s.post("/v1/request", fmt.Sprintf(`{"meter":"%s","id":"%s","srv":%q}`, firstMeter, s.id(firstMeter), srv))
		if status != 403 {
			t.Errorf("%s: status %d", srv, status)
		}
		return errors.New(text)
	}
	prepayment := s.preCommand(s.id(firstMeter), toCredit)
	for name, attack := range map[string]struct {
		do    func() error
		words string
	}{
		"enable":                     {func() error { return ask("7.1") }, "not in the permitted set"},
		"disable":                    {func() error { return ask("7.2") }, "not in the permitted set"},
		"switch to prepayment":       {func() error { return ask("1.6 prepayment") }, "Prepayment"},
		"a service that is none":     {func() error { return ask("6.15.1") }, "not in the permitted set"},
		"another supplier's meter":   {func() error { return s.request(s.id(0x00DB_0000_0000_0001), supply) }, errMeter.Error()},
		"a meter that is left alone": {func() error { return s.request(s.id(suppressed), supply) }, errSuppressed.Error()},
		"a service that is not directed": {func() error {
			return s.request(s.id(firstMeter), servicerequests.ArmSupply)
		}, "7.3"},
		"another originator": {func() error {
			id := s.id(firstMeter)
			id.Originator++
			return s.request(id, supply)
		}, errOriginator.Error()},
		"a counter for another message": {func() error { return s.request(used, servicerequests.ReadPaymentMode) }, errReused.Error()},
		"a counter for another meter": {func() error {
			id := used
			id.Target++
			return s.request(id, supply)
		}, errReused.Error()},
		"an old counter": {func() error {
			id := used
			id.Counter -= 2
			return s.request(id, supply)
		}, errOld.Error()},
		"a counter that ends all others": {func() error {
			id := s.id(firstMeter)
			id.Counter = servicerequests.MaxCounter
			return s.request(id, supply)
		}, errAhead.Error()},
		"a Pre-Command that nobody asked for": {func() error { return s.command(s.id(firstMeter), toCredit, false) }, errUnasked.Error()},
		"a Pre-Command of another request": {func() error {
			_, text := s.post("/v1/command", fmt.Sprintf(`{"meter":"%s","id":"%s","srv":"1.6 credit","pre_command":"%s"}`, firstMeter, s.id(firstMeter), base64of(prepayment)))
			return errors.New(text)
		}, "originator counter"},
		"a changed Pre-Command": {func() error {
			id := s.id(firstMeter)
			changed := s.preCommand(id, toCredit)
			changed[len(changed)-2] ^= 1
			_, text := s.post("/v1/command", fmt.Sprintf(`{"meter":"%s","id":"%s","srv":"1.6 credit","pre_command":"%s"}`, firstMeter, id, base64of(changed)))
			return errors.New(text)
		}, "not what was asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.refusals())
			s.wantRefused(before, attack.do(), attack.words)
		})
	}
	if err := s.command(s.id(firstMeter+1), toCredit, true); err != nil {
		t.Fatal(err)
	}
	s.wantRefused(len(s.refusals()), s.request(s.id(firstMeter+2), supply), errMeters.Error()) // one more than directed
	if err := s.command(s.id(firstMeter), toCredit, true); err != nil {
		t.Fatal(err)
	}
	s.wantRefused(len(s.refusals()), s.command(s.id(firstMeter), toCredit, true), errCommands.Error())
	if about, err := s.client.About(t.Context()); err != nil || about.Refused != len(s.refusals()) || about.Refused < 17 {
		t.Errorf("%+v, %v: %d refusals are in the log", about, err, len(s.refusals()))
	}
	for _, mode := range []gbcs.Mode{gbcs.ModeCommand, gbcs.ModeEncryption, 0, 9} {
		device := s.office.Folder.Supplier.KeyAgreement.Key.PublicKey()
		if _, err := s.client.Agreement(smki.TestSupplier).DeriveKey(t.Context(), device, gbcs.KeyInfo{Mode: mode, Originator: firstMeter, Counter: 1, Target: smki.TestSupplier}); err == nil {
			t.Errorf("a key of mode %d was given out", mode)
		}
	}
}

// 10,000 in an hour, and the hour after.
func TestTenThousandInAnHour(t *testing.T) {
	m := newMemory(Limits{Meters: 10, PerHour: 9_999}, broker)
	m.meters[firstMeter] = &meter{kind: servicerequests.ESME, originator: smki.TestSupplier}
	at := time.Date(2026, 11, 30, 20, 0, 0, 0, time.UTC)
	sign := func(counter uint64) error {
		p := signature{meter: firstMeter, service: supply, at: at, digest: digest{1}, id: servicerequests.RequestID{Originator: smki.TestSupplier, Target: firstMeter, Counter: counter}}
		err := m.check(p)
		if err == nil {
			m.remember(p)
		}
		return err
	}
	for i := range uint64(9_999) {
		if err := sign(i + 1); err != nil {
			t.Fatal(i, err)
		}
		at = at.Add(time.Millisecond)
	}
	rate, ok := errors.AsType[*rateError](sign(10_000))
	if !ok || rate.Wait <= 59*time.Minute || rate.Wait > time.Hour {
		t.Errorf("the ten thousandth: %v", rate)
	}
	at = at.Add(-time.Hour) // a clock that goes back gives no hour again
	if err := sign(10_000); err == nil {
		t.Error("a clock that went back gives an hour again")
	}
	at = at.Add(2*time.Hour + time.Minute)
	if err := sign(10_000); err != nil {
		t.Error(err)
	}
}

func TestWindowEnds(t *testing.T) {
	s := newScene(t, 3, nil).open()
	s.pass(s.o.Plan.Direction.NotAfter.Sub(s.clock()) + time.Second)
	err := s.request(s.id(firstMeter), supply)
	if !errors.Is(err, signer.ErrStopped) || !strings.Contains(err.Error(), "not in force") {
		t.Errorf("after the window: %v", err)
	}
}

func TestFrozen(t *testing.T) {
	s := newScene(t, 3, nil).open()
	frozen := filepath.Join(s.o.Folder, FrozenName)
	if err := os.WriteFile(frozen, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.pass(time.Minute)
	if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrStopped) {
		t.Errorf("while frozen: %v", err)
	}
	if _, err := s.client.Open(t.Context(), s.evidence()); !errors.Is(err, signer.ErrStopped) {
		t.Errorf("opened while frozen: %v", err)
	}
	if err := os.Remove(frozen); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also after its restart
		if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrStopped) {
			t.Errorf("after the thaw, not opened: %v", err)
		}
		if _, err := s.client.Open(t.Context(), s.evidence()); err == nil || !strings.Contains(err.Error(), "before the signer was frozen") {
			t.Errorf("after the thaw, by old approvals: %v", err)
		}
		s.stop()
		s.start()
	}
	s.pass(time.Minute)
	for i, a := range s.first.Approvals {
		s.first.Approvals[i] = s.office.Approve(t, s.o.Plan, s.first.Occasion(), a.Approver.Name, s.clock(), nil)
	}
	s.open()
	if err := s.request(s.id(firstMeter), supply); err != nil {
		t.Errorf("by new approvals: %v", err)
	}
}

// A direction that is taken away stops it.
func TestPlanIsTakenAway(t *testing.T) {
	gone := false
	s := newScene(t, 3, func(o *Options) {
		o.Stopped = func() error {
			if gone {
				return errors.New("its plan is not there any more")
			}
			return nil
		}
	}).open()
	gone = true
	if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrStopped) {
		t.Errorf("got %v", err)
	}
}

// The gates that the signer checks itself stop it, too.
func TestGateOfItsOwn(t *testing.T) {
	var gates *direction.Gates
	s := newScene(t, 3, func(o *Options) {
		gates = direction.NewGates(direction.GateOptions{Direction: &o.Plan.Direction})
		o.Gates = gates
	}).open()
	if err := s.request(s.id(firstMeter), supply); err != nil {
		t.Fatal(err)
	}
	gates.Trip(direction.Certificates, errors.New("a list names one of ours"))
	if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrStopped) || !strings.Contains(err.Error(), "a list names one of ours") {
		t.Errorf("got %v", err)
	}
	if _, err := s.client.Open(t.Context(), s.evidence()); err == nil {
		t.Error("opened while a gate is closed")
	}
}

// Over the socket only the users that are named are heard.
func TestSocketKnowsWhoAsks(t *testing.T) {
	for name, test := range map[string]struct {
		user int
		ok   bool
	}{"the engine's": {os.Getuid(), true}, "another": {os.Getuid() + 1, false}} {
		s := newScene(t, 2, nil)
		l, err := ListenUnix(t.Context(), filepath.Join(t.TempDir(), "s"), []int{test.user})
		must(t, err)
		server := s.service.Server()
		go func() { _ = server.Serve(l) }() // until Close
		client := NewClient(ClientOptions{Socket: l.Addr().String()})
		if _, err := client.About(t.Context()); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		if info, err := os.Stat(l.Addr().String()); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the socket: %v, %v", info, err)
		}
		client.Close()
		must(t, server.Close())
	}
}

// Nobody opens it without two who approve.
func TestOpensByTwoAlone(t *testing.T) {
	s := newScene(t, 3, nil)
	for name, change := range map[string]func(*Evidence){
		"nobody":     func(e *Evidence) { e.Approvals = nil },
		"one":        func(e *Evidence) { e.Approvals = e.Approvals[:1] },
		"one, twice": func(e *Evidence) { e.Approvals = []*direction.Approval{e.Approvals[0], e.Approvals[0]} },
		"a forged one": func(e *Evidence) {
			a := *e.Approvals[1]
			a.Signature = e.Approvals[0].Signature
			e.Approvals = []*direction.Approval{e.Approvals[0], &a}
		},
		"other journal": func(e *Evidence) { e.Journal.ID = strings.Repeat("ab", 16) },
		"no book":       func(e *Evidence) { e.Book = nil },
	} {
		ev := s.evidence()
		change(&ev)
		if _, err := s.client.Open(t.Context(), ev); err == nil {
			t.Errorf("%s: opened", name)
		}
		if err := s.request(s.id(firstMeter), supply); !errors.Is(err, signer.ErrStopped) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A log that was restored, or lost, is recognised, and refused until two accept it.
func TestOlderLog(t *testing.T) {
	s := newScene(t, 3, nil).open()
	log := filepath.Join(s.o.Folder, logName)
	s.stop()
	backup, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	s.start()
	lost := s.id(firstMeter)
	if err := s.request(lost, supply); err != nil {
		t.Fatal(err)
	}
	ev := s.evidence()
	ev.Signed = []Known{knownOf(t, lost, supply)}
	s.stop()
	for name, restore := range map[string]func(){
		"a copy that was put in its place": func() { must(t, os.Remove(log)); must(t, os.WriteFile(log, backup, 0o600)) },
		"its content of before":            func() { must(t, os.WriteFile(log, backup, 0o600)) },
		"a new one":                        func() { must(t, os.Remove(log)) },
	} {
		t.Run(name, func(t *testing.T) {
			restore()
			service, err := New(t.Context(), s.o)
			if err == nil {
				_, err = service.Open(t.Context(), ev)
				must(t, service.Close())
			}
			if !errors.Is(err, errOlder) {
				t.Errorf("got %v", err)
			}
		})
	}
	restoreAccepted(t, s, ev, lost)
}

// restoreAccepted has two accept the log as it is; what it does not know is adopted.
func restoreAccepted(t *testing.T, s *scene, ev Evidence, lost servicerequests.RequestID) {
	t.Helper()
	subject, err := Accept(t.Context(), s.o, nil)
	if !errors.Is(err, direction.ErrNotApproved) {
		t.Fatal(err)
	}
	on := s.first.Occasion()
	on.Purpose, on.Subject = direction.Accept, subject
	now := time.Now().UTC().Truncate(time.Second)
	var two []*direction.Approval
	for _, name := range []string{"alice", "bob"} {
		two = append(two, s.office.Approve(t, s.o.Plan, on, name, now, nil))
	}
	if _, err := Accept(t.Context(), s.o, two); err != nil {
		t.Fatal(err)
	}
	s.start()
	if _, err := s.client.Open(t.Context(), ev); err != nil {
		t.Fatal(err)
	}
	if err := s.request(lost, servicerequests.ReadPaymentMode); err == nil || !strings.Contains(err.Error(), errReused.Error()) {
		t.Errorf("a counter that the journal has was used for another message: %v", err)
	}
}
