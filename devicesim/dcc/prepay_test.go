package dcc

import (
	"bytes"
	"testing"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

// TestPrepayReadIsDCCs holds the messages of 4.3 against the DCC's own Commands.
func TestPrepayReadIsDCCs(t *testing.T) {
	held := 0
	for _, v := range outside.Messages(t, "command") {
		if v.SRV != readPrepayValues {
			continue
		}
		want, err := gbcs.Parse(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		use, _ := gbcs.LookupUseCase(want.Code)
		var q request
		q.ID = servicerequests.RequestID{Originator: want.Originator, Target: want.Target, Counter: want.Counter}
		q.Variant, _ = servicerequests.FindVariant(func(v *servicerequests.Variant) bool { return v.SRV == readPrepayValues })
		if got := appendPrepayRead(nil, q, use.Device); !bytes.Equal(got, want.Inner()) {
			t.Errorf("%s: %x, want %x", v.Name, got, want.Inner())
		}
		held++
	}
	if held < 4 {
		t.Errorf("held against %d Commands, want 4 at least", held)
	}
}
