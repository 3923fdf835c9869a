package plan_test

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
			Thresholds: map[string]plan.Threshold{"1.6": {Count: 3, PerSeconds: 3600}},
		},
		CreatedAt: time.Date(2026, 11, 23, 18, 0, 0, 0, time.FixedZone("", 3600)),
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
	p, err := plan.Build(seq, options())
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
	if want := "72c16311cc860468f677cdabe49205b0e74063f748bbf5c0bd74451b451ec150"; p.SHA256 != want {
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
	if diff := cmp.Diff(want, got); diff != "" {
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
	over := []plan.Forecast{{SRV: "1.6", Peak: 5, Count: 3, Exceeded: true}}
	for _, c := range []struct {
		name   string
		change func(*plan.Limits)
		want   plan.Estimate
	}{
		{
			"4G shares its plain region", func(*plan.Limits) {}, // North: 14 POSTs at 2 a second
			plan.Estimate{Requests: requests, Posts: 35, Seconds: 7, Bottleneck: "region North", Forecasts: over},
		},
		{
			"4G by itself", func(l *plan.Limits) { l.Regions[servicerequests.North4G] = 1 },
			plan.Estimate{Requests: requests, Posts: 35, Seconds: 7, Bottleneck: "region 4G North", Forecasts: over},
		},
		{
			"the user", func(l *plan.Limits) { l.User = 1 },
			plan.Estimate{Requests: requests, Posts: 35, Seconds: 35, Bottleneck: "user 90-B3-D5-1F-30-01-00-00", Forecasts: over},
		},
		{
			"a service", func(l *plan.Limits) { l.Services["transform"] = 0.5 },
			plan.Estimate{Requests: requests, Posts: 35, Seconds: 10, Bottleneck: "service transform", Forecasts: over},
		},
		{
			"a closed region", func(l *plan.Limits) { l.Regions[servicerequests.South] = 0 },
			plan.Estimate{Requests: requests, Posts: 35, Seconds: 7, Bottleneck: "region North", Closed: []string{"region South"}, Forecasts: over},
		},
		{
			"a threshold that is kept", func(l *plan.Limits) { l.Thresholds["1.6"] = plan.Threshold{Count: 3, PerSeconds: 3.5} },
			plan.Estimate{Requests: requests, Posts: 35, Seconds: 7, Bottleneck: "region North", Forecasts: []plan.Forecast{{SRV: "1.6", Peak: 3, Count: 3}}},
		},
	} {
		o := options()
		c.change(&o.Limits)
		if diff := cmp.Diff(c.want, build(t, o, list...).Estimate); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if d := (plan.Estimate{Seconds: 90.4}).Duration(); d != 90*time.Second {
		t.Errorf("Duration %v", d)
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
		{"version", strings.Replace(whole, `"version":1`, `"version":2`, 1), "line 1: plan file of another version: version 2, this program reads 1"},
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
