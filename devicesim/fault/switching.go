package fault

import (
	"time"

	"safemode/servicerequests"
)

// SwitchingDays are homes that leave the failed supplier, each on its day and with all its
// meters, as in the industry since July 2022. The zero SwitchingDays is none.
type SwitchingDays struct {
	Share float64       `koanf:"share"` // of the homes, over all days together
	Days  int           `koanf:"days"`  // each of the same share
	Begun time.Duration `koanf:"begun"` // how long before the profile begins to hold the first day was

	Unlisted float64 `koanf:"unlisted"` // of those that leave: no list of transfers names them
	Untold   float64 `koanf:"untold"`   // of those: no DCC Alert says that they have left

	// Flapping of those leave twice: they are away, come back, and then leave for good.
	Flapping float64       `koanf:"flapping"`
	Away     time.Duration `koanf:"away"`
	Back     time.Duration `koanf:"back"`

	To servicerequests.EUI `koanf:"to"` // 0: [LastResort]
}

// Leaving is how a home leaves. Times are since the profile began to hold; before that they
// are negative.
type Leaving struct {
	At     time.Duration // its day
	Away   time.Duration // for so long at first
	Back   time.Duration // and then it is the failed supplier's again for so long; 0: it does not come back
	Listed bool          // a list of transfers names it, with its day
	Told   bool          // a DCC Alert says that it has left
	To     servicerequests.EUI
}

// Draws of homes that leave.
const (
	leavingDraw  Kind = 0x20
	unlistedDraw Kind = 0x21
	untoldDraw   Kind = 0x22
	twiceDraw    Kind = 0x23
)

// Leaving says how a home leaves, by its hub; ok is false where it stays.
func (s *SwitchingDays) Leaving(seed uint64, home servicerequests.EUI) (l Leaving, ok bool) {
	if s.Share <= 0 {
		return l, false
	}
	a := Attempt{Device: home}
	at := draw(leavingDraw, seed, a) / s.Share
	if at >= 1 {
		return l, false
	}
	l = Leaving{
		At: time.Duration(at*float64(s.Days))*24*time.Hour - s.Begun, To: orLastResort(s.To),
		Listed: draw(unlistedDraw, seed, a) >= s.Unlisted, Told: draw(untoldDraw, seed, a) >= s.Untold,
	}
	if draw(twiceDraw, seed, a) < s.Flapping {
		l.Away, l.Back = s.Away, s.Back
	}
	return l, true
}

// ForGood is when the home leaves and does not come back.
func (l Leaving) ForGood() time.Duration { return l.At + l.Away + l.Back }

// Gone says whether the home is another supplier's.
func (l Leaving) Gone(since time.Duration) bool {
	return since >= l.ForGood() || since >= l.At && since < l.At+l.Away
}

// Moments are when some home leaves for good, in no order.
func (s *SwitchingDays) Moments() (all []time.Duration) {
	if s.Share <= 0 {
		return nil
	}
	for day := range s.Days {
		at := time.Duration(day)*24*time.Hour - s.Begun
		all = append(all, at)
		if s.Flapping > 0 {
			all = append(all, at+s.Away+s.Back)
		}
	}
	return all
}
