package gbcs_test

import (
	"fmt"
	"time"

	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
)

// The Pre-Command that the DCC must send back for a request is known in all but its time, and
// one for another meter is not taken for it.
func ExampleExpected_Match() {
	asked := gbcs.Expected{
		Service: servicerequests.SwitchToCredit, Device: servicerequests.ESME,
		ID: servicerequests.RequestID{Originator: 0x90B3D51F30010000, Target: 0x00DB1234567890A0, Counter: 1000},
	}
	other := asked
	other.ID.Target++
	for _, e := range []gbcs.Expected{asked, other} {
		message, err := gbcs.AppendPreCommand(nil, e, time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC))
		if err != nil {
			fmt.Println(err)
			return
		}
		parsed, err := gbcs.Parse(message)
		if err != nil {
			fmt.Println(err)
			return
		}
		d := gbcs.Describe(parsed)
		fmt.Println(d.UseCase, d.Kind, "for", d.Target, "taken:", asked.Match(message) == nil)
	}
	// Output:
	// ECS02 pre_command for 00-DB-12-34-56-78-90-A0 taken: true
	// ECS02 pre_command for 00-DB-12-34-56-78-90-A1 taken: false
}
