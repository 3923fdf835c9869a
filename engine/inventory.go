package engine

import (
	"context"
	"crypto/ecdh"
	"errors"
	"fmt"
	"time"

	"safemode/engine/directory"
	"safemode/engine/gateway"
	"safemode/engine/proof"
	"safemode/engine/record"
	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/xmldsig"
)

// Asked is what [AskInventory] asked and heard.
type Asked struct {
	ID      servicerequests.RequestID
	Code    servicerequests.ResponseCode // of a refusal
	Devices duis.Inventory               // of the home; proven
}

// AskInventory asks the DCC for what its inventory has of one device (8.2), by the same
// signer, gateway and proof as a sweep. It reaches no home, writes no record, and takes no
// counter of the custody: it counts in hundredths of seconds, far below the counters of a
// sweep, which go on over the milliseconds. Where a counter floor has sweeps count so low as
// well, it refuses. Whether the sweep may act at all its caller has asked.
func AskInventory(ctx context.Context, o Options, originator, device servicerequests.EUI, over uint64, now time.Time) (a Asked, err error) {
	a.ID = servicerequests.RequestID{Originator: originator, Target: o.DCC.EUI, Counter: uint64(now.UnixMilli() / 10)}
	if a.ID.Counter >= over {
		return a, fmt.Errorf("%w: counters go on over %d, and this request would be counted among them", ErrRefused, over)
	}
	gate, err := signerOf(o.Identities)
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
	verifier, err := verifierOf(o, devices, way)
	if err != nil {
		return a, err
	}
	body, err := gate.SignRequest(duis.Request{ID: a.ID, Service: servicerequests.ReadInventory, InventoryDevice: device})
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

// signerOf is the signing gate of all identities.
func signerOf(all []Identity) (*signer.Signer, error) {
	identities := map[servicerequests.EUI]signer.Identity{}
	for _, id := range all {
		identities[id.EUI] = signer.Identity{
			XML: xmldsig.Signer{
				Key: id.XMLSigning.Key, Issuer: id.XMLSigning.Certificate.Issuer, Serial: id.XMLSigning.Certificate.SerialText(),
			},
			PreCommand: id.DigitalSigning.Key,
		}
	}
	return signer.New(signer.Options{Identities: identities})
}

// verifierOf proves what the DCC says to all identities.
func verifierOf(o Options, devices proof.Devices, way *gateway.Gateway) (*proof.Verifier, error) {
	agreement := map[servicerequests.EUI]*ecdh.PrivateKey{}
	for _, id := range o.Identities {
		agreement[id.EUI] = id.KeyAgreement.Key
	}
	return proof.New(proof.Options{
		Transform: o.DCC.Transform, XMLSigning: o.DCC.XMLSigning, S1SP: o.DCC.S1SP, KeyAgreement: agreement, Devices: devices, Revoked: o.Revoked,
		ServerProven: way.ServerProven() || o.Plan.Environment == Simulator && loopback(o.DCC.URL),
	})
}
