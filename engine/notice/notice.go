package notice

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"safemode/engine/record"
)

// Notice is what people are told.
type Notice struct {
	ID      string `json:"id"`      // the same at each try
	Version int    `json:"version"` // of this format: 1

	Drill       bool      `json:"drill"` // no real meter is touched
	Environment string    `json:"environment"`
	SweepID     string    `json:"sweep_id"`
	Direction   string    `json:"direction,omitempty"`
	Deadline    time.Time `json:"deadline,omitzero"` // the last instant of the direction

	Cause    string    `json:"cause"`           // halt, pause, gate, quarantine, breaker, region, inbox, wave, dead_man, disk, signer, test
	Scope    string    `json:"scope,omitempty"` // what the cause is about
	Since    time.Time `json:"since"`           // by the sweep's clock
	RaisedAt time.Time `json:"raised_at"`       // real time
	Times    int       `json:"times"`           // how often it came before it could be said

	State    string         `json:"state"`  // of the sweep
	Health   string         `json:"health"` // ok, needs_person, not_sending
	Says     string         `json:"says"`
	Do       string         `json:"do"`
	Commands []string       `json:"commands,omitempty"` // which may be pasted; words in capitals are the reader's own
	Meters   int            `json:"meters"`
	Done     int            `json:"done"`
	Verdicts map[string]int `json:"verdicts,omitempty"` // of Meters
}

// version of the notice's format, and of the file.
const version = 1

// made is the notice of a task's cause.
func made(st *record.Status, t record.Task, now time.Time) Notice {
	c := t.Cause
	since := c.Since
	if since.IsZero() {
		since = st.Time
	}
	n := Notice{
		Version: version,
		Drill:   st.Drill(), Environment: st.Environment, SweepID: st.SweepID, Direction: st.Direction, Deadline: st.Deadline,
		Cause: c.Kind, Scope: c.Scope, Since: since.UTC(), RaisedAt: now.UTC(), Times: 1,
		State: st.State, Health: st.Health.Level, Says: record.Hide(c.Says), Do: record.Hide(c.Do), Commands: t.Commands,
		Meters: st.Meters, Done: st.Done, Verdicts: st.Verdicts,
	}
	sum := sha256.Sum256(fmt.Append(nil, n.SweepID, "\n", n.Cause, "\n", n.Scope, "\n", n.Since.UnixNano(), "\n", n.RaisedAt.UnixNano()))
	n.ID = hex.EncodeToString(sum[:12])
	return n
}

// Test is a notice that says that nothing is the matter.
func Test(environment string, now time.Time) Notice {
	st := record.Status{Identity: record.Identity{Environment: environment, Time: now}, State: "none", Health: record.Health{Level: record.HealthOK}}
	return made(&st, record.Task{Cause: &record.Cause{
		Kind: record.NoticeTest, Says: "this is a test of notices: nothing is the matter", Do: "There is nothing to do.",
	}}, now)
}

// longestSubject is in bytes, without the sweep's id.
const longestSubject = 160

// Subject is the notice in a line that begins with whether it is real.
func (n *Notice) Subject() string {
	kind := "LIVE"
	switch {
	case n.Drill:
		kind = "DRILL"
	case n.Environment != record.Live:
		kind = "LIVE OR NOT IS NOT KNOWN"
	}
	subject := kind + ": safemode: " + n.Says
	if len(subject) > longestSubject {
		subject = strings.ToValidUTF8(subject[:longestSubject], "") + " ..."
	}
	if n.SweepID != "" {
		subject += " (sweep " + n.SweepID + ")"
	}
	return subject
}

// Text is the notice for people.
func (n *Notice) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", record.Identity{Environment: n.Environment}.Banner())
	line("")
	line("%s.", strings.TrimSuffix(n.Says, "."))
	if n.Do != "" {
		line("%s", n.Do)
	}
	for _, c := range n.Commands {
		line("    %s", c)
	}
	line("")
	if n.Times > 1 {
		line("It came %d times before this could be sent.", n.Times)
	}
	line("Since %s by the sweep's clock; told of at %s, real time.", n.Since.Format(time.RFC3339), n.RaisedAt.Format(time.RFC3339))
	if n.SweepID != "" {
		line("Sweep %s, %s: %d of %d meters done.", n.SweepID, n.State, n.Done, n.Meters)
	}
	for _, v := range record.Verdicts {
		if count := n.Verdicts[v]; count > 0 {
			line("    %s: %d", v, count)
		}
	}
	if !n.Deadline.IsZero() {
		line("Direction %s ends %s.", n.Direction, n.Deadline.UTC().Format(time.RFC3339))
	}
	line("Notice %s.", n.ID)
	return b.String()
}
