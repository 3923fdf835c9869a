package signer

import (
	"errors"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// The lint must see what a defect between meaning and signing would change.
func TestLint(t *testing.T) {
	g := newGate(t)
	arm := gbcs.Expected{Service: servicerequests.ArmSupply, Device: servicerequests.ESME, ID: id}
	message, err := gbcs.Sign(preCommand(t, arm), g.pre)
	if err != nil {
		t.Fatal(err)
	}
	if err := lintMessage(arm, message); err != nil {
		t.Error(err)
	}
	other := arm
	other.ID.Counter++
	if err := lintMessage(other, message); !errors.Is(err, errLint) {
		t.Errorf("another counter: %v", err)
	}
	if err := lintMessage(arm, message[:len(message)-65]); !errors.Is(err, errLint) {
		t.Errorf("unsigned: %v", err)
	}

	meant := duis.Request{ID: id, Service: servicerequests.ArmSupply, SignedPreCommand: message}
	identity := g.identities[supplier]
	signed, err := identity.signXML(meant)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*duis.Request){
		"another ID":      func(r *duis.Request) { r.ID.Counter++ },
		"another service": func(r *duis.Request) { r.Service = servicerequests.SwitchToCredit },
		"another payload": func(r *duis.Request) { r.SignedPreCommand = message[1:] },
		"another half":    func(r *duis.Request) { r.SignedPreCommand = nil },
	} {
		r := meant
		change(&r)
		if err := CheckRequest(r, signed); !errors.Is(err, errLint) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
