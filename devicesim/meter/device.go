package meter

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"time"

	"safemode/devicesim/devicepki"
	"safemode/devicesim/fleet"
	"safemode/servicerequests"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/recent"
)

// Why a device does not carry out a command.
var (
	ErrNotForDevice = errors.New("command is not for this device")
	ErrUntrusted    = errors.New("originator is not a supplier that the device trusts")
	ErrReplay       = errors.New("originator counter is not above the device's")
)

// SupplierKeys are the public keys of a supplier that devices trust.
type SupplierKeys struct {
	Signing   *ecdsa.PublicKey // of its Signed Pre-Commands
	Agreement *ecdh.PublicKey  // its side of the MAC on Responses and Alerts
}

// Options says what devices know.
type Options struct {
	PKI       *devicepki.PKI
	Broker    *ecdh.PublicKey // access control broker, key agreement
	Suppliers map[servicerequests.EUI]SupplierKeys
	Behaviour Behaviour
}

// Devices carries out Commands for all devices of a fleet. Its methods may be
// called from many goroutines as long as no two touch the same meter.
type Devices struct {
	Options
	secrets *recent.Map[pair, [32]byte]
}

// pair names two parties of a key agreement, the device by its key; the broker's EUI is
// taken as 0.
type pair struct {
	device *devicepki.Keys
	other  servicerequests.EUI
}

// remembered bounds how many shared secrets are held in memory.
const remembered = 8192

// NewDevices returns the device layer. The options are not to be changed after.
func NewDevices(o Options) *Devices {
	return &Devices{Options: o, secrets: recent.New[pair, [32]byte](remembered)}
}

// Target is the device that a Command reached.
type Target struct {
	Meter *fleet.Meter
	// Mirror is set when the device is the gas proxy of Meter: the copy of the
	// gas meter that the proxy last received. Only it is read.
	Mirror *fleet.Meter

	// SignedBy is the key whose signature of the Command this program has verified
	// already, so that the device need not. Nil: the device must.
	SignedBy *ecdsa.PublicKey
}

func (t Target) eui() servicerequests.EUI {
	if t.Mirror != nil {
		return t.Meter.GPF()
	}
	return t.Meter.Device
}

func (t Target) kind() servicerequests.DeviceType {
	if t.Mirror != nil {
		return servicerequests.GPF
	}
	return t.Meter.Type
}

func (t Target) gas() bool { return t.kind() != servicerequests.ESME }

// Reply is what a device did with a Command.
type Reply struct {
	// Refused says why the device did not carry the Command out and stays
	// silent; nil if it was carried out. It wraps one of this package's errors,
	// or gbcs's for a message that is malformed or not authentic.
	Refused error

	Response  []byte       // message to the supplier; nil if Refused
	UseCase   gbcs.UseCase // zero if the message could not be read
	Counter   uint64       // originator counter of the Command
	Forbidden bool         // outside the permitted set with the supplier's valid signature, carried out or not
	Alerts    []AlertCode  // to be sent with [Devices.Alert], in this order

	// ModeChange is a 1.6 that took effect, or that the device keeps or stops
	// keeping; zero for all else.
	ModeChange Dated

	Result byte  // the first result of the Response that is not success; 0: success, or Refused
	State  State // just after it was carried out; of a gas proxy what it shows. Zero if Refused
}

// Handle takes a Command (MAC Header outermost) as the device does at time now:
// it proves MAC, signature, supplier and counter, carries the Command out and
// answers. The error is a fault of the simulator itself, never of the Command.
func (d *Devices) Handle(t Target, command []byte, now time.Time, f Fault) (Reply, error) {
	c, reply, err := d.accept(t, command)
	if err != nil || reply.Refused != nil {
		return reply, err
	}
	m := t.Meter
	if t.Mirror != nil {
		m = t.Mirror
	}
	e := Execute(m, c.Command, now, d.Behaviour, f)
	reply.Alerts, reply.Forbidden = e.Alerts, reply.Forbidden || e.Forbidden
	if e.Done && modeChange(c.Command) {
		reply.ModeChange = Dated{c.Command, c.Counter}
	}
	reply.Response, err = d.respond(t, m, c.Header, e.Response, now)
	if err != nil {
		return reply, fmt.Errorf("%v answers %s: %w", t.eui(), c.UseCase, err)
	}
	reply.Result, reply.State = firstFailure(e.Response.Results), StateOf(m)
	return reply, nil
}

// firstFailure is the first result that is not success; 0: there is none.
func firstFailure(results []byte) byte {
	for _, result := range results {
		if result != 0 {
			return result
		}
	}
	return 0
}

// accepted is a Command that the device will carry out.
type accepted struct {
	gbcs.Header
	gbcs.Command
}

// accept reads and proves a Command. For a critical one it moves the counter
// on, whatever then becomes of it.
func (d *Devices) accept(t Target, command []byte) (accepted, Reply, error) {
	var reply Reply
	message, err := gbcs.Parse(command)
	if err != nil {
		return accepted{}, refuse(reply, err), nil
	}
	reply.Counter = message.Counter
	c, err := gbcs.DecodeCommand(message)
	if err != nil {
		return accepted{}, refuse(reply, err), nil
	}
	reply.UseCase = c.UseCase
	supplier, trusted := d.Suppliers[message.Originator]
	if trusted && c.UseCase.Critical && !permitted(c) {
		// That somebody signed it is the finding, whatever else is wrong with it.
		reply.Forbidden = message.VerifySignature(supplier.Signing) == nil
	}
	switch {
	case message.Kind != gbcs.KindCommand:
		return accepted{}, refuse(reply, fmt.Errorf("%w: no Command with a MAC", ErrNotForDevice)), nil
	case message.Target != t.eui() || !c.UseCase.Fits(t.kind()):
		return accepted{}, refuse(reply, fmt.Errorf("%w: %s to %v", ErrNotForDevice, c.UseCase.Name, message.Target)), nil
	case !trusted || message.Originator != t.Meter.Supplier:
		return accepted{}, refuse(reply, fmt.Errorf("%w: %v", ErrUntrusted, message.Originator)), nil
	}
	z, err := d.BrokerSecret(t.eui())
	if err != nil {
		return accepted{}, reply, err
	}
	if err := message.VerifyMAC(gbcs.MACKey(z, message.Header)); err != nil && !d.forFormerKeys(t.eui(), message) {
		return accepted{}, refuse(reply, err), nil
	}
	if c.UseCase.Critical {
		if t.SignedBy == nil || !t.SignedBy.Equal(supplier.Signing) {
			if err := message.VerifySignature(supplier.Signing); err != nil {
				return accepted{}, refuse(reply, err), nil
			}
		}
		if message.Counter <= t.Meter.SupplierCounter {
			return accepted{}, refuse(reply, fmt.Errorf("%w: %d after %d", ErrReplay, message.Counter, t.Meter.SupplierCounter)), nil
		}
		t.Meter.SupplierCounter = message.Counter
	}
	return accepted{message.Header, c}, reply, nil
}

// refuse is a device that stays silent and raises an alert.
func refuse(r Reply, reason error) Reply {
	r.Refused, r.Alerts = reason, []AlertCode{CommandRefused}
	if errors.Is(reason, gbcs.ErrMAC) || errors.Is(reason, gbcs.ErrSignature) {
		r.Alerts[0] = SourceAuthentication
	}
	return r
}

// respond encodes the Response and signs it, or adds a MAC for the supplier.
func (d *Devices) respond(t Target, m *fleet.Meter, command gbcs.Header, r gbcs.Response, now time.Time) ([]byte, error) {
	h := command.Response(gbcs.NewDateTime(now, clockStatus(t, r.UseCase)))
	if r.UseCase.SRV == "4.3" && r.Results == nil {
		z, err := d.supplierSecret(t, h.Target)
		if err != nil {
			return nil, err
		}
		if r.Ciphertext, err = gbcs.SealPrepayValues(h, gbcs.EncryptionKey(z, h), prepayValues(m)); err != nil {
			return nil, err
		}
	}
	payload, err := gbcs.AppendResponsePayload(nil, h, r)
	if err != nil {
		return nil, err
	}
	return d.seal(t, h, payload, r.UseCase.Critical)
}

// clockStatus is what a device says of its clock in a Response's date-time. A gas meter
// says in reads whether it is sure of its clock; one in sixteen is not (simulator choice).
// The others, and an ESME always, leave it unspecified (test data).
func clockStatus(t Target, u gbcs.UseCase) byte {
	switch {
	case u.Critical || !t.gas():
		return gbcs.ClockUnspecified
	case t.kind() == servicerequests.GPF:
		return gbcs.ClockReliable
	case t.eui()%16 == 5:
		return gbcs.ClockDoubtful
	}
	return gbcs.ClockDifferent
}

// Alert makes an Alert to the meter's supplier under the device's next own
// counter. A supplier that the device does not know gets none: nil.
func (d *Devices) Alert(t Target, code AlertCode, now time.Time) ([]byte, error) {
	if _, known := d.Suppliers[t.Meter.Supplier]; !known {
		return nil, nil
	}
	return d.alert(t, gbcs.Alert{Code: uint16(code), At: now})
}

// seal signs a critical message and adds a MAC to any other.
func (d *Devices) seal(t Target, h gbcs.Header, payload []byte, critical bool) ([]byte, error) {
	if critical {
		keys, err := d.PKI.Keys(t.eui())
		if err != nil {
			return nil, err
		}
		return gbcs.AppendSigned(nil, h, payload, keys.Signing)
	}
	z, err := d.supplierSecret(t, h.Target)
	if err != nil {
		return nil, err
	}
	return gbcs.AppendMAC(nil, gbcs.AppendNull(nil, h, payload), h.Originator, gbcs.MACKey(z, h)), nil
}

func (d *Devices) supplierSecret(t Target, supplier servicerequests.EUI) ([32]byte, error) {
	return d.secret(t.eui(), supplier, d.Suppliers[supplier].Agreement)
}

// BrokerSecret returns the secret that a device shares with the access control broker.
func (d *Devices) BrokerSecret(device servicerequests.EUI) ([32]byte, error) {
	return d.secret(device, 0, d.Broker)
}

// forFormerKeys says whether a Command was made for the keys that a device had before it
// changed them. It takes that as well, as if it had waited with the change until no
// Command is under way (simulator choice).
func (d *Devices) forFormerKeys(device servicerequests.EUI, command *gbcs.Message) bool {
	keys, err := d.PKI.Former(device)
	if err != nil || keys == nil {
		return false
	}
	z, err := gbcs.SharedSecret(keys.Agreement, d.Broker)
	return err == nil && command.VerifyMAC(gbcs.MACKey(z, command.Header)) == nil
}

// secret returns the shared secret of a device and another party.
func (d *Devices) secret(device, other servicerequests.EUI, public *ecdh.PublicKey) ([32]byte, error) {
	keys, err := d.PKI.Keys(device)
	if err != nil {
		return [32]byte{}, err
	}
	parties := pair{keys, other}
	if z, ok := d.secrets.Get(parties); ok {
		return z, nil
	}
	z, err := gbcs.SharedSecret(keys.Agreement, public)
	if err != nil {
		return z, fmt.Errorf("%v and %v: %w", device, other, err)
	}
	d.secrets.Put(parties, z)
	return z, nil
}
