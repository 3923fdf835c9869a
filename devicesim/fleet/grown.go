package fleet

import (
	"math/bits"

	"safemode/servicerequests"
)

// grown is the roll of a generated fleet. It holds no meter: an index gives a
// home, a home its identifiers, and they give all the rest, each way in constant
// time.
//
// Homes come in blocks of 50: 33 have both fuels, 15 electricity only and 2 gas
// only, 83 meters in all. In which order they stand in a block is one of a
// number of patterns, which seed and block choose.
type grown struct {
	census
	kind, reach permutation
	patterns    [64]pattern
}

const (
	blockHomes  = 50
	blockMeters = 83
)

// fuels says which meters a home has.
type fuels uint8

const (
	both fuels = iota
	electricityOnly
	gasOnly
)

// pattern is the order of the homes in a block.
type pattern struct {
	fuels [blockHomes]fuels
	first [blockHomes + 1]uint8 // the home's first meter, counted in the block
	home  [blockMeters]uint8    // the home of a meter
}

func newGrown(o Options) *grown {
	g := &grown{
		census: newCensus(o),
		kind:   newPermutation(o.Meters, o.Seed, "kind"),
		reach:  newPermutation(o.Meters, o.Seed, "reachable"),
	}
	for i := range g.patterns {
		g.patterns[i] = newPattern(newStream(o.Seed, servicerequests.EUI(i), "fuels"))
	}
	return g
}

func newPattern(s stream) (p pattern) {
	for home := range p.fuels {
		switch {
		case home >= 48:
			p.fuels[home] = gasOnly
		case home >= 33:
			p.fuels[home] = electricityOnly
		}
		other := s.below(uint64(home) + 1)
		p.fuels[home], p.fuels[other] = p.fuels[other], p.fuels[home]
	}
	meter := uint8(0)
	for home, f := range p.fuels {
		p.first[home] = meter
		p.home[meter] = uint8(home)
		meter++
		if f == both {
			p.home[meter] = uint8(home)
			meter++
		}
	}
	p.first[blockHomes] = meter
	return p
}

func (g *grown) pattern(block uint64) *pattern {
	return &g.patterns[mix(g.o.Seed^mix(block))%uint64(len(g.patterns))]
}

func (g *grown) Len() int { return g.o.Meters }

func (g *grown) Meter(i int) Meter {
	block, at := uint64(i/blockMeters), i%blockMeters
	p := g.pattern(block)
	place := p.home[at]
	home := uint32(block*blockHomes + uint64(place))
	id := scramble(home, g.o.Seed)
	m := Meter{Hub: hubEUI | servicerequests.EUI(id), Region: regionOf(home), Supplier: g.o.Supplier}
	if p.fuels[place] == gasOnly || at != int(p.first[place]) {
		m.Type, m.Device, m.MPxN = servicerequests.GSME, gasEUI|servicerequests.EUI(id), mprn(id)
	} else {
		m.Type, m.Device, m.MPxN = servicerequests.ESME, electricEUI|servicerequests.EUI(id), mpan(m.Region, id)
	}
	g.settle(&m, g.kind.of(i), g.reach.of(i))
	return m
}

// place returns where in the fleet the home with an identifier begins, and its
// place in a block.
func (g *grown) place(id uint32) (from int, p *pattern, place int) {
	home := uint64(unscramble(id, g.o.Seed))
	block := home / blockHomes
	p, place = g.pattern(block), int(home%blockHomes)
	return int(block*blockMeters) + int(p.first[place]), p, place
}

func (g *grown) Find(device servicerequests.EUI) (i int, ok bool) {
	i, p, place := g.place(uint32(device))
	switch device &^ 0xFFFF_FFFF {
	case electricEUI:
		ok = p.fuels[place] != gasOnly
	case gasEUI:
		ok = p.fuels[place] != electricityOnly
		if p.fuels[place] == both {
			i++
		}
	}
	if !ok || i >= g.Len() {
		return 0, false
	}
	return i, true
}

func (g *grown) Home(hub servicerequests.EUI) (from, to int) {
	from, p, place := g.place(uint32(hub))
	if hub&^0xFFFF_FFFF != hubEUI || from >= g.Len() {
		return 0, 0
	}
	return from, min(g.Len(), from+int(p.first[place+1]-p.first[place]))
}

func (g *grown) FindMPxN(n MPxN) (i int, ok bool) {
	if n[12] != 0 {
		i, ok = g.Find(electricEUI | servicerequests.EUI(uint32(digits(n[2:12]))))
	} else {
		i, ok = g.Find(gasEUI | servicerequests.EUI(uint32(digits(n[:10])-mprnBase)))
	}
	if !ok || g.Meter(i).MPxN != n {
		return 0, false
	}
	return i, true
}

// permutation puts the numbers 0 to n-1 in an order that looks random: a Feistel
// network over the next even number of bits, walked until it falls below n. It
// stands for a shuffle that needs no memory.
type permutation struct {
	n, mask uint64
	half    int
	keys    [4]uint64
}

func newPermutation(n int, seed uint64, label string) permutation {
	p := permutation{n: uint64(n), half: max(1, (bits.Len(uint(n))+1)/2)}
	p.mask = 1<<p.half - 1
	s := newStream(seed, 0, label)
	for i := range p.keys {
		p.keys[i] = s.Uint64()
	}
	return p
}

// of returns the rank of number i.
func (p *permutation) of(i int) int {
	x := uint64(i)
	for {
		left, right := x>>p.half, x&p.mask
		for _, key := range p.keys {
			left, right = right, left^mix(right^key)&p.mask
		}
		if x = left<<p.half | right; x < p.n {
			return int(x)
		}
	}
}
