package signing

import (
	"errors"
	"fmt"
	"testing"

	"safemode/engine/plan"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
	"safemode/servicerequests/smki"
)

// Every Pre-Command and Command of the outside vectors is handed in as each critical service,
// for a meter of the plan, with its request signed before: what is signed is a switch to
// Credit that was asked for, and nothing else.
func TestOutsidePreCommands(t *testing.T) {
	messages := append(outside.Messages(t, "precommand"), outside.Messages(t, "command")...)
	signed := map[string]int{}
	for _, m := range messages {
		parsed, err := gbcs.Parse(m.Hex)
		if err != nil {
			t.Fatal(m.Name, err)
		}
		id := parsed.ID()
		kinds := []servicerequests.DeviceType{servicerequests.ESME, servicerequests.GSME}
		if m.Kind == "command" { // those of reads, MAC and all, are long
			kinds = kinds[:1]
		}
		for _, kind := range kinds {
			s := newScene(t, 2, func(o *Options) {
				o.Plan.Targets[0] = plan.Target{Device: id.Target, Type: kind, Originator: smki.TestSupplier}
				o.Limits.Ahead = 1 << 62
			}).open()
			for _, service := range servicerequests.Services {
				if !service.Critical() {
					continue
				}
				if _, err := s.client.SignRequest(t.Context(), id.Target, duis.Request{ID: id, Service: service}); err != nil && service == toCredit && id.Originator == smki.TestSupplier {
					t.Errorf("%s: its request: %v", m.Name, err)
				}
				var document []byte
				err := s.client.ask(t.Context(), "POST", "command", question{Meter: id.Target, ID: id, Service: SRV(service), PreCommand: m.Hex}, &document)
				if err == nil {
					signed[fmt.Sprintf("%s %v", m.SRV, kind)]++
					if service != toCredit || m.SRV != "1.6" || m.Kind != "precommand" {
						t.Errorf("%s (%s, SRV %s) was signed as %v", m.Name, m.Kind, m.SRV, service)
					}
					continue
				}
				if _, refused := errors.AsType[*signer.RefusedError](err); !refused {
					t.Errorf("%s as %v: %v", m.Name, service, err)
				}
			}
			s.stop()
		}
	}
	t.Logf("%d messages as each critical service to two kinds of meter: signed %v", len(messages), signed)
	if len(messages) == 0 || signed["1.6 ESME"] == 0 || signed["1.6 GSME"] == 0 {
		t.Errorf("%d messages, signed %v", len(messages), signed)
	}
}
