package sweep

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// However often the same is ordered, there is one pause to show and to lift; the journal
// has every order.
func TestRepeatedOrdersCollapse(t *testing.T) {
	d := newDriver(healthy())
	pause := func(o record.OrderBody) {
		t.Helper()
		if err := d.order(o); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3000 {
		pause(record.OrderBody{Action: record.OrderPause, Region: servicerequests.North, Reason: fmt.Sprint("reason ", i)})
	}
	pause(record.OrderBody{Action: record.OrderStop, Region: servicerequests.North})
	pause(record.OrderBody{Action: record.OrderPause, Region: servicerequests.South})
	for _, restart := range []bool{false, true} {
		if restart {
			d.keep()
			d.restart()
		}
		st := d.m.Status(d.now)
		b, err := json.Marshal(st)
		if err != nil || len(st.Holds) != 3 || st.Holds[0].Reason != "reason 2999" || len(b) > 20_000 {
			t.Errorf("restart %t: %d holds in %d bytes of status, %v", restart, len(st.Holds), len(b), err)
		}
	}
	orders := 0
	for _, r := range d.Disk.All() {
		if r.Kind == record.Operator {
			orders++
		}
	}
	if orders != 3002 {
		t.Errorf("%d orders in the journal, want 3002", orders)
	}
	pause(record.OrderBody{Action: record.OrderResume, Region: servicerequests.North})
	if n := len(d.m.pauses.all); n != 1 {
		t.Errorf("%d holds left, want that of the South", n)
	}
}

// Its devices are made up; -sweep.suppress 500000 measures a list of all meters.
var suppressed = flag.Int("sweep.suppress", 3500, "devices of the list that is suppressed")

// A list of many devices is taken in parts, one a step: what else happens is not kept
// waiting, and the order is answered when all of it holds.
func TestLargeOrderIsTakenInParts(t *testing.T) {
	devices := []*device{}
	for i := range *suppressed {
		x := healthy()
		x.EUI += servicerequests.EUI(i)
		devices = append(devices, x)
	}
	d := newDrive(devices...)
	d.check = len(devices) < 100 // after each step it would take longer than the steps
	d.start()
	var all []servicerequests.EUI
	for i := range *suppressed {
		all = append(all, healthy().EUI+servicerequests.EUI(i))
	}
	d.orders++
	ticket := d.orders
	var longest time.Duration
	step := func(events ...Event) []Action {
		begun := time.Now()
		actions := d.m.Step(d.now, events...)
		longest = max(longest, time.Since(begun))
		d.perform(actions)
		return actions
	}
	step(Order{ticket, record.OrderBody{Action: record.OrderSuppress, By: "Ada", Devices: all}})
	d.orders++
	step(Order{d.orders, record.OrderBody{Action: record.OrderPause, By: "Ada"}})
	if err, answered := d.answers[d.orders]; !answered || err != nil {
		t.Errorf("an order meanwhile waits: %v", err)
	}
	for i := 2; ; i++ {
		_, answered := d.answers[ticket]
		if left := *suppressed - i*atOnce; answered != (left <= 0) {
			t.Errorf("%d devices are left, answered: %t", left, answered)
		}
		if yes, _ := d.m.Ended(); yes && !answered {
			t.Fatal("it ends before the order is given")
		}
		if answered || i > *suppressed {
			break
		}
		if next := d.m.Next(); next.IsZero() || next.After(d.now) {
			t.Errorf("it waits until %v with a part to give", next)
		}
		step()
	}
	var given []servicerequests.EUI
	for _, r := range d.Disk.All() {
		if r.Kind != record.Operator || r.Code != record.OrderSuppress {
			continue
		}
		var o record.OrderBody
		if err := json.Unmarshal(r.Body, &o); err != nil || len(o.Devices) > atOnce {
			t.Errorf("an order of %d devices in the journal, %v", len(o.Devices), err)
		}
		given = append(given, o.Devices...)
	}
	if !slices.Equal(given, all) {
		t.Errorf("%d devices were suppressed, want %d", len(given), len(all))
	}
	for _, x := range devices {
		if m := d.m.find(x.EUI); m == nil || m.Bars.Excluded == "" {
			t.Fatalf("%v is not suppressed", x.EUI)
		}
	}
	t.Logf("suppress of %d devices: the longest turn took %v", len(all), longest)
}
