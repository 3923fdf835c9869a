package fleet_test

import (
	"bytes"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

func generate(t testing.TB, meters int, seed uint64) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Generate(fleet.Options{Meters: meters, Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	if f.Len() != meters {
		t.Fatalf("%d meters, want %d", f.Len(), meters)
	}
	return f
}

const supplier servicerequests.EUI = 0x90B3D51F30010000

// kinds are the special meters of a realistic cohort, told by
// what can be seen of them.
var kinds = []struct {
	name              string
	least, most       float64 // share of the fleet
	leastOneInHundred bool
	is                func(*fleet.Meter) bool
}{
	{"disabled, emergency credit spent", 0.03, 0.05, true, func(m *fleet.Meter) bool {
		return off(m) && m.EmergencyCredit == fleet.Spent && m.Balance <= 0
	}},
	{"disabled, emergency credit untouched", 0.01, 0.03, true, func(m *fleet.Meter) bool {
		return off(m) && m.EmergencyCredit == fleet.Available
	}},
	{"armed", 0.01, 0.03, true, func(m *fleet.Meter) bool { return m.Supply == servicerequests.Armed }},
	{"locked", 0.01, 0.02, true, func(m *fleet.Meter) bool { return m.Locked && m.Supply == servicerequests.Disabled }},
	{"transferred", 0.01, 0.03, true, func(m *fleet.Meter) bool { return m.Supplier != supplier }},
	{"credit", 0.01, 0.03, true, func(m *fleet.Meter) bool {
		return m.Mode == servicerequests.Credit && m.Supply == servicerequests.Enabled
	}},
	{"credit, disabled", 0.002, 0.01, true, func(m *fleet.Meter) bool {
		return m.Mode == servicerequests.Credit && m.Supply == servicerequests.Disabled
	}},
	{"disabled with credit left", 0.002, 0.01, false, func(m *fleet.Meter) bool {
		return off(m) && m.Balance > 0
	}},
	{"emergency credit active", 0.03, 0.05, true, func(m *fleet.Meter) bool {
		return m.EmergencyCredit == fleet.Active && m.EmergencyBalance > 0 && m.Supply == servicerequests.Enabled
	}},
	{"on by non-disablement alone", 0.009, 0.02, true, func(m *fleet.Meter) bool {
		return m.Mode == servicerequests.Prepayment && m.Supply == servicerequests.Enabled &&
			m.Balance <= 0 && m.EmergencyCredit != fleet.Active
	}},
	{"unreachable", 0.01, 0.03, true, func(m *fleet.Meter) bool { return !m.Reachable }},
	{"above the emergency credit threshold", 0.4, 0.7, true, func(m *fleet.Meter) bool {
		return ordinary(m) && m.EmergencyCredit == fleet.Unavailable
	}},
	{"below the emergency credit threshold", 0.2, 0.4, true, func(m *fleet.Meter) bool {
		return ordinary(m) && m.EmergencyCredit == fleet.Available
	}},
}

func off(m *fleet.Meter) bool {
	return m.Mode == servicerequests.Prepayment && m.Supply == servicerequests.Disabled && !m.Locked
}

func ordinary(m *fleet.Meter) bool {
	return m.Mode == servicerequests.Prepayment && m.Supply == servicerequests.Enabled && m.Balance > 0
}

func TestGenerateShares(t *testing.T) {
	for _, size := range []int{100, 1000, 10_000} {
		for seed := range uint64(5) {
			f := generate(t, size, seed)
			for _, kind := range kinds {
				count := 0
				for i := range f.Len() {
					if m := f.Meter(i); kind.is(&m) {
						count++
					}
				}
				share := float64(count) / float64(size)
				if size >= 1000 && (share < kind.least || share > kind.most) {
					t.Errorf("%d meters, seed %d: %s: %.4f, want %.3f to %.3f", size, seed, kind.name, share, kind.least, kind.most)
				}
				if kind.leastOneInHundred && count == 0 {
					t.Errorf("%d meters, seed %d: %s: none", size, seed, kind.name)
				}
			}
		}
	}
}

// Meters that no permitted command can help must leave room for 97 % success
// among those that answer and are still the supplier's.
func TestGenerateLeavesRoomForSuccess(t *testing.T) {
	for _, size := range []int{100, 1000, 10_000} {
		f := generate(t, size, 1)
		answering, beyondHelp := 0, 0
		for i := range f.Len() {
			m := f.Meter(i)
			if !m.Reachable || m.Supplier != supplier {
				continue
			}
			answering++
			if m.Locked || m.Supply == servicerequests.Disabled && (m.Mode == servicerequests.Credit || m.Balance > 0) {
				beyondHelp++
			}
		}
		if share := float64(beyondHelp) / float64(answering); share >= 0.03 {
			t.Errorf("%d meters: %.4f of those that answer are beyond help", size, share)
		}
	}
}

func TestGenerateHomes(t *testing.T) {
	f := generate(t, 1000, 7)
	regions := map[servicerequests.Region]int{}
	models := map[fleet.Model]int{}
	known := map[servicerequests.EUI]bool{supplier: true, 0x90B3D51F30000002: true}
	dual, single := 0, 0
	for i := 0; i < f.Len(); {
		from, to := f.Home(f.Meter(i).Hub)
		if from != i || to-from < 1 || to-from > 2 {
			t.Fatalf("home at %d is [%d, %d)", i, from, to)
		}
		if to-from == 2 {
			dual++
			if f.Meter(from).Type == f.Meter(from+1).Type || f.Meter(from).Region != f.Meter(from+1).Region {
				t.Errorf("home at %d: two meters of one type, or in two regions", i)
			}
		} else {
			single++
		}
		if hub := f.Meter(i).Hub; known[hub] {
			t.Errorf("hub %v is there twice", hub)
		}
		known[f.Meter(i).Hub] = true
		for i < to {
			m := f.Meter(i)
			if known[m.Device] || m.Type == servicerequests.GSME && known[m.GPF()] {
				t.Errorf("device %v is there twice", m.Device)
			}
			known[m.Device] = true
			if m.Type == servicerequests.GSME {
				known[m.GPF()] = true
				if at, ok := f.FindGPF(m.GPF()); !ok || at != i {
					t.Errorf("FindGPF(%v) = %d, %t, want %d", m.GPF(), at, ok, i)
				}
			} else if m.GPF() != 0 {
				t.Errorf("%v is electric and has a GPF", m.Device)
			}
			if at, ok := f.Find(m.Device); !ok || at != i {
				t.Errorf("Find(%v) = %d, %t, want %d", m.Device, at, ok, i)
			}
			if _, err := fleet.ParseMPxN(m.MPxN.String(), m.Type); err != nil {
				t.Error(err)
			}
			regions[m.Region]++
			models[m.Model]++
			i++
		}
	}
	if len(regions) != len(servicerequests.Regions) || len(models) < 5 || dual < 300 || single < 150 {
		t.Errorf("regions %v, models %v, %d homes with both fuels, %d with one", regions, models, dual, single)
	}
	if _, ok := f.Find(supplier); ok {
		t.Error("found the supplier among the meters")
	}
	if from, to := f.Home(supplier); from != to {
		t.Error("found a home behind the supplier")
	}
}

func TestGenerateIsAFunctionOfTheSeed(t *testing.T) {
	text := func(seed uint64) []byte {
		var b bytes.Buffer
		f := generate(t, 1000, seed)
		if err := f.WriteCSV(&b); err != nil {
			t.Fatal(err)
		}
		if err := f.WritePortfolio(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	one := text(1)
	if !bytes.Equal(one, text(1)) {
		t.Error("one seed gave two fleets")
	}
	if bytes.Equal(one, text(2)) {
		t.Error("two seeds gave one fleet")
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, o := range []fleet.Options{
		{Meters: 0}, {Meters: -1}, {Meters: fleet.MaxMeters + 1}, {Meters: 10, Supplier: 5, GainingSupplier: 5},
	} {
		if f, err := fleet.Generate(o); err == nil {
			t.Errorf("%+v gave %d meters", o, f.Len())
		}
	}
}

// Thirty million meters take no room, and finding one no longer than among few.
func TestGenerateNation(t *testing.T) {
	if size := unsafe.Sizeof(fleet.Condition{}); size > 80 {
		t.Errorf("the condition of a meter takes %d bytes", size)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f := generate(t, 30_000_000, 1)
	start := processorTime(t)
	const looked = 20_000
	for n := range looked {
		i := n * 1499
		m := f.Meter(i)
		if at, ok := f.Find(m.Device); !ok || at != i {
			t.Fatalf("Find(%v) = %d, %t, want %d", m.Device, at, ok, i)
		}
		if at, ok := f.FindMPxN(m.MPxN); !ok || at != i {
			t.Fatalf("FindMPxN(%v) = %d, %t, want %d", m.MPxN, at, ok, i)
		}
		if from, to := f.Home(m.Hub); i < from || i >= to {
			t.Fatalf("Home(%v) = [%d, %d) without %d", m.Hub, from, to, i)
		}
	}
	took := processorTime(t) - start
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / 1e6 // less than nothing where an earlier test left garbage
	t.Logf("%v for each of %d meters, %.3f MB held", took/looked, looked, held)
	// 3 us, and ten times that under the race detector.
	if held > 1 || took/looked > 200*time.Microsecond {
		t.Errorf("a meter took %v and the fleet holds %.1f MB", took/looked, held)
	}
	runtime.KeepAlive(f)
}

// The special kinds are as many as the shares say, in a fleet of any size.
func TestGenerateSharesAreExact(t *testing.T) {
	for _, size := range []int{50, 83, 999, 12_345} {
		f := generate(t, size, 3)
		unreachable, transferred := 0, 0
		for i := range size {
			m := f.Meter(i)
			if !m.Reachable {
				unreachable++
			}
			if m.Supplier != supplier {
				transferred++
			}
		}
		all, err := fleet.Generate(fleet.Options{Meters: size, Seed: 3, AllAnswer: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range size {
			if m := all.Meter(i); !m.Reachable || m.Supplier != supplier {
				t.Errorf("%d meters: %v does not answer, though all should", size, m.Device)
			}
		}
		if unreachable != (size*20+999)/1000 || transferred != (size*15+999)/1000 {
			t.Errorf("%d meters: %d unreachable, %d transferred", size, unreachable, transferred)
		}
	}
}

// processorTime is what this process has computed so far; unlike the clock on the
// wall it does not count what else the machine does.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkMeter(b *testing.B) {
	f := generate(b, 30_000_000, 1)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		f.Meter(i)
		i = (i + 1_234_567) % f.Len()
	}
}
