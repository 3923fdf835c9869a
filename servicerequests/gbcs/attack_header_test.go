package gbcs_test

import (
	"errors"
	"slices"
	"testing"

	"safemode/servicerequests/gbcs"
)

// A date-time or other-information of a length that the use case does not have,
// with all that is around it made to fit.
func TestAttackHeaderOfOtherLength(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		inner := m.Inner()[:len(m.Inner())-signatureFieldOf(m)]
		after := 30
		if m.HasDateTime {
			after += 12
		}
		for _, n := range []int{0, 1, 11, 12, 13, 127} {
			if m.HasDateTime == (n == 12) && (n == 12 || n == 0) {
				continue // as it is
			}
			forged := slices.Concat(inner[:29], []byte{byte(n)}, make([]byte, n), inner[after:])
			c.refuse(t, v, c.protect(t, v, m, m.Header, forged), "a date-time of %d bytes", n)
		}
		for _, n := range []int{0, 1, 3, 10, 18, 26, 127} {
			code := make([]byte, n)
			copy(code, inner[after+1:after+3])
			forged := slices.Concat(inner[:after], []byte{byte(n)}, code, inner[after+3:])
			c.refuse(t, v, c.protect(t, v, m, m.Header, forged), "other information of %d bytes", n)
		}
	}
	c.report(t, 800)
}

func signatureFieldOf(m *gbcs.Message) int {
	switch {
	case m.Signature != nil:
		return 65
	case m.NullSignature:
		return 1
	}
	return 0
}

// A message of one kind in place of another, and the flag changed under a MAC that
// is right for the changed flag.
func TestAttackCRAConfusion(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		for cra := range 256 {
			h := m.Header
			if h.CRA = gbcs.CRA(cra); h.CRA != m.CRA {
				c.refuse(t, v, c.rebuild(t, v, m, h, m.Payload), "CRA flag %02x", cra)
			}
		}
		for j := range c.vectors {
			if o := &c.vectors[j]; o.Kind != v.Kind {
				c.refuse(t, v, unhex(t, o.Hex), "%s in its place", o.Name)
			}
		}
	}
	c.report(t, 20_000)
}

func TestAttackSwappedParties(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		h := m.Header
		h.Originator, h.Target = h.Target, h.Originator
		swapped := c.rebuild(t, v, m, h, m.Payload)
		if m.MAC != nil { // the old MAC
			swapped = append(swapped[:len(swapped)-len(m.MAC)], m.MAC...)
		}
		c.refuse(t, v, swapped, "originator and target swapped")
		if v.Kind != "response" {
			continue
		}
		// Even under a MAC that is right it answers nothing that was asked.
		u, _ := gbcs.LookupUseCase(m.Code)
		e := gbcs.Expected{Service: u.Service, Device: u.Device, ID: m.ID().Reversed()}
		if err := e.MatchResponse(parse(t, c.rebuild(t, v, m, h, m.Payload))); err == nil {
			t.Errorf("%s: taken for an answer with its parties swapped", v.Name)
		}
	}
	c.report(t, len(c.vectors))
}

func TestAttackCounterOutOfRange(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		for _, counter := range []uint64{0, 1 << 63, 1<<63 + 1000, 1<<64 - 1} {
			h := m.Header
			h.Counter = counter
			b := c.rebuild(t, v, m, h, m.Payload)
			c.refuse(t, v, b, "counter %d", counter)
			if _, err := gbcs.Parse(b); !errors.Is(err, gbcs.ErrMalformed) {
				t.Errorf("%s: counter %d: %v", v.Name, counter, err)
			}
		}
		if m.MAC == nil { // a counter in range, and not the one that was signed or asked for
			h := m.Header
			h.Counter++
			c.refuse(t, v, c.rebuild(t, v, m, h, m.Payload), "the next counter")
		}
	}
	c.report(t, 4*len(c.vectors))
}

// Every message code but its own, under a MAC that is right.
func TestAttackMessageCode(t *testing.T) {
	c := newCourt(t)
	for i := range c.vectors {
		v := &c.vectors[i]
		m := parse(t, unhex(t, v.Hex))
		own, known := gbcs.LookupUseCase(m.Code)
		for code := range 0x10000 {
			h := m.Header
			if h.Code = uint16(code); h.Code == m.Code {
				continue
			}
			other, isUseCase := gbcs.LookupUseCase(h.Code)
			if !isUseCase && code%251 != 0 && code != 0x0055 && code != 0x0062 && code != 0x007F {
				continue // a sample of the unknown ones, and three that many use cases share
			}
			forged := c.rebuild(t, v, m, h, m.Payload)
			if v.Kind == "command" && known && !own.Critical && isUseCase && own.Service == other.Service && own.Device == other.Device {
				continue // GCS60 and GCS60a have one payload
			}
			c.refuse(t, v, forged, "message code %04X", code)
		}
	}
	c.report(t, 10_000)
}
