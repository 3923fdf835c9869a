package plan_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/direction"
	"safemode/engine/plan"
	"safemode/engine/portfolio"
	"safemode/engine/record"
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
		Strategy:    record.CreditMode,
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
	o.Waves = plan.WaveOptions{Canary: 1, Growth: 2, Soak: time.Minute, Abort: []record.AbortRule{{Class: "rejected", Ratio: 0.1, MinSample: 20, Action: record.AbortHalt}}}
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

// A SMETS1 meter is rejected as one of its kind, and plan and journal carry what the
// portfolio has of it.
func TestRejectedSMETS1(t *testing.T) {
	rows := func(yield func(portfolio.Row, error) bool) {
		_ = yield(meter(1, 'e', servicerequests.North, 0), nil) && yield(portfolio.Row{}, &portfolio.RowError{
			Line: 3, Device: "00-DB-12-51-00-00-00-01", Reason: "SMETS1",
			SMETS1: &portfolio.SMETS1{Device: 0x00DB125100000001, Hub: 9, MPxN: "1200000000002", Claimed: servicerequests.Prepayment},
		})
	}
	built, err := plan.Build(rows, options())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Read(bytes.NewReader(encode(t, built)))
	if err != nil {
		t.Fatal(err)
	}
	want := []plan.Rejected{{
		Line: 3, Device: "00-DB-12-51-00-00-00-01", Reason: "SMETS1", SMETS1: true, MPxN: "1200000000002", Hub: 9, Claimed: servicerequests.Prepayment,
	}}
	if diff := cmp.Diff(want, p.Rejected); diff != "" || p.Counts.SMETS1 != 1 || p.Counts.Rejected != 1 {
		t.Errorf("%+v, %s", p.Counts, diff)
	}
	body, err := record.Decode[record.RejectedBody](record.Record{Body: p.Rejected[0].Body()})
	if diff := cmp.Diff(record.RejectedBody(want[0]), body); err != nil || diff != "" {
		t.Errorf("%v, %s", err, diff)
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
	o.Strategy, o.Direction.PermittedSRVs = record.EmergencyCredit, []string{"2.5", "7.4", "6.2.9"}
	p := build(t, o, meter(1, 'e', servicerequests.North, 0))
	if want := map[string]int{"7.4": 2, "6.2.9": 2, "2.5": 1}; !cmp.Equal(want, p.Estimate.Requests) {
		t.Errorf("requests %v, want %v", p.Estimate.Requests, want)
	}
}

func TestSteps(t *testing.T) {
	header := build(t, options()).Header
	unknown, credit, pending := meter(1, 'e', 1, 0), servicerequests.Credit, []string{portfolio.PendingFutureDatedMode}
	for _, c := range []struct {
		strategy record.Strategy
		claimed  servicerequests.PaymentMode
		history  []string
		want     string
	}{
		{record.CreditMode, servicerequests.Prepayment, nil, "[7.4 6.2.9 4.18 1.6 7.4 6.2.9]"},
		{record.CreditMode, servicerequests.UnknownMode, nil, "[7.4 6.2.9 4.18 1.6 7.4 6.2.9]"},
		{record.CreditMode, credit, nil, "[7.4 6.2.9]"},
		{record.CreditMode, credit, pending, "[7.4 6.2.9 4.18 1.6 7.4 6.2.9]"},
		{record.Full, servicerequests.Prepayment, nil, "[7.4 6.2.9 4.18 2.5 1.6 7.4 6.2.9]"},
		{record.EmergencyCredit, servicerequests.Prepayment, nil, "[7.4 6.2.9 4.18 2.5 7.4 6.2.9]"},
	} {
		header.Strategy = c.strategy
		got := fmt.Sprintf("%v", header.Steps(&plan.Target{Type: unknown.Type, Claimed: c.claimed, History: c.history}))
		if got != c.want {
			t.Errorf("%s, %v, %v: %s, want %s", c.strategy, c.claimed, c.history, got, c.want)
		}
		// The balance after the switch follows all else, where there is a switch.
		with := header
		if with.Bounds.BalanceAfter = true; strings.Contains(c.want, "1.6") {
			c.want = strings.TrimSuffix(c.want, "]") + " 4.18]"
		}
		if got := fmt.Sprintf("%v", with.Steps(&plan.Target{Type: unknown.Type, Claimed: c.claimed, History: c.history})); got != c.want {
			t.Errorf("%s, %v, %v with balances: %s, want %s", c.strategy, c.claimed, c.history, got, c.want)
		}
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
		with(meter(9, 'e', n, 9), func(r *portfolio.Row) { r.Supply = servicerequests.Disabled }),
		with(meter(10, 'e', n, 0), func(r *portfolio.Row) {
			r.BalanceEstimate, r.Carried = new(servicerequests.Millipence), map[string]string{plan.ColumnBalance: "99"}
		}),
		with(meter(8, 'e', n, 1), func(r *portfolio.Row) {
			r.Claimed, r.History = servicerequests.Credit, []string{portfolio.PendingFutureDatedMode}
		}),
	)
	var got []int
	for _, target := range p.Targets {
		got = append(got, int(target.Hub-hub))
	}
	if diff := cmp.Diff([]int{6, 9, 4, 10, 3, 5, 2, 1, 8, 7}, got); diff != "" {
		t.Error(diff)
	}
}
