package main

import (
	"bytes"
	"cmp"
	"context"
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
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name == "whole" {
				return *whole, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"night": makeNight, "exits": exits, "begin": beginCommand, "end": endCommand, "until": untilPrints,
			"paste": paste, "page": page, "post": postText, "late": lateDCC,
		},
	})
}

// running is the key of a script's background commands.
type running struct{}

// background is a command that runs beside the script.
type background struct {
	command *exec.Cmd
	out     output
	ended   chan struct{}
}

// at is the process of a command line, in the script's folder and with its environment.
func at(ts *testscript.TestScript, args []string) *exec.Cmd {
	name, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), string(filepath.ListSeparator))[0], args[0]))
	if err != nil {
		name = args[0]
	}
	c := exec.Command(name, args[1:]...)
	c.Args[0] = args[0]
	c.Dir, c.Env = ts.MkAbs("."), append(os.Environ(), "PATH="+ts.Getenv("PATH"), "TERM=xterm")
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

// makeNight makes a folder "night" with a rehearsal, adds lines to its configuration, has the
// plan approved by two, and goes there: night [FLAG OF init...] [-- LINE...]
func makeNight(ts *testscript.TestScript, _ bool, args []string) {
	var lines []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, lines = args[:i], args[i+1:]
	}
	do := func(args ...string) {
		exits(ts, false, append([]string{"0", "safemode"}, args...))
	}
	do(append([]string{
		"init", "night", "--rehearsal", "--dcc", ts.Getenv("DCC"), "--smki", ts.Getenv("SMKI"), "--control", ts.Getenv("CONTROL"),
		"--inbox", ts.Getenv("INBOX"), "--operations", ts.Getenv("OPERATIONS"),
	}, args...)...)
	ts.Check(ts.Chdir("night"))
	config := ts.ReadFile("safemode.yaml") + strings.Join(append(lines, ""), "\n")
	ts.Check(os.WriteFile(ts.MkAbs("safemode.yaml"), []byte(config), 0o600))
	do("sign", "direction.yaml", "--cert", "pki/staff/rita.pem", "--key", "pki/staff/rita.key")
	do("plan", "--config", "safemode.yaml", "--direction", "direction.yaml", "--portfolio", "portfolio.csv", "--out", "plan",
		"--cert", "pki/staff/olga.pem", "--key", "pki/staff/olga.key")
	for _, person := range []string{"alice", "bob"} {
		do("approve", "--config", "safemode.yaml", "--plan", "plan", "--yes", "--cert", "pki/approvers/"+person+".pem", "--key", "pki/approvers/"+person+".key")
	}
}

// beginCommand runs a command beside the script: begin NAME COMMAND... Of sim it waits until it
// serves, of sweep until it has addresses.
func beginCommand(ts *testscript.TestScript, _ bool, args []string) {
	b := &background{command: at(ts, args[1:]), ended: make(chan struct{})}
	b.command.Stdout, b.command.Stderr = &b.out, &b.out
	ts.Check(b.command.Start())
	go func() {
		defer close(b.ended)
		_ = b.command.Wait()
	}()
	ts.Defer(func() {
		_ = b.command.Process.Kill() // has ended as a rule
		<-b.ended
		ts.Logf("[%s said]\n%s", args[0], b.out.String())
	})
	ts.Value(running{}).(map[string]*background)[args[0]] = b
	waitFor(ts, args[0]+" serves", func() bool {
		select {
		case <-b.ended:
			return true
		default:
			return strings.Contains(b.out.String(), "answers ")
		}
	})
}

// endCommand waits for the end of a background command, which must have an exit code, and
// prints what it has said: end NAME CODE [SIGNAL]. With a signal, it is sent first; KILL has
// the code -1.
func endCommand(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.Value(running{}).(map[string]*background)[args[0]]
	if len(args) > 2 {
		signal := map[string]os.Signal{"INT": syscall.SIGINT, "KILL": syscall.SIGKILL}[args[2]]
		ts.Check(b.command.Process.Signal(signal))
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

// paste gives, on a terminal and in another folder, the one line that was printed last which
// holds a text, word for word, and types the sweep's id where it is asked for. It must end with
// exit code 0, or with another: paste [-exit CODE] TEXT [NAME=WHAT THE READER FILLS IN...]
func paste(ts *testscript.TestScript, _ bool, args []string) {
	want := 0
	if args[0] == "-exit" {
		want, args = number(ts, args[1]), args[2:]
	}
	line := ""
	for printed := range strings.Lines(ts.ReadFile("stdout") + ts.ReadFile("stderr")) {
		if printed = strings.TrimPrefix(strings.TrimSpace(printed), nextPrefix); strings.Contains(printed, args[0]) && strings.Contains(printed, "safemode ") {
			line = printed
			break
		}
	}
	if line == "" {
		ts.Fatalf("nothing to paste with %q", args[0])
	}
	for _, filled := range args[1:] {
		name, value, _ := strings.Cut(filled, "=")
		line = strings.ReplaceAll(line, name, value)
	}
	ts.Logf("[pasted] %s", line)
	said, code := onTerminal(ts, line)
	fmt.Fprint(ts.Stdout(), said)
	if code != want {
		ts.Fatalf("%s: exit %d, want %d\n%s", line, code, want, said)
	}
}

// onTerminal gives a command line on a terminal of 80 columns and 24 lines.
func onTerminal(ts *testscript.TestScript, line string) (said string, code int) {
	c := at(ts, []string{"sh", "-c", "exec 2>&1; " + line})
	c.Dir = os.TempDir()
	terminal, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	ts.Check(err)
	defer terminal.Close()
	var shown output
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&shown, terminal) // until its other end is closed
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Wait()
	}()
	typed := false
	waitFor(ts, line, func() bool {
		if id := askedID.FindStringSubmatch(shown.String()); id != nil && !typed {
			typed = true
			fmt.Fprintln(terminal, id[1])
		}
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	<-read
	return strings.ReplaceAll(shown.String(), "\r\n", "\n"), c.ProcessState.ExitCode()
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
