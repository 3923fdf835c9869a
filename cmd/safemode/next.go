package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine/advice"
	"safemode/engine/direction"
)

// nextPrefix begins the line that names the next command. The rest of the line can be pasted.
const nextPrefix = "next: "

// way is the way of a night from init to the hand-over: which command comes next, with the
// files that it takes.
type way struct {
	config.Night
	known bool // there is a night's file
	begun bool // approvals are of a sweep that goes on
}

// wayHere is the way of the night in whose folder the program was started; what the command's
// own flags name counts over what the folder says. Elsewhere no command names the next one: it
// does not know the files.
func wayHere(std stdio, flags config.Night) *way {
	n, err := config.LoadNight(config.NightFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &way{}
	case err != nil:
		fmt.Fprintf(std.err, "what comes next is not named: %v\n", err)
		return &way{}
	}
	n.Config, n.Plan = cmp.Or(flags.Config, n.Config), cmp.Or(flags.Plan, n.Plan)
	n.Portfolio, n.Journal = cmp.Or(flags.Portfolio, n.Portfolio), cmp.Or(flags.Journal, n.Journal)
	return &way{Night: *n, known: true}
}

// place is where the things of the night are.
func (w *way) place() advice.Place {
	return placeOf(w.Config, w.Plan, w.Journal)
}

// say names the next command, as the last line of talk.
func (w *way) say(std stdio, command string) {
	if !w.known {
		return
	}
	fmt.Fprintf(std.err, "%s%s\n", nextPrefix, command)
}

// afterConfig is the next command once the configuration is valid.
func (w *way) afterConfig() string {
	if w.Direction != "" {
		if _, err := os.Stat(w.Direction + direction.SignatureSuffix); err != nil {
			person := cmp.Or(w.Recorder, "RECORDER")
			return w.place().Command("sign", w.Direction, "--cert", person+".pem", "--key", person+".key")
		}
	}
	return w.check()
}

func (w *way) check() string {
	return w.place().Command("portfolio", "check", cmp.Or(w.Portfolio, "PORTFOLIO.csv"))
}

func (w *way) plan() string {
	person := cmp.Or(w.Preparer, "PREPARER")
	return w.place().Command("plan", "--config", cmp.Or(w.Config, "CONFIG.yaml"), "--direction", cmp.Or(w.Direction, "DIRECTION.yaml"),
		"--portfolio", cmp.Or(w.Portfolio, "PORTFOLIO.csv"), "--out", cmp.Or(w.Plan, "PLAN"), "--cert", person+".pem", "--key", person+".key")
}

// approve is the approval of the next person who has not given theirs for an occasion; once
// two have, what follows them.
func (w *way) approve(ctx context.Context, std stdio, on direction.Occasion) string {
	if !w.known {
		return ""
	}
	given, err := direction.LoadApprovals(w.Plan)
	if err != nil {
		fmt.Fprintf(std.err, "%v\n", err)
	}
	signed := map[string]bool{} // by fingerprint
	for _, a := range given {
		if a.PlanSHA256 == on.PlanSHA256 && a.Purpose == on.Purpose && a.Subject == on.Subject && time.Now().Before(a.ExpiresAt) {
			signed[a.Approver.Key] = true
		}
	}
	switch {
	case len(signed) < 2:
		return w.place().ApproveBy(w.nextApprover(signed), w.begun)
	case w.begun:
		return w.place().Sweep()
	case w.wantsSimulator(ctx):
		fmt.Fprintln(std.err, "in a terminal of its own, which stays open:")
		return w.place().Command(append([]string{"sim"}, w.Simulator...)...)
	}
	return w.preflight()
}

// nextApprover is the first approver whose approval is not there.
func (w *way) nextApprover(signed map[string]bool) string {
	for _, person := range w.Approvers {
		if cert, err := cli.Certificate(person + ".pem"); err == nil && !signed[direction.Fingerprint(cert)] {
			return person
		}
	}
	return "YOUR"
}

// wantsSimulator says whether the night has a simulated DCC that does not serve yet.
func (w *way) wantsSimulator(ctx context.Context) bool {
	if len(w.Simulator) == 0 {
		return false
	}
	conf, err := config.Load(w.Config)
	if err != nil {
		return true
	}
	u, err := url.Parse(conf.DCC.URL)
	if err != nil {
		return true
	}
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return true
	}
	_ = c.Close()
	return false
}

func (w *way) preflight() string {
	return w.place().Command("preflight", "--config", cmp.Or(w.Config, "CONFIG.yaml"), "--plan", cmp.Or(w.Plan, "PLAN"), "--journal", cmp.Or(w.Journal, "JOURNAL"))
}

// stands returns the sweep's state if no sweep answers.
func (w *way) stands() string {
	return w.place().Command("status", "--journal", cmp.Or(w.Journal, "JOURNAL"), "--config", cmp.Or(w.Config, "CONFIG.yaml"), "--plan", cmp.Or(w.Plan, "PLAN"))
}

func (w *way) report() string {
	return w.place().Command("report", "--journal", cmp.Or(w.Journal, "JOURNAL"), "--out", cmp.Or(w.Report, "REPORT"))
}

func (w *way) audit() string {
	return w.place().Command("audit", "--journal", cmp.Or(w.Journal, "JOURNAL"), "--config", cmp.Or(w.Config, "CONFIG.yaml"), "--custody-dir", cmp.Or(w.Custody, "CUSTODY"))
}

// approversHere are the approvers whom the night's file names, if it is the night of a plan.
func approversHere(planDir string) []string {
	n, err := config.LoadNight(config.NightFile)
	if err != nil || n.Plan != planDir {
		return nil
	}
	return slices.Clone(n.Approvers)
}
