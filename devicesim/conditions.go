package devicesim

import "safemode/devicesim/fleet"

// conditions keeps the condition of each meter that has changed; the others are as
// the fleet began. It takes 4 bytes a meter, which are written only for changed
// ones, and the width of a condition for each changed one. It contains no pointer
// to follow and never moves.
type conditions struct {
	place []uint32 // by meter: 1 + where in pages its condition is; 0: untouched
	pages [][]fleet.Condition
	used  uint32
}

const conditionPage = 256

func newConditions(meters int) conditions { return conditions{place: make([]uint32, meters)} }

// get returns a touched meter's condition, else nil.
func (c *conditions) get(i int) *fleet.Condition {
	at := c.place[i]
	if at == 0 {
		return nil
	}
	return &c.pages[(at-1)/conditionPage][(at-1)%conditionPage]
}

func (c *conditions) put(i int, is fleet.Condition) {
	if c.place[i] == 0 {
		if c.used%conditionPage == 0 {
			c.pages = append(c.pages, make([]fleet.Condition, conditionPage))
		}
		c.used++
		c.place[i] = c.used
	}
	*c.get(i) = is
}
