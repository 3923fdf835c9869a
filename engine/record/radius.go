package record

import (
	"fmt"
	"time"

	"safemode/servicerequests"
)

// Contact is how far the first contact with the meters of one fuel has come: the first
// request to each that was signed.
type Contact struct {
	Meters    int       `json:"meters"`
	Contacted int       `json:"contacted"`
	LastAt    time.Time `json:"last_at,omitzero"` // the latest first contact, by the sweep's clock
}

// First takes in a first contact.
func (c *Contact) First(at time.Time) {
	c.Contacted++
	if at.After(c.LastAt) {
		c.LastAt = at
	}
}

// BlastRadius is the most homes that were between a command and its confirmation at any
// instant: a command to a meter of theirs was signed, and no verdict has followed.
type BlastRadius struct {
	Homes  int       `json:"homes"`
	Meters int       `json:"meters"`      // of these homes, at that instant
	At     time.Time `json:"at,omitzero"` // by the sweep's clock; the first such instant
	Cap    int       `json:"cap_meters"`  // meters that might have been given a command by then: see [CapOf]
}

// String says how much was at stake at once, against what the waves allow.
func (b BlastRadius) String() string {
	if b.Homes == 0 {
		return "no home was given a command"
	}
	return fmt.Sprintf("at most %d homes (%d meters) were between a command and its confirmation at once, at %s; the waves allowed commands to %d meters by then",
		b.Homes, b.Meters, b.At.UTC().Format("2006-01-02 15:04 UTC"), b.Cap)
}

// Radius finds the blast radius. Its owner keeps which meters are in it.
type Radius struct {
	Most   BlastRadius
	homes  map[servicerequests.EUI]int // meters in it, by hub
	meters int
}

// Enter takes in that a meter has been given a command. most is how many might have been.
func (r *Radius) Enter(hub servicerequests.EUI, at time.Time, most int) {
	if r.homes == nil {
		r.homes = map[servicerequests.EUI]int{}
	}
	r.homes[hub]++
	if r.meters++; len(r.homes) > r.Most.Homes {
		r.Most = BlastRadius{len(r.homes), r.meters, at, most}
	}
}

// Leave takes in that it has its verdict.
func (r *Radius) Leave(hub servicerequests.EUI) {
	r.meters--
	if r.homes[hub]--; r.homes[hub] <= 0 {
		delete(r.homes, hub)
	}
}

// Now is how many homes are in it, and how many of their meters.
func (r *Radius) Now() (homes, meters int) { return len(r.homes), r.meters }

// CapOf is how many meters may have been given a command while so many of a plan's waves are
// open: those of the open waves, and urgent ones as [EarlyCapOf] allows. size is a wave's, by
// its place from 0.
func CapOf(waves, opened int, size func(int) int) (most int) {
	total := 0
	for i := range waves {
		if total += size(i); i < opened {
			most += size(i)
		}
	}
	return min(total, most+EarlyCapOf(waves, opened, size))
}

// EarlyCapOf is how many urgent meters may be given commands before their waves open: as many
// as the wave that opens next has.
func EarlyCapOf(waves, opened int, size func(int) int) (most int) {
	for i := min(1, opened); i < min(opened+1, waves); i++ {
		most = max(most, size(i))
	}
	return most
}
