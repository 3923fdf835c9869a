package plan_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/servicerequests"
)

const (
	supplier servicerequests.EUI = 0x90B3D51F30010000
	other    servicerequests.EUI = 0x90B3D51F30030000
	stranger servicerequests.EUI = 0x90B3D51F30050000
)

func options() plan.Options {
	return plan.Options{
		Environment: "simulator",
		Direction: direction.Direction{
			Reference: "DIR-1", Date: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), IssuingBody: "the Authority", SRP: "the provider",
			DocumentSHA256: strings.Repeat("ab", 32),
			Supplier:       direction.Supplier{EUI: supplier, OtherEUIs: []servicerequests.EUI{other}, MPIDs: []string{"TEST"}},
			PermittedSRVs:  []string{"1.6", "2.5", "7.3", "7.4", "6.2.9", "4.18"},
			Fuels:          []direction.Fuel{direction.Electricity, direction.Gas}, MaximumMeters: 1000,
			NotBefore: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 12, 23, 0, 0, 0, 0, time.UTC),
		},
		Strategy:    plan.CreditMode,
		Originators: []servicerequests.EUI{supplier, other},
		Limits: plan.Limits{
			User:       10,
			Regions:    map[servicerequests.Region]float64{servicerequests.North: 2, servicerequests.Central: 5, servicerequests.South: 5},
			Services:   map[string]float64{"transform": 4},
			Thresholds: map[string]plan.Threshold{"1.6": {Count: 3, PerSeconds: 3600}}, OverThreshold: plan.Exceed,
		},
		CreatedAt:  time.Date(2026, 11, 23, 18, 0, 0, 0, time.FixedZone("", 3600)),
		PreparedBy: direction.Signatory{Name: "olga", Key: strings.Repeat("cd", 32)},
	}
}

const hub servicerequests.EUI = 0x00DB1200000F0000

// meter is a row: the home's number, e or g, its region and priority.
func meter(home int, fuel byte, region servicerequests.Region, priority int) portfolio.Row {
	r := portfolio.Row{
		Device: 0x00DB1200000E0000 + servicerequests.EUI(home), Type: servicerequests.ESME, Hub: hub + servicerequests.EUI(home),
		MPxN: "1200000000002", Region: region, Claimed: servicerequests.Prepayment, Priority: priority, Source: "cscp",
	}
	if fuel == 'g' {
		r.Device, r.Type, r.MPxN = r.Device+0x10000000, servicerequests.GSME, "1234567"
	}
	return r
}

func rows(list ...portfolio.Row) iter.Seq2[portfolio.Row, error] {
	return func(yield func(portfolio.Row, error) bool) {
		for i, r := range list {
			r.Line = i + 2
			if !yield(r, nil) {
				return
			}
		}
	}
}

func build(t testing.TB, o plan.Options, list ...portfolio.Row) *plan.Plan {
	t.Helper()
	p, err := plan.Build(rows(list...), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func encode(t testing.TB, p *plan.Plan) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// small is a plan with a bit of everything.
func small(t testing.TB) *plan.Plan {
	gas := meter(1, 'g', servicerequests.North, 0)
	gas.Originator, gas.History, gas.Carried = other, []string{portfolio.DisabledBySupplier}, map[string]string{"tariff": "E7 <&>"}
	credit := meter(2, 'e', servicerequests.South4G, 5)
	credit.Claimed = servicerequests.Credit
	foreign := meter(3, 'e', servicerequests.South, 5)
	foreign.Originator = stranger
	seq := func(yield func(portfolio.Row, error) bool) {
		if !yield(portfolio.Row{}, &portfolio.RowError{Line: 9, Device: "x", Column: "mpxn", Reason: "wrong"}) {
			return
		}
		rows(gas, meter(1, 'e', servicerequests.North, 0), credit, foreign)(yield)
	}
	o := options()
	o.WindowEnds = []time.Time{o.CreatedAt.Add(5 * time.Second), o.CreatedAt.Add(time.Hour)}
	o.Bounds = plan.Bounds{ArmBalanceAtMost: -5, ArmFreshnessElectricity: 60, ArmFreshnessGas: 2700, SwitchTries: 3, ArmTries: 2, RetriesElectricity: 6, RetriesGas: 5}
	o.Waves = plan.WaveOptions{Canary: 1, Growth: 2, Soak: time.Minute, Abort: []plan.AbortRule{{Class: "rejected", Ratio: 0.1, MinSample: 20, Action: plan.Halt}}}
	p, err := plan.Build(seq, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOrder(t *testing.T) {
	n, c, s := servicerequests.North, servicerequests.Central, servicerequests.South
	p := build(
		t, options(),
		meter(7, 'e', s, 5), meter(6, 'e', c, 5), meter(5, 'e', n, 5), meter(4, 'e', n, 5), meter(3, 'g', n, 5), meter(3, 'e', n, 5),
		meter(9, 'e', s, 0), meter(9, 'g', s, 0), // urgent
		meter(8, 'g', c, 1), meter(8, 'e', c, 9), // as urgent as its gas meter
	)
	var got []string
	for i, target := range p.Targets {
		if target.Order != i+1 {
			t.Errorf("target %d has the number %d", i+1, target.Order)
		}
		fuel := map[servicerequests.DeviceType]string{servicerequests.ESME: "e", servicerequests.GSME: "g"}[target.Type]
		got = append(got, fmt.Sprintf("%d%s", target.Hub-hub, fuel))
	}
	want := []string{"9e", "9g", "8e", "8g", "3e", "3g", "6e", "7e", "4e", "5e"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The same rows make the same bytes, in whatever order they come.
func TestDeterminism(t *testing.T) {
	var list []portfolio.Row
	r := rand.New(rand.NewPCG(1, 2))
	for home := range 200 {
		region, priority := servicerequests.Regions[r.IntN(6)], r.IntN(10)
		list = append(list, meter(home, 'e', region, priority))
		if r.IntN(2) == 0 {
			list = append(list, meter(home, 'g', region, r.IntN(10)))
		}
	}
	first := build(t, options(), list...)
	for range 5 {
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		again := build(t, options(), list...)
		if first.SHA256 != again.SHA256 || !bytes.Equal(encode(t, first), encode(t, again)) {
			t.Fatalf("hash %s, then %s", first.SHA256, again.SHA256)
		}
	}
	gasLast := map[servicerequests.EUI]bool{}
	for _, target := range first.Targets {
		if target.Type == servicerequests.ESME && gasLast[target.Hub] {
			t.Errorf("gas before electricity behind %v", target.Hub)
		}
		gasLast[target.Hub] = target.Type == servicerequests.GSME
	}
}

// The golden file pins the format and the hash: a change of either is a new
// version.
func TestGolden(t *testing.T) {
	golden, err := os.ReadFile("testdata/golden.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	p := small(t)
	if diff := cmp.Diff(string(golden), string(encode(t, p))); diff != "" {
		t.Error(diff)
	}
	if want := "90301771251c86aaf10a70a512b203e2580092899f57fb034c7ca1fe56d0eae8"; p.SHA256 != want {
		t.Errorf("hash %s, want %s", p.SHA256, want)
	}
}

func TestRoundTrip(t *testing.T) {
	want := small(t)
	folder := t.TempDir()
	if err := want.Save(folder); err != nil {
		t.Fatal(err)
	}
	got, err := plan.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(plan.Plan{})); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(filepath.Join(folder, plan.FileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	header, err := want.HeaderJSON()
	if line, _, _ := bytes.Cut(encode(t, want), []byte("\n")); err != nil || !bytes.Equal(line, header) {
		t.Errorf("HeaderJSON is not the first line: %v", err)
	}
}

func TestSaveThatFailsLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, plan.FileName), 0o700); err != nil { // the rename must fail
		t.Fatal(err)
	}
	if err := small(t).Save(folder); err == nil {
		t.Error("saved over a folder")
	}
	if left, _ := filepath.Glob(filepath.Join(folder, "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestRejected(t *testing.T) {
	p := small(t)
	want := []plan.Rejected{
		{Line: 5, Device: "00-DB-12-00-00-0E-00-03", Reason: "no identity is configured for originator 90-B3-D5-1F-30-05-00-00"},
		{Line: 9, Device: "x", Reason: "mpxn: wrong"},
	}
	if diff := cmp.Diff(want, p.Rejected); diff != "" {
		t.Error(diff)
	}
	counts := plan.Counts{Targets: 3, Rejected: 2, Homes: 2, Electricity: 2, Gas: 1, Prepayment: 2, Credit: 1}
	if diff := cmp.Diff(counts, p.Counts); diff != "" {
		t.Error(diff)
	}
	if p.Targets[0].Originator != supplier || p.Targets[1].Originator != other {
		t.Errorf("originators %v and %v", p.Targets[0].Originator, p.Targets[1].Originator)
	}
}

func TestFuels(t *testing.T) {
	o := options()
	o.Direction.Fuels = []direction.Fuel{direction.Gas}
	p := build(t, o, meter(1, 'e', servicerequests.North, 0), meter(1, 'g', servicerequests.North, 0))
	want := []plan.Rejected{{Line: 2, Device: "00-DB-12-00-00-0E-00-01", Reason: "electricity is not covered by the direction"}}
	if diff := cmp.Diff(want, p.Rejected); diff != "" || len(p.Targets) != 1 {
		t.Errorf("%d targets, %s", len(p.Targets), diff)
	}
}

func TestMaximumMeters(t *testing.T) {
	o := options()
	o.Direction.MaximumMeters = 2
	two := []portfolio.Row{meter(1, 'e', servicerequests.North, 0), meter(2, 'e', servicerequests.North, 0)}
	build(t, o, two...)
	_, err := plan.Build(rows(append(two, meter(3, 'e', servicerequests.North, 0))...), o)
	want := "plan: outside the direction: too many meters: the plan has 3, DIR-1 allows 2"
	if !errors.Is(err, plan.ErrTooManyMeters) || !errors.Is(err, direction.ErrOutside) || err.Error() != want {
		t.Errorf("%v; want %q", err, want)
	}
}

func TestHalfAPortfolioIsNone(t *testing.T) {
	_, err := plan.Build(func(yield func(portfolio.Row, error) bool) {
		_ = yield(meter(1, 'e', servicerequests.North, 0), nil) && yield(portfolio.Row{}, portfolio.ErrUnreadable)
	}, options())
	if !errors.Is(err, portfolio.ErrUnreadable) {
		t.Errorf("%v", err)
	}
}

func TestRefusedOptions(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*plan.Options)
		outside bool
		want    string
	}{
		{"environment", func(o *plan.Options) { o.Environment = "test" }, false, `plan: environment "test": want simulator or live`},
		{"strategy", func(o *plan.Options) { o.Strategy = "" }, false, `plan: strategy "": want credit_mode, full or emergency_credit`},
		{"direction", func(o *plan.Options) { o.Direction.SRP = "" }, false, "plan: direction: srp: required"},
		{"no originator", func(o *plan.Options) { o.Originators = nil }, false, "plan: originators: want one or more"},
		{"an originator twice", func(o *plan.Options) { o.Originators[1] = supplier }, false, "plan: originator 90-B3-D5-1F-30-01-00-00 stands twice"},
		{"a foreign originator", func(o *plan.Options) { o.Originators[1] = stranger }, true, "plan: outside the direction: DIR-1 does not name the identity 90-B3-D5-1F-30-05-00-00"},
		{"no reads", func(o *plan.Options) { o.Direction.PermittedSRVs = []string{"1.6", "7.4"} }, true, "plan: outside the direction: strategy credit_mode needs SRV 6.2.9, which DIR-1 does not permit"},
		{"no switch", func(o *plan.Options) { o.Direction.PermittedSRVs = []string{"6.2.9", "7.4", "2.5"} }, true, "plan: outside the direction: strategy credit_mode needs SRV 1.6, which DIR-1 does not permit"},
		{"rate", func(o *plan.Options) { o.Limits.User = -1 }, false, "plan: limits: user: -1: want 0 or more a second"},
		{"threshold", func(o *plan.Options) { o.Limits.Thresholds = map[string]plan.Threshold{"1.6": {Count: 1}} }, false, "plan: limits: threshold of 1.6: want a count and a period"},
		{"a device twice", nil, false, "plan: target 2: device 00-DB-12-00-00-0E-00-01 is in the plan already"},
	} {
		o, list := options(), []portfolio.Row{meter(1, 'e', servicerequests.North, 0)}
		if c.change != nil {
			c.change(&o)
		} else {
			list = append(list, list[0])
		}
		_, err := plan.Build(rows(list...), o)
		if err == nil || err.Error() != c.want || errors.Is(err, direction.ErrOutside) != c.outside {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

func TestEmergencyCreditNeedsNoSwitch(t *testing.T) {
	o := options()
	o.Strategy, o.Direction.PermittedSRVs = plan.EmergencyCredit, []string{"2.5", "7.4", "6.2.9"}
	p := build(t, o, meter(1, 'e', servicerequests.North, 0))
	if want := map[string]int{"7.4": 2, "6.2.9": 2, "2.5": 1}; !cmp.Equal(want, p.Estimate.Requests) {
		t.Errorf("requests %v, want %v", p.Estimate.Requests, want)
	}
}

func TestSteps(t *testing.T) {
	header := build(t, options()).Header
	unknown, credit, pending := meter(1, 'e', 1, 0), servicerequests.Credit, []string{portfolio.PendingFutureDatedMode}
	for _, c := range []struct {
		strategy plan.Strategy
		claimed  servicerequests.PaymentMode
		history  []string
		want     string
	}{
		{plan.CreditMode, servicerequests.Prepayment, nil, "[7.4 6.2.9 4.18 1.6 7.4 6.2.9]"},
		{plan.CreditMode, servicerequests.UnknownMode, nil, "[7.4 6.2.9 4.18 1.6 7.4 6.2.9]"},
		{plan.CreditMode, credit, nil, "[7.4 6.2.9]"},
		{plan.CreditMode, credit, pending, "[7.4 6.2.9 4.18 1.6 7.4 6.2.9]"},
		{plan.Full, servicerequests.Prepayment, nil, "[7.4 6.2.9 4.18 2.5 1.6 7.4 6.2.9]"},
		{plan.EmergencyCredit, servicerequests.Prepayment, nil, "[7.4 6.2.9 4.18 2.5 7.4 6.2.9]"},
	} {
		header.Strategy = c.strategy
		got := fmt.Sprintf("%v", header.Steps(&plan.Target{Type: unknown.Type, Claimed: c.claimed, History: c.history}))
		if got != c.want {
			t.Errorf("%s, %v, %v: %s, want %s", c.strategy, c.claimed, c.history, got, c.want)
		}
	}
}

// Each meter claimed as prepayment takes 7 POSTs, of which one is to Transform.
func TestEstimate(t *testing.T) {
	list := []portfolio.Row{
		meter(1, 'e', servicerequests.North, 0), meter(2, 'e', servicerequests.North4G, 0), meter(3, 'e', servicerequests.Central, 0),
		meter(4, 'e', servicerequests.South, 0), meter(5, 'e', servicerequests.South4G, 0),
	}
	requests := map[string]int{"7.4": 10, "6.2.9": 10, "4.18": 5, "1.6": 5}
	over := func(after float64) []plan.Forecast {
		return []plan.Forecast{{SRV: "1.6", Peak: 5, PeakAfter: after, Count: 3, Budget: 3, PerSeconds: 3600, Exceeded: true}}
	}
	for _, c := range []struct {
		name   string
		change func(*plan.Limits)
		want   plan.Estimate
	}{
		{
			"4G shares its plain region", func(*plan.Limits) {}, // North: 14 POSTs at 2 a second
			plan.Estimate{Seconds: 7, Bottleneck: "region North", Forecasts: over(3.5)},
		},
		{
			"4G by itself", func(l *plan.Limits) { l.Regions[servicerequests.North4G], l.User, l.Services = 1, 1e9, nil },
			plan.Estimate{Seconds: 7, Bottleneck: "region 4G North", Forecasts: over(1.4)},
		},
		{
			"the user", func(l *plan.Limits) { l.User = 1 },
			plan.Estimate{Seconds: 35, Bottleneck: "user 90-B3-D5-1F-30-01-00-00", Forecasts: over(28)},
		},
		{
			"a service", func(l *plan.Limits) { l.Services["transform"] = 0.5 },
			plan.Estimate{Seconds: 10, Bottleneck: "service transform", Forecasts: over(8)},
		},
		{
			"a closed region", func(l *plan.Limits) { l.Regions[servicerequests.South] = 0 },
			plan.Estimate{Seconds: 7, Bottleneck: "region North", Closed: []string{"region South"}, Forecasts: []plan.Forecast{
				{SRV: "1.6", Peak: 3, PeakAfter: 3.5, Count: 3, Budget: 3, PerSeconds: 3600},
			}},
		},
		{
			"the pace is cut to fit", func(l *plan.Limits) { // 3, and an hour later the other 2
				l.OverThreshold = plan.Pace
			},
			plan.Estimate{Seconds: 3603.5, Bottleneck: "region North", Forecasts: []plan.Forecast{
				{SRV: "1.6", Peak: 3, PeakAfter: 1.4, Count: 3, Budget: 3, PerSeconds: 3600},
			}},
		},
		{
			"a threshold that nothing fits under", func(l *plan.Limits) {
				l.OverThreshold, l.Thresholds = plan.Pace, map[string]plan.Threshold{"7.4": {Count: 1, PerSeconds: 60}}
			},
			plan.Estimate{Closed: []string{"anomaly threshold of 7.4"}, Forecasts: []plan.Forecast{{SRV: "7.4", Count: 1, Budget: 1, PerSeconds: 60}}},
		},
	} {
		o := options()
		c.change(&o.Limits)
		c.want.Requests, c.want.Posts = requests, 35
		got := build(t, o, list...).Estimate
		got.Seconds = math.Round(got.Seconds*1000) / 1000
		for i := range got.Forecasts {
			got.Forecasts[i].PeakAfter = math.Round(got.Forecasts[i].PeakAfter*1000) / 1000
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if d := (plan.Estimate{Seconds: 90.4}).Duration(); d != 90*time.Second {
		t.Errorf("Duration %v", d)
	}
}

// A schedule over a threshold is refused with the numbers, unless the pace may be
// cut or the threshold crossed.
func TestOverThreshold(t *testing.T) {
	o := options()
	o.Limits.OverThreshold = ""
	var list []portfolio.Row
	for home := range 5 {
		list = append(list, meter(home, 'e', servicerequests.North, 0))
	}
	_, err := plan.Build(rows(list...), o)
	want := "plan: the schedule crosses an anomaly detection threshold: SRV 1.6: 5 in 1h0m0s, of a threshold of 3 (3 less the margin)"
	if !errors.Is(err, plan.ErrOverThreshold) || err.Error() != want {
		t.Errorf("%v; want %q", err, want)
	}
	build(t, o, list[:3]...)
}

// The curve counts what lies in the trailing period, and its peak never exceeds
// what the schedule's peak says.
func TestCurve(t *testing.T) {
	o := options()
	o.Limits.Thresholds = map[string]plan.Threshold{"1.6": {Count: 10, PerSeconds: 60}}
	for _, mode := range []plan.OverThreshold{plan.Pace, plan.Exceed} {
		o.Limits.OverThreshold = mode
		var list []portfolio.Row
		for home := range 100 {
			list = append(list, meter(home, 'e', servicerequests.Regions[home%6], home%3))
		}
		s := build(t, o, list...).Schedule()
		peak, _ := s.Peak("1.6", 60)
		curve := s.Curve("1.6", 60, 500)
		if most := slices.Max(curve); most > peak || most < peak-1 {
			t.Errorf("%s: curve up to %d, peak %d", mode, most, peak)
		}
		if over := peak > 10; over != (mode == plan.Exceed) {
			t.Errorf("%s: peak %d of 10", mode, peak)
		}
		if all := s.Curve("1.6", 1e9, 1); all[0] != 100 {
			t.Errorf("%s: %d requests of 100 in the whole", mode, all[0])
		}
	}
}

// The canary holds both fuels, every region and every kind of claim; it and the
// waves after it end where homes end.
func TestWaves(t *testing.T) {
	var list []portfolio.Row
	r := rand.New(rand.NewPCG(3, 4))
	for home := range 400 {
		region := servicerequests.Regions[r.IntN(6)]
		fuels := []string{"e", "g", "eg"}[r.IntN(3)]
		for _, fuel := range []byte(fuels) {
			m := meter(home, fuel, region, r.IntN(10))
			m.Claimed = []servicerequests.PaymentMode{servicerequests.Prepayment, servicerequests.Credit, servicerequests.UnknownMode}[r.IntN(3)]
			m.Source = []string{"cscp", "inventory", "request history"}[r.IntN(3)]
			m.Carried = map[string]string{plan.ColumnModel: fmt.Sprint("model ", r.IntN(5))}
			list = append(list, m)
		}
	}
	o := options()
	rule := plan.AbortRule{Class: "no_response", Ratio: 0.5, MinSample: 20, Action: plan.Pause}
	o.Waves = plan.WaveOptions{Canary: 30, Growth: 4, Soak: 20 * time.Minute, Settle: time.Minute, Abort: []plan.AbortRule{rule}}
	p := build(t, o, list...)
	var sizes []int
	for i, w := range p.Waves {
		sizes = append(sizes, w.Count)
		wantSoak := []time.Duration{20 * time.Minute, time.Minute}[min(i, 1)]
		if i == len(p.Waves)-1 {
			wantSoak = 0
		}
		if w.Soak() != wantSoak || !cmp.Equal(w.Abort, []plan.AbortRule{rule}) {
			t.Errorf("%s: soak %v, %v", w.Name, w.Soak(), w.Abort)
		}
		if last := w.First + w.Count - 1; last < len(p.Targets) && p.Targets[last-1].Hub == p.Targets[last].Hub {
			t.Errorf("%s ends within a home", w.Name)
		}
	}
	if len(sizes) != 3 || sizes[0] < 30 || sizes[0] > 31 || sizes[1] < 120 || sizes[1] > 121 || p.Waves[0].Name != "canary" {
		t.Errorf("waves %v", sizes)
	}
	seen := map[string]bool{}
	for _, target := range p.Targets[:p.Waves[0].Count] {
		for _, trait := range []string{target.Region.String(), target.Type.String(), target.Claimed.String(), target.Source, target.Carried[plan.ColumnModel]} {
			seen[trait] = true
		}
	}
	if len(seen) != 6+2+3+3+5 {
		t.Errorf("the canary shows %d traits: %v", len(seen), seen)
	}
	starts := p.Schedule().Starts
	if len(starts) != 3 || starts[0] != 0 || starts[1] < 20*60 {
		t.Errorf("waves start at %v", starts)
	}
	// Few meters go in one wave: half of them are no sample of the rest.
	if waves := build(t, o, list[:60]...).Waves; len(waves) != 1 || waves[0].Name != "all" || waves[0].Soak() != 0 {
		t.Errorf("60 meters: %+v", waves)
	}
}

// Homes claimed to be off come first, unless the supplier turned them off; then
// priority, claim and what is claimed to be left.
func TestOrderByRisk(t *testing.T) {
	n := servicerequests.North
	with := func(r portfolio.Row, change func(*portfolio.Row)) portfolio.Row {
		change(&r)
		return r
	}
	carried := func(column, value string) func(*portfolio.Row) {
		return func(r *portfolio.Row) { r.Carried = map[string]string{column: value} }
	}
	p := build(
		t, options(),
		with(meter(1, 'e', n, 0), func(r *portfolio.Row) { r.Claimed = servicerequests.Credit }),
		with(meter(2, 'e', n, 0), func(r *portfolio.Row) { r.Claimed = servicerequests.UnknownMode }),
		with(meter(3, 'e', n, 0), carried(plan.ColumnBalance, "7.50")),
		with(meter(4, 'e', n, 0), carried(plan.ColumnBalance, "-1.20")),
		with(meter(5, 'e', n, 0), carried(plan.ColumnBalance, "a lot")), // as if there were none
		with(meter(6, 'e', n, 9), carried(plan.ColumnSupply, "disabled")),
		with(meter(7, 'e', n, 9), func(r *portfolio.Row) {
			r.Carried = map[string]string{plan.ColumnSupply: "disabled"}
			r.History = []string{portfolio.DisabledBySupplier}
		}),
		with(meter(8, 'e', n, 1), func(r *portfolio.Row) {
			r.Claimed, r.History = servicerequests.Credit, []string{portfolio.PendingFutureDatedMode}
		}),
	)
	var got []int
	for _, target := range p.Targets {
		got = append(got, int(target.Hub-hub))
	}
	if diff := cmp.Diff([]int{6, 4, 3, 5, 2, 1, 8, 7}, got); diff != "" {
		t.Error(diff)
	}
}

// No region waits until another is done: of homes of one rank each region has its
// share in every stretch of the order.
func TestRegionsShare(t *testing.T) {
	var list []portfolio.Row
	for home := range 300 {
		region := servicerequests.North
		if home%3 == 0 {
			region = servicerequests.South
		}
		list = append(list, meter(home, 'e', region, 5))
	}
	p := build(t, options(), list...)
	for first := 0; first < 200; first += 10 {
		south := 0
		for _, target := range p.Targets[first : first+10] {
			if target.Region == servicerequests.South {
				south++
			}
		}
		if south != 5 {
			t.Errorf("%d of South in targets %d to %d", south, first+1, first+10)
		}
	}
}

func TestDeadlines(t *testing.T) {
	o := options()
	start := o.CreatedAt.UTC()
	o.WindowEnds = []time.Time{start.Add(time.Hour), start.Add(12 * time.Second)}
	var list []portfolio.Row
	for home := range 10 {
		list = append(list, meter(home, 'e', servicerequests.North, 0))
	}
	safe := meter(10, 'e', servicerequests.North, 9)
	safe.Claimed = servicerequests.Credit
	p := build(t, o, append(list, safe, meter(9, 'g', servicerequests.North, 9))...)
	// 3.5 seconds a meter: after 12 three homes are done.
	want := []plan.Deadline{{At: start.Add(12 * time.Second), Homes: 10, Late: 7}, {At: start.Add(time.Hour), Homes: 10}}
	if diff := cmp.Diff(want, p.Estimate.Deadlines); diff != "" {
		t.Error(diff)
	}
	late, _ := p.Schedule().LateAt(start.Add(12 * time.Second))
	if len(late) != 7 || late[0].Hub != p.Targets[3].Hub || !late[0].Sent.Equal(start.Add(14*time.Second)) {
		t.Errorf("%+v", late)
	}
	o.Limits.Regions[servicerequests.North] = 0
	late, _ = build(t, o, list...).Schedule().LateAt(start.Add(time.Hour))
	if len(late) != 10 || !late[0].Sent.IsZero() {
		t.Errorf("behind a closed limit: %+v", late)
	}
}

// The non-disablement window ends in the morning of the next working day.
func TestNextWindow(t *testing.T) {
	at := func(text string) time.Time {
		u, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct{ start, first, last string }{
		{"2026-11-23T18:00:00Z", "2026-11-24T09:00:00Z", "2026-11-24T11:00:00Z"}, // Monday
		{"2026-11-24T08:59:00Z", "2026-11-24T09:00:00Z", "2026-11-24T11:00:00Z"},
		{"2026-11-24T09:00:00Z", "2026-11-25T09:00:00Z", "2026-11-25T11:00:00Z"},
		{"2026-11-27T18:00:00Z", "2026-11-30T09:00:00Z", "2026-11-30T11:00:00Z"}, // Friday
		{"2026-07-13T20:00:00Z", "2026-07-14T08:00:00Z", "2026-07-14T10:00:00Z"}, // summer time
	} {
		ends := plan.NextWindow(at(c.start), 9*time.Hour, 11*time.Hour)
		if len(ends) != 2 || !ends[0].Equal(at(c.first)) || !ends[1].Equal(at(c.last)) {
			t.Errorf("%s: %v", c.start, ends)
		}
	}
}

// Any byte that is changed, any cut and any line that is missing or moved
// refuses the file.
func TestAlteredFilesAreRefused(t *testing.T) {
	whole := encode(t, small(t))
	if _, err := plan.Read(bytes.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, text []byte) {
		if _, err := plan.Read(bytes.NewReader(text)); !errors.Is(err, plan.ErrDamaged) && !errors.Is(err, plan.ErrVersion) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range whole {
		altered := bytes.Clone(whole)
		altered[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("bit %d of byte %d", i%8, i), altered)
		refused(fmt.Sprintf("cut to %d bytes", i), whole[:i])
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:len(lines)-1]
	for i := range lines {
		refused(fmt.Sprintf("without line %d", i+1), bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
		refused(fmt.Sprintf("line %d twice", i+1), bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil))
		if i > 0 {
			swapped := slices.Clone(lines)
			swapped[i], swapped[i-1] = swapped[i-1], swapped[i]
			refused(fmt.Sprintf("lines %d and %d swapped", i, i+1), bytes.Join(swapped, nil))
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	whole := string(encode(t, small(t)))
	lines := strings.SplitAfter(whole, "\n")
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "plan file is not as it was written: it was cut after line 0: there is no end line"},
		{"cut between lines", strings.Join(lines[:3], ""), "plan file is not as it was written: it was cut after line 3: there is no end line"},
		{"cut in a line", strings.Join(lines[:3], "") + lines[3][:20], "plan file is not as it was written: line 4: the line was cut"},
		{"version", strings.Replace(whole, `"version":2`, `"version":3`, 1), "line 1: plan file of another version: version 3, this program reads 2"},
		{"white space", strings.Replace(whole, `"order":2,`, `"order": 2,`, 1), "line 3: plan file is not as it was written: not in the plan's own encoding"},
		{"one digit", strings.Replace(whole, "1234567", "1234568", 1), "line 7: plan file is not as it was written: it was altered: its lines hash to "},
		{"behind the end", whole + lines[1], "line 8: plan file is not as it was written: something follows the end line"},
		{"another kind", strings.Replace(whole, `{"kind":"target"`, `{"kind":"extra"`, 1), `line 2: plan file is not as it was written: unknown kind "extra"`},
		{"two headers", lines[0] + whole, "line 2: plan file is not as it was written: a plan has one header, on its first line"},
	} {
		if _, err := plan.Read(strings.NewReader(c.text)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	folder := t.TempDir()
	name := filepath.Join(folder, plan.FileName)
	if err := os.WriteFile(name, []byte(whole[:100]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Load(folder); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
		t.Errorf("Load does not name the file: %v", err)
	}
}

// Somebody with an editor and a hash tool can put a right end line under altered
// lines. That is another plan, with another hash, and it still keeps every rule.
func TestResealedFilesKeepTheRules(t *testing.T) {
	whole := string(encode(t, small(t)))
	for _, c := range []struct{ name, old, new, want string }{
		{"a device twice", "00-DB-12-00-10-0E-00-01", "00-DB-12-00-00-0E-00-01", "target 2: device 00-DB-12-00-00-0E-00-01 is in the plan already"},
		{"more meters than allowed", `"maximum_meters":1000`, `"maximum_meters":2`, "outside the direction: too many meters: the plan has 3, DIR-1 allows 2"},
		{"a forbidden service", `"2.5"`, `"7.1"`, "direction: permitted_srvs[1]: SRV 7.1 (Enable Supply): not in the permitted set"},
		{"a fuel not covered", `["electricity","gas"]`, `["electricity"]`, "target 2: device 00-DB-12-00-10-0E-00-01: gas is not covered by the direction"},
		{"a foreign originator", `"originator":"90-B3-D5-1F-30-03-00-00"`, `"originator":"90-B3-D5-1F-30-05-00-00"`, "target 2: device 00-DB-12-00-10-0E-00-01: no identity is configured for originator 90-B3-D5-1F-30-05-00-00"},
		{"a device that is no meter", `"device_type":"GSME"`, `"device_type":"GPF"`, "target 2: not a whole target"},
		{"other counts", `"homes":2`, `"homes":3`, "the header counts"},
		{"a wave too few", `"count":1,"soak_seconds":0`, `"count":2,"soak_seconds":0`, "the waves end at target 4 of 3"},
		{"waves that overlap", `"first":3`, `"first":2`, `wave "wave 2": not a whole wave that begins at target 3`},
		{"a class nobody knows", `"class":"rejected"`, `"class":"success"`, `abort: class "success"`},
		{"an abort rule without a sample", `"min_sample":20`, `"min_sample":0`, "min_sample of rejected: 0"},
		{"a cancelling abort rule", `"action":"halt"`, `"action":"cancel"`, `action of rejected: "cancel": want pause or halt`},
		{"another deadline", `"late":`, `"late":1`, "the header's estimate does not follow from the lines"},
		{"another estimate", `"posts":16`, `"posts":1`, "the header's estimate does not follow from the lines"},
	} {
		altered := strings.Replace(whole, c.old, c.new, 1)
		if altered == whole {
			t.Fatalf("%s: %s is not in the plan", c.name, c.old)
		}
		_, err := plan.Read(bytes.NewReader(reseal(altered)))
		if !errors.Is(err, plan.ErrDamaged) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}
