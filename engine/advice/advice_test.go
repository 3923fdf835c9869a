package advice

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
)

var (
	now   = time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	night = Place{Program: "./safemode", Folder: "/srv/the night", Config: "safe mode.yaml", Plan: "plan", Journal: "journal.db"}
)

const (
	approves = "cd '/srv/the night' && ./safemode approve --config 'safe mode.yaml' --plan plan --cert YOUR.pem --key YOUR.key --journal journal.db"
	sweeps   = "cd '/srv/the night' && ./safemode sweep --config 'safe mode.yaml' --plan plan --journal journal.db"
)

func open() map[string]string {
	return map[string]string{"direction": "open", "certificates": "open", "mpids": "open", "adapter": "open"}
}

func closed(gate string) map[string]string {
	g := open()
	g[gate] = "why"
	return g
}

func judged(st record.Status, p Place) record.Status {
	st.RealTime = now
	Judge(&st, p, now)
	for _, t := range st.ToDo { // whatever the state: the runbook knows of it
		if _, known := FindIncident(t.Incident); !known {
			panic(fmt.Sprintf("%q: no incident %q", t.Says, t.Incident))
		}
	}
	return st
}

// After a halt only approvals that count are advised: with the journal, from two people, and
// then the sweep's own command. What approvals cannot help needs another plan.
func TestAfterAHalt(t *testing.T) {
	for _, cause := range []string{"", record.HaltGate, record.HaltJournal, record.HaltFenced, record.HaltKey, record.HaltDCC, record.HaltTripwire, record.HaltWave, record.HaltDefect} {
		for gate := range open() {
			for _, ended := range []bool{false, true} {
				for _, resumes := range []int{0, 9} {
					st := record.Status{State: "halted", Cause: cause, Reason: "halted: it was so", Meters: 9, Gates: open(), ResumesLeft: resumes, ApprovedUntil: now.Add(time.Hour)}
					st.Deadline = now.Add(time.Hour)
					if cause == record.HaltGate {
						st.Gates = closed(gate)
					}
					if ended {
						st.Deadline = now.Add(-time.Hour)
					}
					got := judged(st, night)
					name := fmt.Sprintf("%s, gate %s, ended %v", cause, gate, ended)
					if got.Health.Level != record.HealthNotSending || len(got.ToDo) == 0 {
						t.Fatalf("%s: %+v, %d tasks", name, got.Health, len(got.ToDo))
					}
					first := got.ToDo[0]
					want := []string{approves, sweeps}
					if cause == record.HaltGate && gate == "direction" && ended {
						want = []string{"cd '/srv/the night' && ./safemode plan --config 'safe mode.yaml' --direction NEW-DIRECTION.yaml --portfolio PORTFOLIO.csv --out NEW-PLAN --cert PREPARER.pem --key PREPARER.key"}
					}
					if !slices.Equal(first.Commands, want) {
						t.Errorf("%s: the commands are\n%s\nwant\n%s", name, strings.Join(first.Commands, "\n"), strings.Join(want, "\n"))
					}
					if first.Says != "it has halted: it was so" {
						t.Errorf("%s: it says %q", name, first.Says)
					}
					for _, task := range got.ToDo[1:] {
						if len(task.Commands) > 0 && strings.Contains(strings.Join(task.Commands, " "), "resume") {
							t.Errorf("%s: an order to a sweep that takes none: %v", name, task.Commands)
						}
					}
				}
			}
		}
	}
}

// A sweep that ended without a halt goes on by the same command if its approvals allow that,
// and otherwise needs new ones first. A rehearsal starts from the beginning.
func TestAfterAStop(t *testing.T) {
	for _, c := range []struct {
		name    string
		resumes int
		until   time.Time
		want    []string
	}{
		{"given ahead", 3, now.Add(time.Hour), []string{sweeps}},
		{"used up", 0, now.Add(time.Hour), []string{approves, sweeps}},
		{"expired", 3, now.Add(-time.Hour), []string{approves, sweeps}},
	} {
		st := judged(record.Status{State: "interrupted", ResumesLeft: c.resumes, ApprovedUntil: c.until, Meters: 5}, night)
		if got := st.ToDo[0].Commands; !slices.Equal(got, c.want) {
			t.Errorf("%s: %v", c.name, got)
		}
		st = judged(record.Status{State: "open", ResumesLeft: c.resumes, ApprovedUntil: c.until, Meters: 5}, night)
		if got := st.ToDo[0].Commands; !slices.Equal(got, append([]string{"./safemode status"}, c.want...)) {
			t.Errorf("%s, cut off: %v", c.name, got)
		}
	}
	for _, state := range []string{"interrupted", "halted"} {
		if st := judged(record.Status{State: state}, Place{Rehearsal: true}); !strings.Contains(st.ToDo[0].Do, "starts from the beginning") || len(st.ToDo[0].Commands) != 0 {
			t.Errorf("a rehearsal that is %s: %+v", state, st.ToDo[0])
		}
	}
}

// A pause is answered with the order that takes that very one back.
func TestHolds(t *testing.T) {
	for scope, want := range map[string]string{
		"the sweep":       "./safemode resume --operations https://ops.example:1 --ca CA.pem --token-file YOUR.token",
		"region 4G North": "./safemode resume --region '4G North' --operations https://ops.example:1 --ca CA.pem --token-file YOUR.token",
		"wave 2":          "./safemode resume --wave 2 --operations https://ops.example:1 --ca CA.pem --token-file YOUR.token",
		"SRV 7.3":         "./safemode resume --srv 7.3 --operations https://ops.example:1 --ca CA.pem --token-file YOUR.token",
	} {
		p := night
		p.Operations, p.Guarded = "https://ops.example:1", true
		state := "running"
		if scope == record.WholeSweep {
			state = "paused"
		}
		hold := record.HoldStatus{Scope: scope, Action: "pause", By: "Ada", Reason: "to look", Since: now}
		st := judged(record.Status{State: state, Meters: 3, Holds: []record.HoldStatus{hold}}, p)
		first := st.ToDo[0]
		if !slices.Equal(first.Commands, []string{want}) || !strings.Contains(first.Says, "paused since 30 Nov 03:00 UTC by Ada: to look") {
			t.Errorf("%s: %+v", scope, first)
		}
		if level := st.Health.Level; (level == record.HealthNotSending) != (scope == record.WholeSweep) {
			t.Errorf("%s: %s", scope, level)
		}
		st = judged(record.Status{State: "halted", Holds: []record.HoldStatus{hold}}, p)
		if got := st.ToDo[1]; len(got.Commands) != 0 || !strings.Contains(got.Do, "still holds") {
			t.Errorf("%s after a halt: %+v", scope, got)
		}
	}
}

// Only what is well is called ok; where nothing can be sent, that is said.
func TestHealth(t *testing.T) {
	ago := func(s float64) *float64 { return &s }
	room := func(n uint64) *uint64 { return &n }
	well := func() record.Status {
		return record.Status{State: "running", Meters: 10, Gates: open(), Rates: record.Rates{Acknowledged: 1}, InboxHeard: ago(1)}
	}
	for name, c := range map[string]struct {
		change func(*record.Status)
		level  string
		says   string
	}{
		"well":                 {func(*record.Status) {}, record.HealthOK, "goes on by itself"},
		"starting":             {func(st *record.Status) { st.State = "starting" }, record.HealthOK, "reads its journal"},
		"finished":             {func(st *record.Status) { st.State = "finished" }, record.HealthOK, "every meter has a verdict"},
		"finished, not all on": {func(st *record.Status) { st.State, st.Verdicts = "finished", map[string]int{"armed": 1} }, record.HealthPerson, "1 meter is armed"},
		"ceased":               {func(st *record.Status) { st.State = "ceased" }, record.HealthNotSending, "for good"},
		"stopping":             {func(st *record.Status) { st.State = "stopping" }, record.HealthNotSending, "told to stop"},
		"signer gone":          {func(st *record.Status) { st.Signer = "no answer" }, record.HealthNotSending, "no signatures"},
		"one circuit":          {func(st *record.Status) { st.Breakers = map[string]string{"transform North": "open"} }, record.HealthPerson, "POSTs to the DCC fail: transform North"},
		"the DCC down": {func(st *record.Status) {
			st.Breakers, st.Rates.Acknowledged = map[string]string{"transform North": "open"}, 0
		}, record.HealthNotSending, "the DCC takes nothing"},
		"region silent": {func(st *record.Status) {
			st.Heard = []record.RegionHeard{{Region: "North", Open: 3, Seconds: ago(1000), Silent: true}, {Region: "South"}}
		}, record.HealthPerson, "no meter answers in North (last answer 17 min ago)"},
		"inbox out of reach": {func(st *record.Status) {
			st.Heard, st.InboxHeard = []record.RegionHeard{{Region: "North", Open: 3, OpenElectricity: 3, Silent: true}}, ago(700)
		}, record.HealthPerson, "nothing has come in at the inbox for 12 min"},
		"inbox never heard": {func(st *record.Status) {
			st.Heard, st.InboxHeard, st.Elapsed = []record.RegionHeard{{Region: "North", OpenElectricity: fewOpen}}, nil, 301
		}, record.HealthPerson, "nothing has come in at the inbox for 5 min"},
		"the last few": {func(st *record.Status) {
			st.Heard, st.InboxHeard = []record.RegionHeard{{Region: "North", OpenElectricity: fewOpen - 1}}, ago(700)
		}, record.HealthOK, "goes on by itself"},
		"disk":     {func(st *record.Status) { st.DiskFree, st.DiskNeeded = room(1<<20), 2<<20 }, record.HealthPerson, "1 MiB are free"},
		"renewal":  {func(st *record.Status) { st.Renewal = ago(90) }, record.HealthPerson, "it pauses in 90 s"},
		"alone":    {func(st *record.Status) { st.Environment, st.StandbyMissing = record.Live, ago(61) }, record.HealthPerson, "nobody stands by to take the sweep over, for 61 s"},
		"a moment": {func(st *record.Status) { st.Environment, st.StandbyMissing = record.Live, ago(59) }, record.HealthOK, "goes on by itself"},
		"a drill":  {func(st *record.Status) { st.Environment, st.StandbyMissing = record.Simulator, ago(61) }, record.HealthOK, "goes on by itself"},
		"deadline": {func(st *record.Status) { st.Deadline = now.Add(2 * time.Hour) }, record.HealthPerson, "ends in 2 h"},
		"too slow": {func(st *record.Status) { st.Deadline, st.ETA = now.Add(48*time.Hour), ago(200000) }, record.HealthPerson, "ends in 2 days"},
		"gate":     {func(st *record.Status) { st.Gates = closed("mpids") }, record.HealthNotSending, "gate mpids is closed"},
		"service held": {func(st *record.Status) {
			st.Holds = []record.HoldStatus{{Scope: "SRV 7.3", Action: "pause", By: "safemode", Cause: record.CauseQuarantine, Since: now}}
		}, record.HealthPerson, "SRV 7.3 is paused"},
		"quarantine":    {func(st *record.Status) { st.Quarantine = []string{"77"} }, record.HealthPerson, "event references 77"},
		"to be deleted": {func(st *record.Status) { st.Delete = []string{"78"} }, record.HealthPerson, "must not be released: event references 78"},
	} {
		st := well()
		c.change(&st)
		st = judged(st, night)
		if st.Health.Level != c.level || !strings.Contains(st.Health.Says, c.says) {
			t.Errorf("%s: %+v, want %s and %q", name, st.Health, c.level, c.says)
		}
	}
}

// Answers that cannot be proven for want of a certificate are said to be that, and not to be
// missing; what may be why a wave's rule has paused the sweep is said before that.
func TestWhatIsWrongIsSaidBeforeWhatFollowsFromIt(t *testing.T) {
	wave := record.HoldStatus{Scope: record.WholeSweep, Action: "pause", By: record.BySweep, Cause: record.CauseWave, Reason: "20 of 20 requests ended no_response", Since: now}
	silent := []record.RegionHeard{{Region: "North", OpenElectricity: 30, Silent: true}}
	breakers := map[string]string{"transform North": "open"}
	for name, c := range map[string]struct {
		st   record.Status
		says []string
	}{
		"no such certificate": {record.Status{State: "running", Heard: silent, UnknownSigner: 7, UnknownSince: now}, []string{"7 answers are signed under a certificate"}},
		"and it has paused":   {record.Status{State: "paused", Holds: []record.HoldStatus{wave}, UnknownSigner: 1, UnknownSince: now}, []string{"1 answer is signed under a certificate", "the sweep is paused"}},
		"the DCC down":        {record.Status{State: "paused", Holds: []record.HoldStatus{wave}, Breakers: breakers, BreakersSince: now}, []string{"the DCC took nothing when it was last tried: transform North, since 30 Nov 03:00 UTC", "the sweep is paused"}},
		"nothing to try it with": {record.Status{
			State: "running", Breakers: map[string]string{"transform North": "probing"}, Rates: record.Rates{Acknowledged: 1},
		}, []string{"POSTs to the DCC failed when they were last tried: transform North"}},
		"a person's pause": {record.Status{
			State: "paused", Holds: []record.HoldStatus{{Scope: record.WholeSweep, Action: "pause", By: "Ada"}}, Breakers: breakers,
		}, []string{"the sweep is paused", "the DCC took nothing when it was last tried"}},
	} {
		c.st.Meters = 9
		st := judged(c.st, night)
		if len(st.ToDo) != len(c.says) || st.Health.Says != st.ToDo[0].Says {
			t.Errorf("%s: %d tasks, health %q", name, len(st.ToDo), st.Health.Says)
			continue
		}
		for i, says := range c.says {
			if !strings.HasPrefix(st.ToDo[i].Says, says) {
				t.Errorf("%s: task %d says %q, want %q", name, i, st.ToDo[i].Says, says)
			}
		}
		if c.st.State == "paused" && strings.Contains(fmt.Sprint(st.ToDo), "tries them by itself") {
			t.Errorf("%s: a sweep that is paused tries nothing: %+v", name, st.ToDo)
		}
	}
}

// A halt says when it was.
func TestHaltSaysWhen(t *testing.T) {
	st := record.Status{State: "halted", Reason: "a gate", Since: now}
	st.ClockSpeed = 60
	st = judged(st, night)
	if want := "it has halted: a gate; since 30 Nov 03:00 UTC (the sweep's clock)"; st.Health.Says != want {
		t.Errorf("it says %q, want %q", st.Health.Says, want)
	}
}

// Who has approved is not asked again.
func TestOneApproverMore(t *testing.T) {
	p := night
	p.Approved, p.Approvers = []string{"alice"}, []string{"bob"}
	task := judged(record.Status{State: "planned"}, p).ToDo[0]
	if !strings.HasPrefix(task.Do, "alice has approved. One approver more ") || len(task.Commands) != 2 || !strings.Contains(task.Commands[0], "bob.pem") || task.Incident != "approver-missing" {
		t.Errorf("%+v", task)
	}
}

// The things that hold the sweep up come first, then the meters, the worst for homes before
// the others. The meters that are not safe are counted by reason, each with what to do.
func TestWorstFirst(t *testing.T) {
	st := judged(record.Status{
		State: "paused", Meters: 100, Holds: []record.HoldStatus{{Scope: "region North", Action: "stop", By: "Ada"}, {Scope: "the sweep", Action: "pause", By: "wave 1"}},
		Verdicts: map[string]int{"armed": 5, "not_safe": 3, "unknown": 2}, Waiting: map[string]int{"stuck": 4, "held": 1}, Classes: map[string]int{"rejected": 6, "unverified": 7},
		Reasons: []record.ReasonCount{{Verdict: "not_safe", Reason: "arm refused", Meters: 2}, {Verdict: "unknown", Reason: "no answer: E20", Meters: 2}, {Verdict: "not_safe", Reason: "disabled with credit left", Meters: 1}},
	}, night)
	var lists []string
	for _, task := range st.ToDo {
		lists = append(lists, task.List)
	}
	if want := []string{"", "", "not_safe", "unknown", "stuck", "rejected", "unverified", "held", "armed"}; !slices.Equal(lists, want) {
		t.Errorf("the order is %v", lists)
	}
	if !strings.HasPrefix(st.ToDo[0].Says, "the sweep is paused") {
		t.Errorf("first comes %q", st.ToDo[0].Says)
	}
	lines := strings.Join(st.ToDo[2].Lines(), "\n")
	for _, part := range []string{"3 meters are not safe. What", "\n  2: arm refused -> the supply is locked", "\n  1: disabled with credit left -> not for lack", "\n  ./safemode rerun --verdict not_safe --reason 'WHAT WAS MENDED'"} {
		if !strings.Contains(lines, part) {
			t.Errorf("%q is not in\n%s", part, lines)
		}
	}
}

func TestQuote(t *testing.T) {
	for word, want := range map[string]string{"a/b.db": "a/b.db", "": "''", "two words": "'two words'", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		if got := quote(word); got != want {
			t.Errorf("%q: %s", word, got)
		}
	}
}

// Who calls the armed homes is told how far the calls are, and of a record that cannot be read.
func TestCallsOfArmedHomes(t *testing.T) {
	for want, counts := range map[string]*record.CallCounts{
		"the longest without supply first. The list": nil,
		"(5 homes done, 12 tried so far)":            {Done: 5, Tried: 12},
		"cannot be read: torn":                       {Fault: "torn"},
	} {
		st := judged(record.Status{State: "finished", Verdicts: map[string]int{record.VerdictArmed: 3}, Calls: counts}, night)
		if first := st.ToDo[0]; !strings.Contains(first.Do, want) || !strings.HasSuffix(first.Commands[0], "./safemode calls list --journal journal.db --out CALLS.xlsx") {
			t.Errorf("%+v: %+v", counts, first)
		}
	}
}

// Where the place names approvers, each has a command of their own.
func TestApproversOfThePlace(t *testing.T) {
	p := night
	p.Approvers = []string{"pki/alice", "pki/bob"}
	st := judged(record.Status{State: "planned", Meters: 3}, p)
	got := st.ToDo[0].Commands
	if len(got) != 3 || !strings.Contains(got[0], "--cert pki/alice.pem --key pki/alice.key") || !strings.Contains(got[1], "--cert pki/bob.pem") || got[2] != sweeps {
		t.Errorf("%q", got)
	}
}
