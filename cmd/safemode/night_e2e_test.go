package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/spf13/cobra"

	"safemode/engine/advice"
	"safemode/engine/record"
)

// advisedIn finds the commands that a text advises, as a reader would paste them.
func advisedIn(t *testing.T, text string) (commands []string) {
	t.Helper()
	_, todo, found := strings.Cut(text, "to do:\n")
	if !found {
		t.Fatalf("it says nothing to do:\n%s", text)
	}
	for line := range strings.Lines(todo) { // the last says how it ended
		if command := strings.TrimSpace(line); strings.HasPrefix(line, "    ") && (strings.HasPrefix(command, "cd ") || strings.Contains(command, "/safemode ")) {
			commands = append(commands, command)
		}
	}
	return commands
}

// The commands that a refused start, a halt and a stop advise work when they are pasted into
// a shell elsewhere, word for word but for the approver's own key. After the halt, status
// --journal advises the same.
func TestAdviceIsPastedAndWorks(t *testing.T) {
	long(t)
	s := newScene(t, 20, 5, 1)
	s.configure(t, "safemode.yaml", "custody_dir: custody\n", "custody_dir: custody\ngates: {revocation_lists: ["+s.path("revoked.crl")+"], drain: 1s}\n")
	s.revoke(t)
	s.unapproved(t, "plan", "safemode.yaml", "direction.yaml")
	sim := s.sim(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	started := func() *process { // as a person does, in the folder, by relative names
		command := exec.Command(path, "sweep", "--config", "safemode.yaml", "--plan", "plan", "--journal", "journal.db")
		command.Dir = s.dir
		return startCommand(t, command)
	}
	paste := func(command, person string) *exec.Cmd {
		for old, is := range map[string]string{"YOUR.pem": s.path("pki/approvers/" + person + ".pem"), "YOUR.key": s.path("pki/approvers/" + person + ".key")} {
			command = strings.ReplaceAll(command, old, is)
		}
		c := exec.Command("sh", "-c", command)
		c.Dir = t.TempDir()
		return c
	}
	approved := func(command string) {
		t.Helper()
		for _, person := range []string{"alice", "bob"} {
			if out, err := paste(command+" --yes --resumes 1", person).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
	}
	begun := started().wait()
	begun.says(t, exitRefused, "not approved")
	commands := advisedIn(t, begun.err)
	if len(commands) != 2 || strings.Contains(commands[0], "--journal") {
		t.Fatalf("before it began: %q", commands)
	}
	approved(commands[0])
	runs := func(command string) *process {
		t.Helper()
		sent := s.requests(t)
		p := startCommand(t, paste(strings.Replace(command, "&& ", "&& exec ", 1), ""))
		p.until("sending", func() bool { return s.requests(t) > sent })
		return p
	}
	sweep := runs(commands[1])

	// A halt. The refusal of a start without new approvals, and its journal, advise the same.
	s.revoke(t, "pki/supplier/digital-signing.pem")
	halted := sweep.wait()
	halted.says(t, exitHalted, "halted: gate closed", "certificate is revoked")
	commands = advisedIn(t, halted.err)
	if len(commands) < 2 || !strings.Contains(commands[0], "--journal journal.db") {
		t.Fatalf("after a halt: %q", commands)
	}
	s.revoke(t)
	refused := started().wait()
	refused.says(t, exitRefused, "it was halted", "nobody has signed")
	if again := advisedIn(t, refused.err); !slices.Equal(again[:2], commands[:2]) {
		t.Errorf("the halt advises %q, the refusal %q", commands, again)
	}
	of := exec.Command(path, "status", "--journal", "journal.db", "--config", "safemode.yaml", "--plan", "plan")
	of.Dir = s.dir
	said, err := of.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range append(commands[:2:2], "SIMULATOR: a drill", "not sending: it has halted", "direction ") {
		if !strings.Contains(string(said), part) {
			t.Errorf("status --journal lacks %q:\n%s", part, said)
		}
	}
	approved(commands[0])
	sweep = runs(commands[1])

	// A stop: the same command goes on once, by the resume that was approved ahead, and not twice.
	for _, resumes := range []bool{true, false} {
		stopped := sweep.signal(syscall.SIGINT)
		stopped.says(t, exitInterrupted, "interrupted and drained")
		commands = advisedIn(t, stopped.err)
		if got := strings.Contains(commands[0], " sweep "); got != resumes {
			t.Fatalf("resumes are left: %v, and it advises %q", resumes, commands)
		}
		if !resumes {
			approved(commands[0])
			commands = commands[1:]
		}
		sweep = runs(commands[0])
	}
	if !strings.Contains(must(t, "", "status", "--json", "--operations", s.operations), `"environment":"simulator"`) {
		t.Error("status --json does not say whether it is real")
	}
	if r := sweep.signal(syscall.SIGINT); r.code != exitInterrupted {
		t.Errorf("%+v", r)
	}
	// Each command's JSON says whether the sweep is real.
	_, planned := readCSV(t, s.path("portfolio.csv"))
	journal := s.path("journal.db")
	for _, args := range [][]string{
		{"status", "--journal", journal},
		{"report", "--journal", journal, "--out", s.path("report")},
		{"audit", "--journal", journal},
		{"evidence", "--journal", journal, "--device", planned[0]["device_id"], "--out", s.path("evidence")},
		{"plan", "--config", s.path("safemode.yaml"), "--direction", s.path("direction.yaml"), "--portfolio", s.path("portfolio.csv"), "--out", s.path("again"), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key")},
	} {
		if r := safemode(t, "", append(args, "--json")...); !strings.Contains(r.out, `"environment":"simulator"`) {
			t.Errorf("%s --json does not say whether it is real, exit %d: %.300s %s", args[0], r.code, r.out, r.err)
		}
	}
	stopSim(t, sim)
}

// Each command that is advised in any state is one of this program, with all
// that it requires.
func TestAdvisedCommandsExist(t *testing.T) {
	place := advice.Place{Folder: "/srv/the night", Config: "safe mode.yaml", Plan: "plan", Journal: "journal.db", Operations: "https://ops.example:8090", Guarded: true}
	now := time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)
	quiet, room := 9000.0, uint64(1)
	all := map[string]bool{}
	for _, state := range []string{"planned", "starting", "running", "paused", "stopping", "halted", "interrupted", "open", "ceased", "finished"} {
		for _, cause := range []string{"", record.HaltGate, record.HaltJournal, record.HaltDCC} {
			for _, deadline := range []time.Time{now.Add(-time.Hour), now.Add(time.Hour)} {
				st := record.Status{
					Identity: record.Identity{Deadline: deadline}, State: state, Cause: cause, Meters: 9, Verdicts: map[string]int{"armed": 1, "not_safe": 1, "unknown": 1},
					Waiting: map[string]int{"stuck": 1, "held": 1}, Classes: map[string]int{"rejected": 1, "unverified": 1}, Quarantine: []string{"7"}, Delete: []string{"8"},
					Signer: "away", Breakers: map[string]string{"transform North": "open"}, Gates: map[string]string{"mpids": "why"}, Renewal: &[]float64{1}[0],
					Heard: []record.RegionHeard{{Region: "North", Open: 1, Silent: true}}, InboxHeard: &quiet, DiskFree: &room, DiskNeeded: 2,
					Holds: []record.HoldStatus{{Scope: "the sweep", Action: "pause"}, {Scope: "region 4G North", Action: "stop"}, {Scope: "wave 2", Action: "pause"}, {Scope: "SRV 7.3", Action: "pause"}},
				}
				advice.Judge(&st, place, now)
				for _, task := range st.ToDo {
					for _, command := range task.Commands {
						all[command] = true
					}
				}
			}
		}
	}
	if len(all) < 15 {
		t.Errorf("only %d commands are advised", len(all))
	}
	for command := range all {
		// The shell splits the words, as it will when a person pastes them.
		out, err := exec.Command("sh", "-c", "cd() { :; }; safemode() { printf '%s\\n' \"$@\"; }; "+command).Output()
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		words := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		c, rest, err := newRoot(stdio{strings.NewReader(""), io.Discard, io.Discard}).Find(words)
		if err == nil {
			err = errors.Join(c.ParseFlags(rest), c.ValidateRequiredFlags(), c.ValidateFlagGroups(), cobra.NoArgs(c, c.Flags().Args()))
		}
		if err != nil || !c.Runnable() {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// A plan that outlives its direction is warned of when it is made, fails preflight, and is
// signed only by who says that they know.
func TestPlanThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20, 5, 1)
	text, err := os.ReadFile(s.path("direction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "not_after:") {
			line = "not_after: " + time.Now().Add(2*time.Second).UTC().Format(time.RFC3339) + "\n"
		}
		lines = append(lines, line)
	}
	putFile(t, s.path("short.yaml"), []byte(strings.Join(lines, "")))
	must(t, "", "sign", s.path("short.yaml"), "--cert", s.path("pki/staff/rita.pem"), "--key", s.path("pki/staff/rita.key"))
	out := must(t, "", "plan", "--config", s.path("safemode.yaml"), "--direction", s.path("short.yaml"), "--portfolio", s.path("portfolio.csv"),
		"--out", s.path("plan"), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"))
	if !strings.Contains(out, "WARNING: it ") && !strings.Contains(out, "WARNING: the direction ended") {
		t.Errorf("plan warns of nothing:\n%s", out)
	}
	r := safemode(t, "", "preflight", "--config", s.path("safemode.yaml"), "--plan", s.path("plan"), "--journal", s.path("journal.db"))
	if r.code != exitFailed || !strings.Contains(r.out, "FAIL time: ") || !strings.Contains(r.out, "ok   environment: SIMULATOR: a drill") {
		t.Errorf("preflight, exit %d:\n%s", r.code, r.out)
	}
	approve := []string{"approve", "--plan", s.path("plan"), "--cert", s.path("pki/approvers/alice.pem"), "--key", s.path("pki/approvers/alice.key"), "--yes"}
	if r := safemode(t, "", approve...); r.code != exitRefused || r.out != "" || !strings.Contains(r.err, "WARNING: ") || !strings.Contains(r.err, "--knowing") {
		t.Errorf("by --yes alone: %+v", r)
	}
	if r := safemode(t, "", append(approve, "--knowing")...); r.code != exitDone || !strings.Contains(r.err, "WARNING: ") {
		t.Errorf("by who knows: %+v", r)
	}
}

// A sweep that a shell has started with & writes plain lines and goes on, also on a terminal
// that stops whoever writes to it from the background.
func TestInTheBackgroundOfATerminal(t *testing.T) {
	long(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash, which has job control, is not there")
	}
	background := `"$0" demo --meters 30 --out "$1" & wait $!; echo ENDED $?`
	// It fills the terminal, is stopped by its user then, and goes on in the background.
	later := `sh -c 'echo $$ >"$1.pid"; exec "$0" demo --meters 30 --speed 2400 --out "$1"' "$0" "$1"; echo STOPPED; bg %1; wait %1; echo ENDED $?`
	for name, script := range map[string]string{"a usual terminal": background, "one with tostop": "stty tostop; " + background, "put there later": later} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "demo")
			shell := exec.Command("bash", "-c", "set -m; "+script, path, out)
			shell.Env = append(os.Environ(), "TERM=xterm-256color")
			master, err := pty.StartWithSize(shell, &pty.Winsize{Rows: 24, Cols: 80})
			if err != nil {
				t.Fatal(err)
			}
			said := make(chan []byte, 1)
			go func() {
				var all []byte
				stopped := script != later
				for part := make([]byte, 4<<10); ; {
					n, err := master.Read(part)
					all = append(all, part[:n]...)
					if err != nil { // the terminal's end
						said <- all
						return
					}
					if !stopped && bytes.Contains(all, []byte("\x1b[?1049h")) {
						stopped = true
						if out, err := exec.Command("sh", "-c", `kill -TSTP "$(cat "$0.pid")"`, out).CombinedOutput(); err != nil {
							t.Errorf("%v: %s", err, out)
						}
					}
				}
			}()
			var text []byte
			select {
			case text = <-said:
			case <-time.After(longest):
				_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
				_ = shell.Process.Kill()
				master.Close()
				t.Fatalf("it does not end: stopped for its output?\n%s", <-said)
			}
			_ = shell.Wait()
			master.Close()
			if !bytes.Contains(text, []byte("ENDED 0")) || !bytes.Contains(text, []byte("SIMULATOR, finished: ")) {
				t.Error(string(text))
			}
			filled, again := bytes.Count(text, []byte("\x1b[?1049h")), bytes.Count(text, []byte("\x1b[?1049l"))
			if script == later && (filled != 1 || again < 1 || !bytes.Contains(text, []byte("in the background: lines follow"))) {
				t.Errorf("it filled the screen %d times and left it %d times:\n%s", filled, again, text)
			}
			if script != later && filled > 0 {
				t.Error("it fills a screen that is not its own")
			}
		})
	}
}
