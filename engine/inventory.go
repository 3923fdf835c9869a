package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"safemode/engine/directory"
	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// Asked is what [AskInventory] asked and heard.
type Asked struct {
	ID      servicerequests.RequestID
	Code    servicerequests.ResponseCode // of a refusal
	Devices duis.Inventory               // of the home; proven
}

// ErrSignerAlone says that a signer in a process of its own signs only for a sweep that it
// has granted.
var ErrSignerAlone = errors.New("the signer signs for a sweep alone")

// AskInventory asks the DCC for what its inventory has of one device (8.2), by the same
// signer, gateway and proof as a sweep. It reaches no home, writes no record, and takes no
// counter of the custody: it counts in hundredths of seconds, far below the counters of a
// sweep, which are at least milliseconds. It refuses if a counter floor has sweeps count as
// low. The caller must have asked whether the sweep may act at all.
func AskInventory(ctx context.Context, o Options, originator, device servicerequests.EUI, over uint64, now time.Time) (a Asked, err error) {
	a.ID = servicerequests.RequestID{Originator: originator, Target: o.DCC.EUI, Counter: uint64(now.UnixMilli() / 10)}
	if a.ID.Counter >= over {
		return a, fmt.Errorf("%w: counters go on over %d, and this request would be counted among them", ErrRefused, over)
	}
	if o.Signer != nil {
		return a, ErrSignerAlone
	}
	gate, agreements, err := keysFrom(o)
	if err != nil {
		return a, err
	}
	way, err := gateway.New(gateway.Options{URL: o.DCC.URL, TLS: o.DCC.TLS, Timeout: o.DCC.Timeout})
	if err != nil {
		return a, err
	}
	defer way.Close()
	devices, err := directory.New(directory.Options{URL: o.DCC.SMKIURL, TLS: o.DCC.TLS, Authorities: o.DCC.Authorities})
	if err != nil {
		return a, err
	}
	defer devices.Close()
	verifier, err := verifierOf(o, agreements, devices, way)
	if err != nil {
		return a, err
	}
	body, err := gate.SignRequest(ctx, device, duis.Request{ID: a.ID, Service: servicerequests.ReadInventory, InventoryDevice: device})
	if err != nil {
		return a, err
	}
	raw, err := way.Post(ctx, gateway.Post{Service: record.NonDevice, ID: a.ID, Body: body})
	if err != nil {
		return a, err
	}
	reply, err := verifier.Reply(raw, a.ID)
	if err != nil {
		return a, err
	}
	devicesFound, ok := reply.Content.(duis.Inventory)
	if a.Code, a.Devices = reply.Code, devicesFound; !ok {
		return a, fmt.Errorf("the DCC answers %s", reply.Code)
	}
	for _, d := range a.Devices {
		if d.ID == device {
			return a, nil
		}
	}
	return a, errors.New("the answer does not name the device")
}

// verifierOf makes a verifier of the DCC's messages to all identities.
func verifierOf(o Options, agreements map[servicerequests.EUI]gbcs.Agreement, devices proof.Devices, way *gateway.Gateway) (*proof.Verifier, error) {
	return proof.New(proof.Options{
		Transform: o.DCC.Transform, XMLSigning: o.DCC.XMLSigning, S1SP: o.DCC.S1SP, Agreements: agreements, Devices: devices, Revoked: o.Revoked,
		ServerProven: way.ServerProven() || o.Plan.Environment == Simulator && loopback(o.DCC.URL),
	})
}
