package ledger

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"safemode/servicerequests"
)

// Move and Possible say the same of every pair of a phase and an event.
func TestMove(t *testing.T) {
	for p := range Phase(PhaseCount) {
		for e := range Event(EventCount) {
			for _, half := range []Half{FirstHalf, SecondHalf} {
				r := &Request{Service: servicerequests.SwitchToCredit, Phase: p, Half: half}
				yes, why := Possible(p, e)
				err := r.Move(e)
				if yes != (err == nil) || yes != (why == "") {
					t.Errorf("%v, %v: possible %t (%q), but Move says %v", p, e, yes, why, err)
				}
				if yes {
					continue
				}
				if !errors.Is(err, errDefect) || !strings.Contains(err.Error(), e.String()) || !strings.Contains(err.Error(), p.String()) {
					t.Errorf("%v, %v: %v", p, e, err)
				}
				if r.Phase != p || r.Half != half {
					t.Errorf("%v, %v: impossible, and it is %v now", p, e, r.Phase)
				}
			}
		}
	}
}

// A half that was not signed waits again where its kind waits.
func TestUnsignedGoesBackByItsHalf(t *testing.T) {
	for half, want := range map[Half]Phase{FirstHalf: Queued, SecondHalf: Prepared} {
		r := &Request{Phase: Signing, Half: half}
		if err := r.Move(Unsigned); err != nil || r.Phase != want {
			t.Errorf("half %d: %v, %v, want %v", half, r.Phase, err, want)
		}
	}
}

func TestPhase(t *testing.T) {
	type says struct{ waits, working, counted, signed bool }
	for p, want := range map[Phase]says{
		Behind:      {},
		Queued:      {waits: true},
		Signing:     {working: true, counted: true},
		Ready:       {waits: true, counted: true, signed: true},
		Posting:     {working: true, counted: true, signed: true},
		Resting:     {counted: true, signed: true},
		Prepared:    {waits: true, counted: true},
		Sent:        {counted: true, signed: true},
		Quarantined: {counted: true, signed: true},
		Ended:       {},
	} {
		if got := (says{p.Waits(), p.Working(), p.Counted(), p.signed()}); got != want {
			t.Errorf("%v: %+v, want %+v", p, got, want)
		}
		for _, half := range []Half{FirstHalf, SecondHalf} {
			r := &Request{Service: servicerequests.SwitchToCredit, Phase: p, Half: half}
			if got := r.Answerable(); got != (want.signed && half == SecondHalf) {
				t.Errorf("%v: a command on half %d is answerable: %t", p, half, got)
			}
		}
		r := &Request{Service: servicerequests.ReadPaymentMode, Phase: p}
		if got := r.Answerable(); got != want.signed {
			t.Errorf("%v: a read is answerable: %t", p, got)
		}
	}
	if PhaseCount != 10 || EventCount != 11 {
		t.Errorf("%d phases and %d events: the tables here know 10 and 11", PhaseCount, EventCount)
	}
}

// The table that the package comment shows is the one that holds.
func TestPackageCommentShowsTheTable(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for p := range Phase(PhaseCount) {
		var events []string
		for e := range Event(EventCount) {
			asked := Request{Phase: p}
			if asked.Move(e) != nil {
				continue
			}
			to := asked.Phase.String()
			if command := (Request{Phase: p, Half: SecondHalf}); command.Move(e) == nil && command.Phase != asked.Phase {
				to += " or " + command.Phase.String()
			}
			events = append(events, e.String()+": "+to)
		}
		want = append(want, strings.TrimSpace(p.String()+" "+strings.Join(events, ", ")))
	}
	var got []string
	in := false
	row := regexp.MustCompile(`^//\t(\w+|) +(.*)$|^//\t(\w+)$`)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "// # ") {
			in = line == "// # The table of phases"
		}
		cells := row.FindStringSubmatch(line)
		switch {
		case !in || cells == nil:
		case cells[3] != "":
			got = append(got, cells[3])
		case cells[1] == "": // goes on
			got[len(got)-1] += " " + cells[2]
		default:
			got = append(got, cells[1]+" "+cells[2])
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the comment shows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
