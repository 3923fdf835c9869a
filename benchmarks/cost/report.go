package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
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
	Reads          float64   `json:"reads_per_request"`
	Failed         int       `json:"failed"`
	ContactFloorUS bothSides `json:"first_contact_floor_us"` // per meter, included above
	ContactCPUUS   bothSides `json:"first_contact_cpu_us"`   // likewise, as measured by itself
	Allocations    bothSides `json:"allocations"`            // per critical request
	AllocatedKB    bothSides `json:"allocated_kb"`           // per critical request
	WrittenKB      float64   `json:"written_kb"`             // by the engine to the disk, per critical request
	JournalRecords float64   `json:"journal_records"`        // per critical request
	OpeningSeconds float64   `json:"opening_cpu_seconds"`    // of engine.Open: the plan journalled
	OperationUS    opUS      `json:"operation_us"`
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

// floors are the operations of one critical request with all that goes with it, and
// of the first contact alone.
func (m *measurement) floors() (engine, simulator, contactE, contactS count) {
	reads := float64(m.run.Reads) / float64(m.run.Critical)
	contactE, contactS = contactEngine, contactSimulator
	engine = criticalEngine.plus(readEngine, reads).plus(contactE, 1)
	simulator = criticalSimulator.plus(readSimulator, reads).plus(contactS, 1).plus(secret, 1)
	if m.Reads {
		engine, simulator = engine.plus(secret, 1), simulator.plus(secret, 1)
	}
	return engine, simulator, contactE, contactS
}

func (m *measurement) result() result {
	n := float64(m.run.Critical)
	fe, fs, ce, cs := m.floors()
	e, s := m.engine.run, m.simulator.run
	floor := bothSides{us(e.Floor.of(fe)), us(s.Floor.of(fs))}
	cpu := bothSides{us(e.CPU) / n, us(s.CPU) / n}
	return result{
		Requests: m.run.Critical, FloorUS: round(floor), CPUUS: round(cpu),
		Ratio:             ratios{to(cpu.Engine/floor.Engine, 3), to((cpu.Engine+cpu.Simulator)/(floor.Engine+floor.Simulator), 3)},
		RequestsPerSecond: to(n/m.run.Wall.Seconds(), 0),
		XMLDSigRatio:      signsProves{to(m.xml.Sign, 3), to(m.xml.Verify, 3)},
		JournalUS:         to(us(m.journal.PerRequest), 1),
		RSSMB:             round(bothSides{float64(m.engine.peakRSS) / 1e6, float64(m.simulator.peakRSS) / 1e6}),

		Meters: m.Meters, Reads: to(float64(m.run.Reads)/n, 2), Failed: m.run.Failed,
		ContactFloorUS: round(bothSides{us(m.engine.contact.Floor.of(ce)), us(m.simulator.contact.Floor.of(cs))}),
		ContactCPUUS:   round(bothSides{us(m.engine.contact.CPU) / met, us(m.simulator.contact.CPU) / met}),
		Allocations:    round(bothSides{float64(e.Objects) / n, float64(s.Objects) / n}),
		AllocatedKB:    round(bothSides{float64(e.Bytes) / 1e3 / n, float64(s.Bytes) / 1e3 / n}),
		WrittenKB:      to(float64(e.Written)/1e3/n, 1),
		JournalRecords: to(m.journal.Records, 1),
		OpeningSeconds: to(m.run.Opening.CPU.Seconds(), 2),
		OperationUS:    opUS{to(us(e.Floor[sign]), 1), to(us(e.Floor[verify]), 1), to(us(e.Floor[agree]), 1), to(us(e.Floor[makeKey]), 1)},
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
	engineTarget  = 1.25
	totalTarget   = 1.3
	xmlTarget     = 1.1
	journalTarget = 25   // us
	paceTarget    = 2000 // critical Service Requests a second
)

// slack is how much worse than a recorded one a ratio may be. Ratios carry over from
// machine to machine, times do not.
const slack = 1.25

// against says which ratios are worse than recorded ones, all of them at once.
func (r *result) against(recorded *result) error {
	var faults []error
	for _, figure := range []struct {
		name      string
		now, then float64
	}{
		{"engine over its floor", r.Ratio.Engine, recorded.Ratio.Engine},
		{"both over theirs", r.Ratio.Total, recorded.Ratio.Total},
		{"XMLDSig sign over ECDSA", r.XMLDSigRatio.Sign, recorded.XMLDSigRatio.Sign},
		{"XMLDSig verify over ECDSA", r.XMLDSigRatio.Verify, recorded.XMLDSigRatio.Verify},
	} {
		if figure.now > slack*figure.then {
			faults = append(faults, fmt.Errorf("%s: %.3f, and the recorded run has %.3f", figure.name, figure.now, figure.then))
		}
	}
	if r.Failed > 0 {
		faults = append(faults, fmt.Errorf("%d requests failed", r.Failed))
	}
	return errors.Join(faults...)
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
	fmt.Fprintf(out, "%d critical Service Requests, %.2g reads with each, of %d planned meters; %d requests failed\n\n",
		r.Requests, r.Reads, r.Meters, r.Failed)
	row("per critical request", "engine", "simulator", "both")
	both := func(what string, b bothSides, format string) {
		row(what, fmt.Sprintf(format, b.Engine), fmt.Sprintf(format, b.Simulator), fmt.Sprintf(format, b.Engine+b.Simulator))
	}
	both("CPU, us", r.CPUUS, "%.0f")
	both("floor, us", r.FloorUS, "%.0f")
	row("CPU / floor", fmt.Sprintf("%.2f", r.Ratio.Engine), fmt.Sprintf("%.2f", r.CPUUS.Simulator/r.FloorUS.Simulator), fmt.Sprintf("%.2f", r.Ratio.Total))
	both("first contact with the meter, in it: CPU, us", r.ContactCPUUS, "%.0f")
	both("its floor, us", r.ContactFloorUS, "%.0f")
	both("allocations", r.Allocations, "%.0f")
	both("allocated, kB", r.AllocatedKB, "%.0f")
	row("written to disk, kB", fmt.Sprintf("%.1f", r.WrittenKB), "", "")
	both("peak RSS of the process, MB", r.RSSMB, "%.0f")
	if err := w.Flush(); err != nil {
		return err
	}
	fe, fs, _, _ := m.floors()
	fmt.Fprintf(out, "\nThe floor is of these operations: engine %s; simulator %s.\n", fe, fs)
	fmt.Fprintf(out, "One takes, in us: sign %.1f, verify %.1f, agree %.1f, make a key %.1f.\n\n",
		r.OperationUS.Sign, r.OperationUS.Verify, r.OperationUS.Agree, r.OperationUS.MakeKey)
	w = tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, figure, target string, holds bool) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", what, figure, target, verdict(holds))
	}
	line("engine over its floor", fmt.Sprintf("%.3f", r.Ratio.Engine), fmt.Sprintf("at most %v", engineTarget), r.Ratio.Engine <= engineTarget)
	line("both over theirs", fmt.Sprintf("%.3f", r.Ratio.Total), fmt.Sprintf("at most %v", totalTarget), r.Ratio.Total <= totalTarget)
	line("XMLDSig sign over ECDSA", fmt.Sprintf("%.3f", r.XMLDSigRatio.Sign), fmt.Sprintf("at most %v", xmlTarget), r.XMLDSigRatio.Sign <= xmlTarget)
	line("XMLDSig verify over ECDSA", fmt.Sprintf("%.3f", r.XMLDSigRatio.Verify), fmt.Sprintf("at most %v", xmlTarget), r.XMLDSigRatio.Verify <= xmlTarget)
	line(fmt.Sprintf("journal, us CPU (%.1f records, %d in a transaction)", r.JournalRecords, m.journal.Batch),
		fmt.Sprintf("%.1f", r.JournalUS), fmt.Sprintf("at most %d", journalTarget), r.JournalUS <= journalTarget)
	line("critical Service Requests a second", fmt.Sprintf("%.0f", r.RequestsPerSecond),
		fmt.Sprintf("at least %d on 2 quiet cores", paceTarget), r.RequestsPerSecond >= paceTarget)
	return w.Flush()
}

// String lists the operations that there are.
func (n count) String() string {
	text := ""
	for op, times := range n {
		if times == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%.3g x %s", times, operationNames[op])
	}
	return text
}
