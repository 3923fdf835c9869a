package fault_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"safemode/devicesim/fault"
	"safemode/servicerequests"
)

func lies() []fault.Lie {
	return slices.Concat(fault.PreCommandLies(), fault.ReplyLies(), fault.DeliveryLies())
}

// TestLiesByName: each has a key of its own and is told by it alone.
func TestLiesByName(t *testing.T) {
	a := fault.Attempt{Device: 0x00DB12E000000001, Service: "1.6"}
	calm, liar := builtin(t, "calm"), builtin(t, "lying-dcc")
	for _, l := range lies() {
		p := parse(t, "lies: {"+l.String()+": 1}")
		if p.LieShare(l) != 1 || p.Lie(lies(), 1, a) != l {
			t.Errorf("%s: share %v, told %s", l, p.LieShare(l), p.Lie(lies(), 1, a))
		}
		if share := calm.LieShare(l); share != 0 {
			t.Errorf("calm tells %s with share %v", l, share)
		}
		if share := liar.LieShare(l); share < 0.01 || share > 0.05 {
			t.Errorf("lying-dcc tells %s with share %v", l, share)
		}
	}
	if liar.Share(fault.DuplicateResponse) == 0 || liar.Share(fault.DelayedResponse) == 0 {
		t.Error("lying-dcc doubles or delays nothing")
	}
	if p := (fault.Profile{}); p.Lie(lies(), 1, a) != fault.Truth || p.LieShare(fault.Lie(200)) != 0 || fault.Lie(200).String() == "" {
		t.Error("the zero Profile lies")
	}
}

// TestDatedLies: only 1.6 has a date to lie about.
func TestDatedLies(t *testing.T) {
	p := parse(t, "lies: {future_dated: 1, cancelling: 1, extra_bytes: 1}")
	for service, want := range map[string]fault.Lie{"1.6": fault.FutureDated, "2.5": fault.ExtraBytes, "7.3": fault.ExtraBytes} {
		if got := p.Lie(lies(), 1, fault.Attempt{Device: 1, Service: service}); got != want {
			t.Errorf("%s: %s, want %s", service, got, want)
		}
	}
}

func TestLyingAttempts(t *testing.T) {
	p := parse(t, "lies: {html: 1, attempts: 2}")
	for number, want := range []fault.Lie{fault.HTML, fault.HTML, fault.Truth, fault.Truth} {
		if got := p.Lie(lies(), 1, fault.Attempt{Device: 1, Service: "7.4", Number: uint64(number)}); got != want {
			t.Errorf("attempt %d: %s, want %s", number, got, want)
		}
	}
}

// TestLieShares: the shares hold, the first lie that happens is told, and seed
// and attempt alone decide.
func TestLieShares(t *testing.T) {
	p := parse(t, "lies: {enable: 0.1, disable: 0.5, bad_proof: 0.05}")
	const attempts = 20_000
	count := map[fault.Lie]int{}
	other := 0
	for i := range uint64(attempts) {
		a := fault.Attempt{Device: servicerequests.EUI(0x00DB12E000000000 + i/4), Service: "1.6", Number: i % 4}
		l := p.Lie(fault.PreCommandLies(), 7, a)
		if l != p.Lie(fault.PreCommandLies(), 7, a) {
			t.Fatal("the same attempt was decided twice")
		}
		count[l]++
		if l != p.Lie(fault.PreCommandLies(), 8, a) {
			other++
		}
	}
	for l, want := range map[fault.Lie]float64{fault.Enable: 0.1, fault.Disable: 0.45, fault.Truth: 0.45, fault.BadProof: 0} {
		if got := float64(count[l]) / attempts; math.Abs(got-want) > 0.02 {
			t.Errorf("%s: %v of the attempts, want %v", l, got, want)
		}
	}
	if other < attempts/3 {
		t.Errorf("another seed decides otherwise on %d of %d only", other, attempts)
	}
}

func TestParseRefusesLies(t *testing.T) {
	for text, want := range map[string]string{
		"lies: {truth: 0.1}":     "lies.truth: unknown key",
		"lies: {enabled: 0.1}":   "lies.enabled: unknown key",
		"lies: 0.1":              "lies: 0.1: want keys and values",
		"lies: {enable: 2}":      "lies.enable: 2: want a share",
		"lies: {attempts: -1}":   "lies.attempts: -1: want a whole number",
		"lies: {attempts: 0.5}":  "lies.attempts: 0.5: want a whole number",
		"lies: {attempts: \"\"}": "lies.attempts: : want a number",
	} {
		if _, err := fault.Parse([]byte(text)); !errors.Is(err, fault.ErrProfile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
