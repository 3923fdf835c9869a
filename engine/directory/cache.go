package directory

import (
	"bytes"
	"container/list"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
	"slices"
	"time"

	"safemode/engine/proof"
	"safemode/servicerequests"
)

// packed is a device's keys as they are kept: X and Y of every point, those for
// signatures first. A parsed key takes several times as much.
type packed struct {
	points  []byte
	signing int // how many of the points are for signatures
}

// uncompressed is the first octet of a point that has both coordinates (SEC 1,
// 2.3.3).
const (
	uncompressed = 4
	pointSize    = 64
)

func pack(keys proof.DeviceKeys) packed {
	p := packed{make([]byte, 0, pointSize*(len(keys.DigitalSignature)+len(keys.KeyAgreement))), len(keys.DigitalSignature)}
	for _, key := range keys.DigitalSignature {
		// All are P-256 keys of a certificate that has been read: 65 bytes.
		if point, err := key.Bytes(); err == nil {
			p.points = append(p.points, point[1:]...)
		}
	}
	for _, key := range keys.KeyAgreement {
		p.points = append(p.points, key.Bytes()[1:]...)
	}
	return p
}

func (p packed) unpack() (keys proof.DeviceKeys, err error) {
	n := 0
	for point := range slices.Chunk(p.points, pointSize) {
		whole := append([]byte{uncompressed}, point...)
		if n++; n <= p.signing {
			key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), whole)
			if err != nil {
				return proof.DeviceKeys{}, fmt.Errorf("%w: kept keys: %w", errUnavailable, err)
			}
			keys.DigitalSignature = append(keys.DigitalSignature, key)
			continue
		}
		key, err := ecdh.P256().NewPublicKey(whole)
		if err != nil {
			return proof.DeviceKeys{}, fmt.Errorf("%w: kept keys: %w", errUnavailable, err)
		}
		keys.KeyAgreement = append(keys.KeyAgreement, key)
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
	asked  time.Duration // since the directory was made: when the service was last asked
}

func newCache(size int) cache {
	return cache{size: size, entries: map[servicerequests.EUI]*list.Element{}, order: list.New()}
}

// get returns what is kept of a device, nil if nothing is. It is good for as long as the
// directory's mutex is held.
func (c *cache) get(device servicerequests.EUI) *entry {
	e, ok := c.entries[device]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry)
}

// put keeps keys in place of what was kept, and says whether they are others.
func (c *cache) put(device servicerequests.EUI, keys packed, asked time.Duration) (changed bool) {
	if e := c.get(device); e != nil {
		changed = keys.signing != e.keys.signing || !bytes.Equal(keys.points, e.keys.points)
		e.keys, e.asked = keys, asked
		return changed
	}
	c.entries[device] = c.order.PushFront(&entry{device, keys, asked})
	if c.order.Len() > c.size {
		oldest := c.order.Back()
		delete(c.entries, oldest.Value.(*entry).device)
		c.order.Remove(oldest)
	}
	return true
}
