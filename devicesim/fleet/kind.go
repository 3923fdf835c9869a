package fleet

import "safemode/servicerequests"

// kind is a special kind of meter: how many there are and how one is found.
type kind struct {
	name     string
	perMille int
	always   bool // at least one in a fleet of any size that has room for it
	settle   func(*Meter, Options, stream)
}

// unreachablePerMille is the share of meters that never answer, of any kind.
const unreachablePerMille = 20

// kinds holds every state that a sweep must know how to treat. The kinds
// that no permitted command can help (locked, off in credit, off with credit
// left) stay under 3 % together, so that a sweep can reach 97 %.
var kinds = [...]kind{
	{"disabled, emergency credit spent", 35, true, disabledSpent},
	{"disabled, emergency credit untouched", 20, true, disabledUntouched},
	{"armed", 15, true, armed},
	{"locked", 10, true, locked},
	{"transferred", 15, true, transferred},
	{"credit", 15, true, inCredit},
	{"credit, disabled", 3, true, creditDisabled},
	{"disabled with credit left", 3, false, disabledWithCredit},
	{"emergency credit active", 40, true, emergencyActive},
	{"on by non-disablement alone", 10, true, onByNonDisablement},
}

func (k kind) count(meters int) int {
	if k.always {
		return share(meters, k.perMille)
	}
	return meters * k.perMille / 1000
}

// share rounds up, but leaves fleets under 50 meters ordinary.
func share(meters, perMille int) int {
	if meters < 50 {
		return 0
	}
	return (meters*perMille + 999) / 1000
}

// ordinary is Prepayment and Enabled. A third of the balances are below the
// emergency credit threshold.
func ordinary(m *Meter, s stream) {
	m.Mode, m.Supply = servicerequests.Prepayment, servicerequests.Enabled
	threshold := m.Model.Configuration().EmergencyCreditThreshold
	if s.below(3) == 0 {
		m.Balance, m.EmergencyCredit = s.between(1, threshold-1), Available
	} else {
		// The product of two draws piles balances up near the threshold.
		m.Balance = threshold + s.between(1, 600)*s.between(1, 10_000)
	}
	if s.below(6) == 0 {
		m.Debt = s.between(servicerequests.Pound, 300*servicerequests.Pound)
	}
}

// off is Prepayment and Disabled for lack of credit; the standing charge may
// have gone on.
func off(m *Meter, s stream) {
	m.Mode, m.Supply = servicerequests.Prepayment, servicerequests.Disabled
	m.Balance = m.Model.Configuration().DisablementThreshold - s.between(0, 8*servicerequests.Pound)
	m.Debt = s.between(0, 50*servicerequests.Pound)
}

func disabledSpent(m *Meter, _ Options, s stream) {
	off(m, s)
	m.EmergencyCredit = Spent
}

func disabledUntouched(m *Meter, _ Options, s stream) {
	off(m, s)
	m.EmergencyCredit = Available
}

// armed has been topped up, but nobody has pressed the button yet.
func armed(m *Meter, _ Options, s stream) {
	ordinary(m, s)
	m.Supply = servicerequests.Armed
}

func locked(m *Meter, _ Options, s stream) {
	ordinary(m, s)
	m.Supply, m.Locked = servicerequests.Disabled, true
}

func transferred(m *Meter, o Options, s stream) {
	ordinary(m, s)
	if !o.AllAnswer {
		m.Supplier = o.GainingSupplier
	}
}

func inCredit(m *Meter, _ Options, s stream) {
	m.Mode, m.Supply = servicerequests.Credit, servicerequests.Enabled
	m.EmergencyCredit, m.EmergencyBalance, m.Debt = Unavailable, 0, 0
	m.Balance = s.between(-60*servicerequests.Pound, 20*servicerequests.Pound)
}

func creditDisabled(m *Meter, o Options, s stream) {
	inCredit(m, o, s)
	m.Supply = servicerequests.Disabled
}

// disabledWithCredit was disabled by its supplier (7.2), not by its balance.
func disabledWithCredit(m *Meter, _ Options, s stream) {
	m.Mode, m.Supply = servicerequests.Prepayment, servicerequests.Disabled
	m.Balance = m.Model.Configuration().EmergencyCreditThreshold + s.between(0, 40*servicerequests.Pound)
}

// emergencyActive runs on emergency credit.
func emergencyActive(m *Meter, _ Options, s stream) {
	ordinary(m, s)
	m.Balance = m.Model.Configuration().DisablementThreshold - s.between(0, servicerequests.Pound)
	m.EmergencyCredit = Active
}

// onByNonDisablement has no credit left and goes off when the calendar's
// window ends; half of them have emergency credit to take.
func onByNonDisablement(m *Meter, _ Options, s stream) {
	off(m, s)
	m.Supply, m.EmergencyCredit = servicerequests.Enabled, Spent
	if s.below(2) == 0 {
		m.EmergencyCredit = Available
	}
}

// deriveHidden sets what the fleet file has no column for, from seed and EUI.
func (m *Meter) deriveHidden(seed uint64) {
	s := newStream(seed, m.Device, "hidden")
	if m.EmergencyCredit == Active {
		m.EmergencyBalance = s.between(servicerequests.Pound/2, m.Model.Configuration().EmergencyCreditLimit)
	}
	if m.Type == servicerequests.GSME {
		m.CreditModeDue = s.between(0, 40*servicerequests.Pound)
	}
}
