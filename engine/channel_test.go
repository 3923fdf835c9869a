package engine_test

import (
	"errors"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"safemode/engine"
	"safemode/engine/record"
	"safemode/engine/sweep"
	"safemode/servicerequests"
)

// The DCC's errors are unsigned. "The User may not send" halts the sweep where the
// channel proves the sender; anywhere else it proves nothing, and the sweep goes on.
func TestUnsignedHaltNeedsAProvenChannel(t *testing.T) {
	for _, code := range []servicerequests.ResponseCode{servicerequests.NotAUser, servicerequests.NotRegistered} {
		d := newDCC(t, code)
		for _, test := range []struct {
			name, url string
			proven    bool
		}{
			{"loopback", d.URL, true},
			{"an address that is not loopback", strings.Replace(d.URL, "127.0.0.1", "0.0.0.0", 1), false}, // leads to this machine all the same,
		} {
			t.Run(string(code)+" "+test.name, func(t *testing.T) {
				o := options(t, d, newPlan(t, engine.Simulator, 1), t.TempDir())
				core, logs := observer.New(zap.WarnLevel)
				o.DCC.URL, o.Log = test.url, zap.New(core)
				e := open(t, o)
				err := e.Run(t.Context())
				if halt, ok := errors.AsType[*sweep.HaltError](err); ok != (test.proven && code == servicerequests.NotAUser) {
					t.Errorf("halt %v, ended with %v", halt, err)
				}
				verdicts := e.Status().Verdicts
				if excluded := verdicts[record.VerdictExcluded] == 1; excluded != (test.proven && code == servicerequests.NotRegistered) {
					t.Errorf("verdicts %v", verdicts)
				}
				if refused := logs.FilterMessage("refused").Len() > 0; refused == test.proven {
					t.Errorf("log: %v", logs.All())
				}
			})
		}
	}
}
