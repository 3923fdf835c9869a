package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// result is the JSON object. Its first part is fixed; what follows adds to it.
type result struct {
	Requests          int         `json:"requests"`
	FloorUS           bothSides   `json:"floor_us"` // per critical request
	CPUUS             bothSides   `json:"cpu_us"`   // per critical request
	Ratio             ratios      `json:"ratio"`
	RequestsPerSecond float64     `json:"service_requests_per_second"`
	XMLDSigRatio      signsProves `json:"xmldsig_ratio"`
	JournalUS         float64     `json:"journal_us"` // CPU per critical request
	RSSMB             bothSides   `json:"rss_mb"`

	Meters         int       `json:"meters"`
	Failed         int       `json:"failed"`
	Contacts       float64   `json:"first_contacts"`                // per critical request: meters that were not known before
	Allocations    bothSides `json:"allocations"`                   // per critical request
	AllocatedKB    bothSides `json:"allocated_kb"`                  // per critical request
	WrittenKB      float64   `json:"written_kb"`                    // by the engine to the disk, per critical request
	JournalRecords float64   `json:"journal_records"`               // per critical request
	JournalKB      float64   `json:"journal_kb"`                    // of bodies, per critical request
	JournalBatch   int       `json:"journal_batch"`                 // records in a transaction
	JournalKept    float64   `json:"journal_kept_kb,omitempty"`     // of the file, per meter of the homes' sweep
	JournalPG      float64   `json:"journal_postgres_us,omitempty"` // this side's CPU per critical request, into PostgreSQL
	OpeningSeconds float64   `json:"opening_cpu_seconds"`           // of engine.Open: the plan journalled
	OperationUS    opUS      `json:"operation_us"`

	Contact work  `json:"first_contact"` // with a meter
	Home    *home `json:"home,omitempty"`
}

// work is what one piece of work takes.
type work struct {
	Times   int       `json:"times"` // that it was measured
	FloorUS bothSides `json:"floor_us"`
	CPUUS   bothSides `json:"cpu_us"`
	Ratio   ratios    `json:"ratio"`
}

// home is a whole home: contact, reads and critical request.
type home struct {
	work
	Reads       float64   `json:"reads"`
	Allocations bothSides `json:"allocations"`
	PerSecond   float64   `json:"homes_per_second"`
	Failed      int       `json:"failed"`
}

type bothSides struct {
	Engine    float64 `json:"engine"`
	Simulator float64 `json:"simulator"`
}

type ratios struct {
	Engine float64 `json:"engine"`
	Total  float64 `json:"total"`
}

type signsProves struct {
	Sign   float64 `json:"sign"`
	Verify float64 `json:"verify"`
}

// opUS is what one operation costs, as the engine's process saw it.
type opUS struct {
	Sign    float64 `json:"sign"`
	Verify  float64 `json:"verify"`
	Agree   float64 `json:"agree"`
	MakeKey float64 `json:"make_key"`
}

// floors are the operations of a critical request on both sides, with as many reads
// and first contacts as the run had for each.
func (r outcome) floors() (engine, simulator count) {
	n := float64(r.facts.Critical)
	reads, contacts := float64(r.facts.Reads)/n, float64(r.facts.Contacts)/n
	engine = criticalEngine.plus(readEngine, reads).plus(contactEngine, contacts)
	simulator = criticalSimulator.plus(readSimulator, reads).plus(contactSimulator, contacts).plus(secret, 1)
	if reads > 0 {
		engine, simulator = engine.plus(secret, 1), simulator.plus(secret, 1)
	}
	return engine, simulator
}

// of is what one of so many pieces of work took, and the operations that it cannot do
// without.
func (p part) of(times int, engine, simulator count) work {
	n := float64(times)
	floor := bothSides{us(p.engine.Floor.of(engine)), us(p.simulator.Floor.of(simulator))}
	cpu := bothSides{us(p.engine.CPU) / n, us(p.simulator.CPU) / n}
	return work{
		Times: times, FloorUS: round(floor), CPUUS: round(cpu),
		Ratio: ratios{to(cpu.Engine/floor.Engine, 3), to((cpu.Engine+cpu.Simulator)/(floor.Engine+floor.Simulator), 3)},
	}
}

func (m *measurement) result() result {
	r := m.requests
	fe, fs := r.floors()
	request := r.work.of(r.facts.Critical, fe, fs)
	n := float64(request.Times)
	e, s := r.work.engine, r.work.simulator
	return result{
		Requests: request.Times, FloorUS: request.FloorUS, CPUUS: request.CPUUS, Ratio: request.Ratio,
		RequestsPerSecond: to(n/r.facts.Wall.Seconds(), 0),
		XMLDSigRatio:      signsProves{to(m.xml.Sign, 3), to(m.xml.Verify, 3)},
		JournalUS:         to(us(m.journal.PerRequest), 1),
		RSSMB:             round(bothSides{float64(r.engineRSS) / 1e6, float64(r.simulatorRSS) / 1e6}),

		Meters: m.Meters, Failed: r.facts.Failed, Contacts: to(float64(r.facts.Contacts)/n, 3),
		Allocations:    round(bothSides{float64(e.Objects) / n, float64(s.Objects) / n}),
		AllocatedKB:    round(bothSides{float64(e.Bytes) / 1e3 / n, float64(s.Bytes) / 1e3 / n}),
		WrittenKB:      to(float64(e.Written)/1e3/n, 1),
		JournalRecords: to(m.journal.Records, 1), JournalKB: to(m.journal.Bytes/1e3, 1), JournalBatch: m.journal.Batch,
		JournalKept: to(m.journal.Kept/1e3, 1), JournalPG: to(us(m.journal.InDatabase), 1),
		OpeningSeconds: to(r.facts.Opening.CPU.Seconds(), 2),
		OperationUS:    opUS{to(us(e.Floor[sign]), 1), to(us(e.Floor[verify]), 1), to(us(e.Floor[agree]), 1), to(us(e.Floor[makeKey]), 1)},
		Contact:        r.contact.of(r.facts.Met, contactEngine, contactSimulator),
		Home:           m.homes.home(),
	}
}

// home is the result of whole homes; nil if none were swept.
func (r outcome) home() *home {
	if r.facts.Critical == 0 {
		return nil
	}
	fe, fs := r.floors()
	n := float64(r.facts.Critical)
	e, s := r.work.engine, r.work.simulator
	return &home{
		work: r.work.of(r.facts.Critical, fe, fs), Reads: to(float64(r.facts.Reads)/n, 2),
		Allocations: round(bothSides{float64(e.Objects) / n, float64(s.Objects) / n}),
		PerSecond:   to(n/r.facts.Wall.Seconds(), 0), Failed: r.facts.Failed,
	}
}

func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// to rounds to so many digits after the point.
func to(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

func round(b bothSides) bothSides { return bothSides{to(b.Engine, 1), to(b.Simulator, 1)} }

// Targets of the figures; the table says where one is missed.
const (
	engineTarget   = 1.25
	totalTarget    = 1.3
	xmlTarget      = 1.1
	journalTarget  = 25   // us
	databaseTarget = 40   // us, of the journal in a database
	writtenTarget  = 4    // kB, for a critical request
	keptTarget     = 6    // kB, of the journal for a meter
	paceTarget     = 2000 // critical Service Requests a second
)

// Ratios carry over from machine to machine, times do not. A ratio may be worse than a
// recorded one by slack; but one that the record has within its target must stay within
// its target, with tolerance for a busy machine.
const (
	slack     = 1.25
	tolerance = 1.1
)

// named is one of the ratios, with its target; 0: it has none.
type named struct {
	name          string
	ratio, target float64
}

// ratios are all of them, in one order.
func (r *result) ratios() []named {
	all := []named{
		{"engine over its floor", r.Ratio.Engine, engineTarget},
		{"both over theirs", r.Ratio.Total, totalTarget},
		{"XMLDSig sign over its floor", r.XMLDSigRatio.Sign, xmlTarget},
		{"XMLDSig verify over its floor", r.XMLDSigRatio.Verify, xmlTarget},
		{"first contact, engine over its floor", r.Contact.Ratio.Engine, 0},
		{"first contact, both over theirs", r.Contact.Ratio.Total, 0},
	}
	if r.Home != nil {
		all = append(all, named{"a whole home, engine over its floor", r.Home.Ratio.Engine, 0}, named{"a whole home, both over theirs", r.Home.Ratio.Total, 0})
	}
	return all
}

// against says which ratios are worse than recorded ones allow, all of them at once.
func (r *result) against(recorded *result) error {
	var faults []error
	before := recorded.ratios()
	for i, now := range r.ratios() {
		if i == len(before) {
			break // no homes were swept then
		}
		then := before[i].ratio
		most, why := slack*then, fmt.Sprintf("%.3g times the recorded %.3f", slack, then)
		if then <= now.target {
			most, why = tolerance*now.target, fmt.Sprintf("%.3g times the target %v", tolerance, now.target)
		}
		if then > 0 && !(now.ratio <= most) {
			faults = append(faults, fmt.Errorf("%s: %.3f, more than %s", now.name, now.ratio, why))
		}
	}
	if failed := r.failed(); failed > 0 {
		faults = append(faults, fmt.Errorf("%d requests failed", failed))
	}
	return errors.Join(faults...)
}

func (r *result) failed() int {
	if r.Home == nil {
		return r.Failed
	}
	return r.Failed + r.Home.Failed
}

// readRecorded reads a result that --json has printed.
func readRecorded(name string) (*result, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var r result
	if err := json.Unmarshal(text, &r); err != nil || r.Ratio.Engine < 1 || r.Ratio.Total < 1 || r.XMLDSigRatio.Sign < 1 || r.XMLDSigRatio.Verify < 1 {
		return nil, fmt.Errorf("%s is no result of this program", name)
	}
	return &r, nil
}

// table prints the result for people.
func (m *measurement) table(out io.Writer, r result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, c := range cells {
			fmt.Fprintf(w, "%v\t", c)
		}
		fmt.Fprintln(w)
	}
	verdict := func(holds bool) string {
		if holds {
			return "held"
		}
		return "MISSED"
	}
	fmt.Fprintf(out, "%d critical Service Requests of %d planned meters; %d requests failed\n\n", r.Requests, r.Meters, r.failed())
	row("", "engine", "simulator", "both", "over the floor")
	both := func(what string, b bothSides, format string) {
		row(what, fmt.Sprintf(format, b.Engine), fmt.Sprintf(format, b.Simulator), fmt.Sprintf(format, b.Engine+b.Simulator), "")
	}
	piece := func(what string, p work) {
		row(what+": CPU, us", fmt.Sprintf("%.0f", p.CPUUS.Engine), fmt.Sprintf("%.0f", p.CPUUS.Simulator),
			fmt.Sprintf("%.0f", p.CPUUS.Engine+p.CPUUS.Simulator), fmt.Sprintf("%.2f, %.2f, %.2f", p.Ratio.Engine, p.CPUUS.Simulator/p.FloorUS.Simulator, p.Ratio.Total))
		both("floor, us", p.FloorUS, "%.0f")
	}
	piece("one critical request to a known meter", work{Ratio: r.Ratio, CPUUS: r.CPUUS, FloorUS: r.FloorUS})
	both("allocations", r.Allocations, "%.0f")
	both("allocated, kB", r.AllocatedKB, "%.0f")
	row("written to disk, kB", fmt.Sprintf("%.1f", r.WrittenKB), "", "", "")
	if r.Contacts > 0 {
		row("meters not known before, for each", fmt.Sprintf("%.3f", r.Contacts), "", "", "")
	}
	piece("the first contact with a meter", r.Contact)
	if r.Home != nil {
		piece(fmt.Sprintf("a whole home, with contact and %.2g reads", r.Home.Reads), r.Home.work)
		both("allocations", r.Home.Allocations, "%.0f")
	}
	both("peak RSS of the process, MB", r.RSSMB, "%.0f")
	if err := w.Flush(); err != nil {
		return err
	}
	fe, fs := m.requests.floors()
	fmt.Fprintf(out, "\nThe floor of a critical request: engine %s; simulator %s.\n", fe, fs)
	fmt.Fprintf(out, "That of the first contact: engine %s; simulator %s.\n", contactEngine, contactSimulator)
	if r.Home != nil {
		fe, fs := m.homes.floors()
		fmt.Fprintf(out, "That of a home: engine %s; simulator %s.\n", fe, fs)
	}
	fmt.Fprintf(out, "One takes, in us: sign %.1f, verify %.1f, agree %.1f, make a key %.1f.\n\n",
		r.OperationUS.Sign, r.OperationUS.Verify, r.OperationUS.Agree, r.OperationUS.MakeKey)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, figure, target string, holds bool) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", what, figure, target, verdict(holds))
	}
	atMost := func(what string, figure, target float64) {
		line(what, fmt.Sprintf("%.1f", figure), fmt.Sprintf("at most %v", target), figure <= target)
	}
	for _, n := range r.ratios() {
		if n.target > 0 {
			line(n.name, fmt.Sprintf("%.3f", n.ratio), fmt.Sprintf("at most %v", n.target), n.ratio <= n.target)
		}
	}
	atMost(fmt.Sprintf("journal, us CPU (%.1f records, %.1f kB, %d in a transaction)", r.JournalRecords, r.JournalKB, r.JournalBatch), r.JournalUS, journalTarget)
	if r.JournalPG > 0 {
		atMost("the same into PostgreSQL, this side's us CPU", r.JournalPG, databaseTarget)
	}
	atMost("written to disk for a critical request, kB", r.WrittenKB, writtenTarget)
	if r.JournalKept > 0 {
		atMost("kept in the journal for a meter, kB", r.JournalKept, keptTarget)
	}
	line("critical Service Requests a second", fmt.Sprintf("%.0f", r.RequestsPerSecond),
		fmt.Sprintf("at least %d on 2 quiet cores", paceTarget), r.RequestsPerSecond >= paceTarget)
	return w.Flush()
}

// String lists the operations that there are.
func (n count) String() string {
	var all []string
	for op, times := range n {
		if times != 0 {
			all = append(all, fmt.Sprintf("%.3g x %s", times, operationNames[op]))
		}
	}
	return strings.Join(all, ", ")
}
