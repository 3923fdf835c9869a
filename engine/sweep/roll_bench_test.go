package sweep

import (
	"runtime"
	"testing"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// BenchmarkRoll is what a million meters that are done take in memory.
func BenchmarkRoll(b *testing.B) {
	for b.Loop() {
		r := newRoll()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const meters = 1_000_000
		at := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
		for i := range servicerequests.EUI(meters) {
			m := newMeter(0x00DB120000000000+i*16, record.TargetBody{
				Type: servicerequests.ESME + servicerequests.DeviceType(i%2), Hub: 0x00DB130000000000 + i/2*16, Region: servicerequests.North,
				Claimed: servicerequests.Prepayment, Originator: ourEUI,
			})
			if i%2 == 1 {
				m.gpf = m.device + 1
			}
			m.wave, m.issued = 3, 1_800_000_000_000+uint64(i)*7
			m.started, m.heard = at, at.Add(90*time.Second+time.Duration(i))
			for n := range uint64(7) {
				service := servicerequests.Services[n%6]
				m.ended = append(m.ended, ended{m.issued - n*40_000, service, Succeeded, false, n == 0})
				m.tallies[service] = tally{tries: 1, answers: 1, last: Succeeded}
			}
			m.mode = reading[servicerequests.PaymentMode]{servicerequests.Credit, m.issued, m.heard}
			m.foundMode = reading[servicerequests.PaymentMode]{servicerequests.Prepayment, m.issued - 200_000, m.started}
			m.supply = reading[servicerequests.SupplyState]{servicerequests.Enabled, m.issued - 40_000, m.heard}
			m.foundSupply = reading[servicerequests.SupplyState]{servicerequests.Enabled, m.issued - 280_000, m.started}
			m.balance = reading[servicerequests.Millipence]{1_234_567, m.issued - 240_000, m.started}
			m.foundBalance = m.balance
			m.firstSwitch, m.firstCommand, m.lastCommand, m.staleMode, m.staleSupply = m.issued-80_000, m.issued-80_000, m.issued-80_000, m.issued-80_000, m.issued-80_000
			m.done, m.creditAccepted, m.settled = true, true, true
			m.verdict.Verdict = record.VerdictOnSupply
			if err := r.add(m); err != nil {
				b.Fatal(err)
			}
		}
		if err := r.seal(); err != nil {
			b.Fatal(err)
		}
		for seat := int32(1); seat < meters; seat += 2 {
			r.proxies[r.head(seat).gpf] = seat
		}
		clear(r.changed)
		runtime.GC()
		runtime.ReadMemStats(&after)
		blocks := 0
		for _, block := range r.blocks {
			blocks += len(block)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		b.ReportMetric(float64(blocks)/meters, "bytes/ledger")
		runtime.KeepAlive(&r)
	}
}
