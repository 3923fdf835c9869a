package directory

import (
	"container/list"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"

	"safemode/engine/proof"
	"safemode/servicerequests"
)

// packed is a device's keys as they are kept: the X and Y of both points. A
// parsed key takes several times as much.
type packed struct{ signing, agreement [64]byte }

// uncompressed is the first octet of a point that has both coordinates (SEC 1,
// 2.3.3).
const uncompressed = 4

func pack(keys proof.DeviceKeys) (p packed) {
	// Both are P-256 keys of a certificate that has been read: 65 bytes.
	if point, err := keys.DigitalSignature.Bytes(); err == nil {
		copy(p.signing[:], point[1:])
	}
	copy(p.agreement[:], keys.KeyAgreement.Bytes()[1:])
	return p
}

func (p packed) unpack() (keys proof.DeviceKeys, err error) {
	keys.DigitalSignature, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{uncompressed}, p.signing[:]...))
	if err == nil {
		keys.KeyAgreement, err = ecdh.P256().NewPublicKey(append([]byte{uncompressed}, p.agreement[:]...))
	}
	if err != nil {
		return proof.DeviceKeys{}, fmt.Errorf("%w: kept keys: %w", ErrUnavailable, err)
	}
	return keys, nil
}

// cache keeps the keys of the devices used last.
type cache struct {
	size    int
	entries map[servicerequests.EUI]*list.Element
	order   *list.List // of entry, the one used last in front
}

type entry struct {
	device servicerequests.EUI
	keys   packed
}

func newCache(size int) cache {
	return cache{size: size, entries: map[servicerequests.EUI]*list.Element{}, order: list.New()}
}

func (c *cache) get(device servicerequests.EUI) (packed, bool) {
	e, ok := c.entries[device]
	if !ok {
		return packed{}, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).keys, true
}

func (c *cache) put(device servicerequests.EUI, keys packed) {
	c.entries[device] = c.order.PushFront(&entry{device, keys})
	if c.order.Len() > c.size {
		oldest := c.order.Back()
		delete(c.entries, oldest.Value.(*entry).device)
		c.order.Remove(oldest)
	}
}
