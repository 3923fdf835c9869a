package sweep

import (
	"slices"
	"testing"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// A portfolio names one gas proxy for two homes. Its own home's needs no inventory. The other
// is dark: the inventory tells the sweep that the proxy is not its own, and it is armed. Each
// answer finds who asked, also after a restart from a kept state, and nobody is taken for a
// stranger.
func TestTwoHomesOfOneClaimedProxy(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		dark, lit := cutOff(), healthy()
		for i, g := range []*device{dark, lit} {
			at := servicerequests.EUI(i * 16)
			g.EUI, g.Proxy, g.Kind, g.Home = 0x00DB123400000001+at, 0x00DB123400000002+at, servicerequests.GSME, 0x00DB123400000008+at
			g.Claim = 0x00DB123400000012
		}
		d := newDrive(dark, lit)
		d.start()
		for i := 0; d.next(); i++ {
			if restarts && i%5 == 4 && i < 60 {
				d.restart()
			}
		}
		d.finishAll()
		wantGood(t, d)
		for _, want := range []struct {
			home    *device
			verdict string
		}{{dark, record.VerdictArmed}, {lit, record.VerdictOnSupply}} {
			asked := slices.ContainsFunc(d.SentIn(record.Request, servicerequests.ReadInventory), func(r record.Record) bool { return r.Device == want.home.EUI })
			if v := d.Disk.Verdict(want.home.EUI); v.Verdict != want.verdict || asked != (want.home == dark) {
				t.Errorf("restarts %t: %v is %s (%s), the inventory is asked: %t", restarts, want.home.EUI, v.Verdict, v.Reason, asked)
			}
		}
		for _, r := range d.Disk.All() {
			if r.Kind == record.Unmatched || r.Kind == record.Operator {
				t.Errorf("restarts %t: %v %s", restarts, r.Kind, r.Body)
			}
		}
	}
}

// Where gas balances are not to be asked of proxies, none that the portfolio names is asked.
func TestClaimedProxyIsNotAskedUnlessProxiesAre(t *testing.T) {
	g := healthy()
	g.EUI, g.Proxy, g.Kind = 0x00DB123400000001, 0x00DB123400000002, servicerequests.GSME
	g.Claim = g.Proxy
	d := newDrive(g)
	d.Policy.GasBalanceFromProxy = false
	d.start()
	d.finishAll()
	wantGood(t, d)
	for _, r := range d.SentIn(record.Request) {
		if r.ID.Target != g.EUI {
			t.Errorf("SRV %v is asked of %v", r.Service, r.ID.Target)
		}
	}
}
