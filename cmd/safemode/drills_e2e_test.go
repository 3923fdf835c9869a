package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestDrills runs the drills of testdata/drills: each brings a night into one kind of trouble,
// reads what is said first, and pastes what is advised.
func TestDrills(t *testing.T) {
	long(t)
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/drills",
		Setup: func(env *testscript.Env) error {
			env.Values[running{}] = map[string]*background{}
			for _, name := range []string{"DCC", "SMKI", "CONTROL", "INBOX", "OPERATIONS", "SPARE"} {
				env.Setenv(name, freeAddress(t))
			}
			env.Setenv("PATH", filepath.Dir(path)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("TERM", "xterm")
			env.Setenv("SOON", time.Now().UTC().Add(2*time.Hour).Format(time.RFC3339))
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "whole":
				return *whole, nil
			case "mounts": // file systems, in a namespace of its own
				return exec.Command("unshare", "--map-root-user", "--mount", "true").Run() == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: commands{
			"night": makeNight, "folder": makeFolder, "approved": approvePlan, "sim": beginSim, "sweep": beginSweep, "exits": exits, "begin": beginCommand, "end": endCommand, "until": untilPrints,
			"paste": paste, "page": page, "post": postText, "late": lateDCC,
			"release": releaseAll, "disk": smallDisk,
		}.notNegated(),
	})
}

// running is the key of a script's background commands.
type running struct{}

// background is a command that runs beside the script.
type background struct {
	command *exec.Cmd
	out     output
	ended   chan struct{}

	terminal *os.File      // nil: it has none
	read     chan struct{} // closed once all is read that came to it
}

// at is the process of a command line, in the script's folder and with its environment.
func at(ts *testscript.TestScript, args []string) *exec.Cmd {
	name, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), string(filepath.ListSeparator))[0], args[0]))
	if err != nil {
		name = args[0]
	}
	c := exec.Command(name, args[1:]...)
	c.Args[0] = args[0]
	if within := ts.Getenv("WITHIN"); within != "" { // see smallDisk
		c = exec.Command("nsenter", append([]string{"--target", within, "--user", "--mount", "--preserve-credentials", "--wdns=" + ts.MkAbs(".")}, args...)...)
	}
	c.Dir, c.Env = ts.MkAbs("."), append(os.Environ(), "PATH="+ts.Getenv("PATH"), "TERM=xterm", "OPERATIONS="+ts.Getenv("OPERATIONS"))
	return c
}

// exits runs a command, which must end with an exit code: exits CODE COMMAND...
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want := number(ts, args[0])
	c := at(ts, args[1:])
	var out, talk bytes.Buffer
	c.Stdout, c.Stderr = io.MultiWriter(ts.Stdout(), &out), io.MultiWriter(ts.Stderr(), &talk)
	_ = c.Run()
	if code := c.ProcessState.ExitCode(); code != want {
		ts.Fatalf("exit %d, want %d\n%s%s", code, want, out.String(), talk.String())
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

// makeNight makes a folder "night" with a rehearsal of which the plan is approved by two, and
// goes there: night [FLAG OF init...] [-- LINE OF THE CONFIGURATION...]
func makeNight(ts *testscript.TestScript, _ bool, args []string) {
	makeFolder(ts, false, args)
	approvePlan(ts, false, nil)
}

// makeFolder is makeNight but for the plan: folder [FLAG...] [-- LINE...]. It sets SECONDS: when
// a sweep that is planned and begun at once has sent for some seconds, by how fast this was.
func makeFolder(ts *testscript.TestScript, _ bool, args []string) {
	begun := time.Now()
	defer func() {
		ts.Setenv("SECONDS", time.Now().Add(4*time.Second+8*time.Since(begun)).UTC().Format(time.RFC3339))
	}()
	var lines []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, lines = args[:i], args[i+1:]
	}
	exits(ts, false, append([]string{
		"0", "safemode", "init", "night", "--rehearsal", "--dcc", ts.Getenv("DCC"), "--smki", ts.Getenv("SMKI"), "--control", ts.Getenv("CONTROL"),
		"--inbox", ts.Getenv("INBOX"), "--operations", ts.Getenv("OPERATIONS"),
	}, args...))
	ts.Check(ts.Chdir("night"))
	config := ts.ReadFile("safemode.yaml") + strings.Join(append(lines, ""), "\n")
	ts.Check(os.WriteFile(ts.MkAbs("safemode.yaml"), []byte(config), 0o600))
}

// approvePlan makes the night's plan, and has it approved by two: approved
func approvePlan(ts *testscript.TestScript, _ bool, _ []string) {
	exits(ts, false, strings.Fields("0 safemode plan --config safemode.yaml --direction direction.yaml --portfolio portfolio.csv --out plan --cert pki/staff/olga.pem --key pki/staff/olga.key"))
	for _, person := range []string{"alice", "bob"} {
		exits(ts, false, strings.Fields("0 safemode approve --config safemode.yaml --plan plan --yes --knowing --cert pki/approvers/"+person+".pem --key pki/approvers/"+person+".key"))
	}
}

// beginSim begins the night's simulated DCC: sim [FLAG...]
func beginSim(ts *testscript.TestScript, _ bool, args []string) {
	beginCommand(ts, false, append([]string{
		"sim", "safemode", "sim", "--fleet", "fleet.csv", "--pki", "pki", "--speed", "300", "--listen", ts.Getenv("DCC"), "--smki-listen", ts.Getenv("SMKI"),
		"--control", ts.Getenv("CONTROL"), "--respond-to", "http://" + ts.Getenv("INBOX") + "/smartdcc/duis",
	}, args...))
}

// beginSweep begins the night's sweep, and waits until it sends: sweep
func beginSweep(ts *testscript.TestScript, _ bool, _ []string) {
	beginCommand(ts, false, []string{"sweep", "safemode", "sweep", "--config", "safemode.yaml", "--plan", "plan", "--journal", "journal.db"})
	untilPrints(ts, false, []string{`first contact +electricity: [1-9]`, "safemode", "status", "--operations", ts.Getenv("OPERATIONS")})
}

// beginCommand runs a command beside the script: begin NAME COMMAND... Of sim it waits until it
// serves, of sweep until it has addresses.
func beginCommand(ts *testscript.TestScript, _ bool, args []string) {
	b := &background{command: at(ts, args[1:]), ended: make(chan struct{})}
	b.command.Stdout, b.command.Stderr = &b.out, &b.out
	ts.Check(b.command.Start())
	b.runs(ts, args[0])
}

// runs waits for the end of a command that has begun, and, under a name, until it has addresses.
func (b *background) runs(ts *testscript.TestScript, name string) {
	go func() {
		defer close(b.ended)
		_ = b.command.Wait()
	}()
	ts.Defer(func() {
		if b.terminal != nil {
			_ = syscall.Kill(-b.command.Process.Pid, syscall.SIGKILL) // a session of its own; has ended as a rule
			_ = b.terminal.Close()
		}
		_ = b.command.Process.Kill()
		<-b.ended
		ts.Logf("[%s said]\n%s", name, b.out.String())
	})
	if name != "" {
		ts.Value(running{}).(map[string]*background)[name] = b
		waitFor(ts, name+" serves", func() bool { return b.hasEnded() || strings.Contains(b.out.String(), "answers") })
	}
}

func (b *background) hasEnded() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// endCommand waits for the end of a background command, which must have an exit code, and
// prints what it has said: end NAME CODE [SIGNAL]. With a signal, it is sent first; KILL has
// the code -1.
func endCommand(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.Value(running{}).(map[string]*background)[args[0]]
	if len(args) > 2 {
		ts.Check(b.command.Process.Signal(map[string]os.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[args[2]]))
	}
	select {
	case <-b.ended:
	case <-time.After(longest):
		ts.Fatalf("%s runs still: %s", args[0], b.out.String())
	}
	fmt.Fprint(ts.Stdout(), b.out.String())
	if code := b.command.ProcessState.ExitCode(); code != number(ts, args[1]) {
		ts.Fatalf("%s: exit %d: %s", args[0], code, b.out.String())
	}
}

func waitFor(ts *testscript.TestScript, what string, holds func() bool) {
	for deadline := time.Now().Add(longest); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("not after %v: %s", longest, what)
		}
	}
}

// untilPrints gives a command again and again until what it prints matches: until PATTERN COMMAND...
func untilPrints(ts *testscript.TestScript, _ bool, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	var out []byte
	defer func() { _, _ = ts.Stdout().Write(out) }()
	waitFor(ts, args[0], func() bool {
		out, _ = at(ts, args[1:]).CombinedOutput()
		return pattern.Match(out)
	})
}

// paste gives, on a terminal and in another folder, the first line of what was printed last
// that is a command and holds a text, word for word, and types the sweep's id where it is asked
// for. It must end with exit code 0; with -begin it runs beside the script under a name:
// paste [-begin NAME] TEXT [CAPITALS=WHAT THE READER FILLS IN...]
func paste(ts *testscript.TestScript, _ bool, args []string) {
	name := ""
	if args[0] == "-begin" {
		name, args = args[1], args[2:]
	}
	line := ""
	for printed := range strings.Lines(ts.ReadFile("stdout") + ts.ReadFile("stderr")) {
		printed = strings.TrimPrefix(strings.TrimSpace(printed), nextPrefix)
		if command := strings.HasPrefix(printed, "safemode ") || strings.HasPrefix(printed, "cd "); command && strings.Contains(printed, args[0]) {
			line = printed
			break
		}
	}
	if line == "" {
		ts.Fatalf("nothing to paste with %q", args[0])
	}
	for _, filled := range args[1:] {
		capitals, value, _ := strings.Cut(filled, "=")
		line = strings.ReplaceAll(line, capitals, value)
	}
	ts.Logf("[pasted] %s", line)
	b := onTerminal(ts, line)
	b.runs(ts, name)
	if name != "" {
		return
	}
	typed := false
	waitFor(ts, line, func() bool {
		if id := askedID.FindStringSubmatch(b.out.String()); id != nil && !typed {
			typed = true
			fmt.Fprintln(b.terminal, id[1])
		}
		return b.hasEnded()
	})
	<-b.read
	said := strings.ReplaceAll(b.out.String(), "\r\n", "\n")
	fmt.Fprint(ts.Stdout(), said)
	if code := b.command.ProcessState.ExitCode(); code != 0 {
		ts.Fatalf("%s: exit %d\n%s", line, code, said)
	}
}

// onTerminal begins a command line on a terminal of 80 columns and 24 lines.
func onTerminal(ts *testscript.TestScript, line string) *background {
	b := &background{command: at(ts, []string{"sh", "-c", "exec 2>&1; cd /; " + line}), ended: make(chan struct{}), read: make(chan struct{})}
	var err error
	b.terminal, err = pty.StartWithSize(b.command, &pty.Winsize{Rows: 24, Cols: 80})
	ts.Check(err)
	go func() {
		defer close(b.read)
		_, _ = io.Copy(&b.out, b.terminal) // until its other end is closed
	}()
	return b
}

// askedID finds the sweep's id where it is to be typed.
var askedID = regexp.MustCompile(`(?s)sweep ([0-9a-f]{12}).*type the sweep's id`)

var (
	hidden = regexp.MustCompile(`(?s)<(style|script|svg|head)\b.*?</(style|script|svg|head)>`)
	tags   = regexp.MustCompile(`(?s)<[^>]*>`)
	blank  = regexp.MustCompile(`\s*\n\s*`)
)

// page prints the text of the sweep's page, or of another: page [PATH]
func page(ts *testscript.TestScript, _ bool, args []string) {
	body, err := tryGet("http://" + ts.Getenv("OPERATIONS") + cmp.Or(strings.Join(args, ""), "/"))
	ts.Check(err)
	text := tags.ReplaceAllString(hidden.ReplaceAllString(string(body), ""), "\n")
	fmt.Fprintln(ts.Stdout(), strings.TrimSpace(blank.ReplaceAllString(html.UnescapeString(text), "\n")))
}

// postText posts a file, or nothing, to the simulator's control address: post PATH [FILE]
func postText(ts *testscript.TestScript, _ bool, args []string) {
	text := ""
	if len(args) > 1 {
		text = ts.ReadFile(args[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	status, err := post(ctx, http.DefaultClient, "http://"+ts.Getenv("CONTROL")+args[0], text)
	if err == nil && status >= 300 {
		err = errors.New(http.StatusText(status))
	}
	ts.Check(err)
}

// releaseAll has the simulated DCC release all that its anomaly detection holds back: release
func releaseAll(ts *testscript.TestScript, _ bool, _ []string) {
	body, err := tryGet("http://" + ts.Getenv("CONTROL") + "/sim/v1/quarantine")
	ts.Check(err)
	var held []struct {
		Ref string `json:"quarantine_event_ref"`
	}
	ts.Check(json.Unmarshal(body, &held))
	for _, q := range held {
		postText(ts, false, []string{"/sim/v1/quarantine/" + q.Ref + "/release"})
	}
}

// smallDisk mounts a disk of a size at a folder, or gives it that size; from then on the
// script's commands see it: disk SIZE FOLDER
func smallDisk(ts *testscript.TestScript, _ bool, args []string) {
	folder := ts.MkAbs(args[1])
	if ts.Getenv("WITHIN") != "" {
		exits(ts, false, []string{"0", "mount", "-o", "remount,size=" + args[0], folder})
		return
	}
	holder := exec.Command("unshare", "--map-root-user", "--mount", "sh", "-c", `mount -t tmpfs -o size="$1" tmpfs "$2" && echo answers && exec sleep 600`, "sh", args[0], folder)
	b := &background{command: holder, ended: make(chan struct{})}
	holder.Stdout, holder.Stderr = &b.out, &b.out
	ts.Check(holder.Start())
	b.runs(ts, "disk")
	ts.Setenv("WITHIN", strconv.Itoa(holder.Process.Pid))
}

// lateDCC is a way to the DCC, at the address SPARE, whose clock says so much later there:
// late DURATION
func lateDCC(ts *testscript.TestScript, _ bool, args []string) {
	by, err := time.ParseDuration(args[0])
	ts.Check(err)
	server, err := dccWithClock("http://"+ts.Getenv("DCC"), by)
	ts.Check(err)
	ts.Defer(server.Close)
	ts.Setenv("LATE", server.Listener.Addr().String())
}

// dccWithClock is a way to a DCC whose clock says so much later there.
func dccWithClock(dcc string, by time.Duration) (*httptest.Server, error) {
	to, err := url.Parse(dcc)
	if err != nil {
		return nil, err
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
		return nil
	}
	return httptest.NewServer(proxy), nil
}
