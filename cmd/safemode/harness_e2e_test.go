package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"safemode/cmd/rehearsal"
	"safemode/engine/journal/store/pgtest"
	"safemode/engine/report"
	"safemode/servicerequests/smki"
)

// The end-to-end tests run the program as a user does: processes, signals, exit
// codes, files and addresses. `go test -short` leaves the long ones out.

// longest is what any one process of a test may take, far over what it needs.
const longest = 2 * time.Minute

// built is the folder of the binary under test, which TestMain removes.
var built string

// program is the binary under test. It is built once, when the first test asks for it.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "safemode-e2e-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "safemode")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return path, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// sideBySide is how many tests run at the same time if -parallel is not given. They wait for
// processes and clocks more than they compute: one for each processor would leave those idle.
const sideBySide = 6

// whole has every test run in its long form. .ci/run gives it.
var whole = flag.Bool("whole", false, "run the long form of tests: larger sweeps, every profile and alert, programs built again")

// onlyWhole is for a test, or a part of one, that has no short form. What still covers its
// subject without -whole is said where it is called.
func onlyWhole(t *testing.T) {
	t.Helper()
	if !*whole {
		t.Skip("a long form: it runs with -whole")
	}
}

// ofWhole is a size in the short and in the long form.
func ofWhole[N int | float64](short, long N) N {
	if *whole {
		return long
	}
	return short
}

// beside has a subtest run beside others in the long form. In the short form, where it is alone or
// takes longest, it takes the turn that its parent has: one of its own would come after those of all
// other tests.
func beside(t *testing.T) {
	t.Helper()
	if *whole {
		t.Parallel()
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(sideBySide)); err != nil {
			panic(err)
		}
	}
	code := pgtest.M{M: m}.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// output collects what a process writes while a test reads it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a running safemode.
type process struct {
	t        *testing.T
	line     string
	command  *exec.Cmd
	out, err output
	ended    chan struct{} // closed once code is set
	code     int           // -1: ended by a signal
}

// start runs a command line in the background. What is still running at the end of
// the test is killed.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, exec.Command(path, args...))
}

func startCommand(t *testing.T, command *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, line: strings.Join(command.Args, " "), command: command, ended: make(chan struct{})}
	command.Stdout, command.Stderr = &p.out, &p.err
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		if err := command.Wait(); err != nil {
			p.code = command.ProcessState.ExitCode()
		}
	}()
	t.Cleanup(func() {
		_ = command.Process.Kill() // has ended as a rule
		<-p.ended
	})
	return p
}

// wait is the process's end.
func (p *process) wait() commandResult {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(longest):
		p.t.Fatalf("%s: still running after %v: %s", p.line, longest, p.err.String())
	}
	r := commandResult{p.code, p.out.String(), p.err.String()}
	for _, sign := range []string{"panic", "goroutine ", "DATA RACE"} {
		if strings.Contains(r.err, sign) {
			p.t.Errorf("%s: standard error holds %q: %.2000s", p.line, sign, r.err)
		}
	}
	return r
}

// signal sends a signal and waits for the end.
func (p *process) signal(s syscall.Signal) commandResult {
	p.t.Helper()
	if err := p.command.Process.Signal(s); err != nil {
		p.t.Fatalf("%s: %v: %s", p.line, err, p.err.String())
	}
	return p.wait()
}

// succeeds waits for an end with exit code 0.
func (p *process) succeeds() commandResult {
	p.t.Helper()
	r := p.wait()
	if r.code != exitDone {
		p.t.Fatalf("%s: exit %d: %s", p.line, r.code, r.err)
	}
	return r
}

// until waits for a condition while a process runs. It asks twenty times a second, so that
// asking costs little beside what is asked of.
func (p *process) until(what string, holds func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(longest); ; time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
		select {
		case <-p.ended:
			p.t.Fatalf("%s: ended with %d before %s: %s", p.line, p.code, what, p.err.String())
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not %s after %v: %s", p.line, what, longest, p.err.String())
		}
	}
}

// says checks how a command ended: code, and one line of its own that holds all
// words. Other lines are talk.
func (r commandResult) says(t *testing.T, code int, words ...string) {
	t.Helper()
	var own []string
	for line := range strings.Lines(r.err) {
		if strings.HasPrefix(line, "safemode: ") {
			own = append(own, line)
		}
	}
	if r.code != code || len(own) != 1 || !strings.HasSuffix(r.err, own[0]) {
		t.Errorf("exit %d, want %d and one line that begins with safemode, at the end: %s", r.code, code, r.err)
		return
	}
	for _, word := range words {
		if !strings.Contains(own[0], word) {
			t.Errorf("said %q, want %q in it", own[0], word)
		}
	}
}

// scene is what an operator has on the night: certificates, a fleet behind a
// simulated DCC, a portfolio, a direction and a configuration.
type scene struct {
	dir                                    string
	seed                                   uint64
	meters                                 int
	speed                                  float64
	duis, smki, control, inbox, operations string // host:port

	settings []string // of its programs' environment, beside the test's own
}

// start runs a command line in the background, with the scene's settings.
func (s *scene) start(t *testing.T, args ...string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, args...)
	command.Env = append(os.Environ(), s.settings...)
	return startCommand(t, command)
}

func (s *scene) path(name string) string { return filepath.Join(s.dir, name) }

// newScene makes a scene. Its configuration has the demo's policy and pace.
func newScene(t *testing.T, meters int, seed uint64, speed float64) *scene {
	t.Helper()
	s := &scene{dir: t.TempDir(), seed: seed, meters: meters, speed: speed}
	for _, address := range []*string{&s.duis, &s.smki, &s.control, &s.inbox, &s.operations} {
		*address = freeAddress(t)
	}
	number := fmt.Sprint(seed)
	must(t, "", "pki", "init", "--out", s.path("pki"), "--seed", number)
	generateFleet(t, s.dir, "--meters", fmt.Sprint(meters), "--seed", number)
	if err := rehearsal.WriteDirection(s.path("direction.yaml"), smki.TestSupplier, meters, time.Now().UTC().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(s.path("custody"), 0o700), signFile(s.path("direction.yaml"), s.path("pki/staff/rita"))); err != nil {
		t.Fatal(err)
	}
	s.configure(t, "safemode.yaml")
	return s
}

// configure writes the scene's configuration with some text replaced, and returns
// its path.
func (s *scene) configure(t *testing.T, name string, replacements ...string) string {
	t.Helper()
	c := rehearsal.Config(s.speed)
	text := fmt.Sprintf(`environment: simulator
dcc:
  url: http://%s
  smki_url: http://%s
  transform_certificates: [pki/dcc/transform.pem]
  xml_signing_certificates: [pki/dcc/xml-signing.pem]
  authorities: [pki/ca/root.pem, pki/ca/issuing.pem, pki/ca/device-issuing.pem]
identities:
  - eui: %v
    pki_dir: pki
inbox: {listen: %s}
operations: {listen: %s}
custody_dir: custody
roster: {file: pki/roster.yaml, signed_by: pki/staff/rita.pem}
simulator_clock: {speed: %g}
limits:
  user: {per_second: %g, burst: %d}
  regions:
`, s.duis, s.smki, smki.TestSupplier, s.inbox, s.operations, s.speed, c.Limits.User.PerSecond, c.Limits.User.Burst)
	for region, rate := range c.Limits.Regions {
		text += fmt.Sprintf("    %s: {per_second: %g, burst: %d}\n", region, rate.PerSecond, rate.Burst)
	}
	if s.speed > 100 {
		// No wave's rule pauses the sweep for want of answers. While it is paused, cut off or held
		// up by a busy machine such a clock runs on, and what is under way comes too late.
		text += "waves: {abort: {no_response: {ratio: 1, min_sample: 20, action: pause}}}\n"
	}
	if rehearsal.Morning(time.Now()) {
		text += rehearsal.LateWindowEnds + "\n"
	}
	p := c.Policy
	list := func(ladder []time.Duration) string {
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(ladder), "[]"), " ", ", ")
	}
	text += fmt.Sprintf(`policy:
  read_wait: %v
  arm_freshness_electricity: %v
  arm_freshness_gas: %v
  response_wait_electricity: %v
  dark_wait_electricity: %v
  retry_electricity: [%s]
  retry_gas: [%s]
`, p.ReadWait, p.ArmFreshnessElectricity, p.ArmFreshnessGas, p.ResponseWaitElectricity, p.DarkWaitElectricity, list(p.RetryElectricity), list(p.RetryGas))
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("%q is not in the configuration", replacements[i])
		}
	}
	return putFile(t, s.path(name), []byte(strings.NewReplacer(replacements...).Replace(text)))
}

// freeAddress is a loopback address that nobody listened at a moment ago. It is below the
// ports that connections are given, so that none of another test takes it meanwhile, and in a
// block that no other process of these tests has.
func freeAddress(t *testing.T) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	for ports.next != ports.end || ports.claim() {
		address := fmt.Sprintf("127.0.0.1:%d", ports.next)
		ports.next++
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// ports are those of one block after the other.
var ports portBlocks

type portBlocks struct {
	sync.Mutex
	next, end int
	held      []net.Listener // a name for each block: it is free again when this process ends
}

// claim takes another block.
func (p *portBlocks) claim() bool {
	const blocks, size, first = 120, 100, 20_000
	for n := range blocks {
		if l, err := net.Listen("unix", fmt.Sprintf("@safemode tests, ports %d", n)); err == nil {
			p.held = append(p.held, l)
			p.next, p.end = first+n*size, first+(n+1)*size
			return true
		}
	}
	return false
}

// sim starts the scene's simulated DCC and waits until it serves.
func (s *scene) sim(t *testing.T, args ...string) *process {
	t.Helper()
	p := s.start(t, append([]string{
		"sim", "--fleet", s.path("fleet.csv"), "--pki", s.path("pki"), "--listen", s.duis, "--smki-listen", s.smki,
		"--control", s.control, "--respond-to", "http://" + s.inbox + "/smartdcc/duis", "--speed", fmt.Sprint(s.speed),
	}, args...)...)
	p.until("serving", func() bool { return strings.Contains(p.err.String(), "answers go to") })
	return p
}

// plan makes a plan with the command, has it approved by two, and returns its folder.
func (s *scene) plan(t *testing.T, name, config, direction string) string {
	t.Helper()
	dir := s.unapproved(t, name, config, direction)
	s.approve(t, name, "alice", "--resumes", "100")
	s.approve(t, name, "bob", "--resumes", "100")
	return dir
}

// unapproved makes a plan with the command, of a direction that is signed for it.
func (s *scene) unapproved(t *testing.T, name, config, direction string) string {
	t.Helper()
	must(t, "", "sign", s.path(direction), "--cert", s.path("pki/staff/rita.pem"), "--key", s.path("pki/staff/rita.key"))
	must(t, "", "plan", "--config", s.path(config), "--direction", s.path(direction), "--portfolio", s.path("portfolio.csv"),
		"--out", s.path(name), "--cert", s.path("pki/staff/olga.pem"), "--key", s.path("pki/staff/olga.key"))
	return s.path(name)
}

// approve has a test person approve a plan, and returns the approval's file.
func (s *scene) approve(t *testing.T, plan, person string, args ...string) string {
	t.Helper()
	r := safemode(t, "", append([]string{
		"approve", "--plan", s.path(plan), "--yes", "--knowing",
		"--cert", s.path("pki/approvers/" + person + ".pem"), "--key", s.path("pki/approvers/" + person + ".key"),
	}, args...)...)
	if r.code != exitDone {
		t.Fatalf("approve: exit %d: %s", r.code, r.err)
	}
	path, _, _ := strings.Cut(r.out, ": ")
	return path
}

// accept has two approve that a restored journal is gone on with, and takes it.
func (s *scene) accept(t *testing.T, plan, journal string) {
	t.Helper()
	take := []string{"custody", "accept", "--config", s.path("safemode.yaml"), "--plan", s.path(plan), "--journal", s.path(journal), "--by", "A. Person"}
	for have, person := range map[string]string{"nobody has signed": "alice", "one has signed (alice)": "bob"} {
		_ = have
		s.approve(t, plan, person, "--accept", "--config", s.path("safemode.yaml"), "--journal", s.path(journal))
	}
	must(t, "", take...)
}

// nextSecond waits for it: approvals, and the names of their files, have whole seconds.
func nextSecond() { time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) }

func (s *scene) sweepArgs(config, plan, journal string) []string {
	return []string{"sweep", "--config", s.path(config), "--plan", s.path(plan), "--journal", s.path(journal)}
}

// sweep starts the scene's sweep.
func (s *scene) sweep(t *testing.T) *process {
	t.Helper()
	return s.start(t, s.sweepArgs("safemode.yaml", "plan", "journal.db")...)
}

// report is the summary and the meters of a journal.
func (s *scene) report(t *testing.T, journal string) (report.Summary, []meterLine) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "report")
	summary := parseSummary(t, must(t, "", "report", "--journal", s.path(journal), "--out", out, "--json"))
	return summary, readMeters(t, out)
}

// requests is how many Service Requests the simulated DCC was sent.
func (s *scene) requests(t *testing.T) float64 {
	t.Helper()
	return sumOf(scrape(t, s.control), "devicesim_requests_total")
}

// untilSent waits until the running sweep has sent so many more.
func (s *scene) untilSent(t *testing.T, p *process, more float64) {
	t.Helper()
	sent := s.requests(t)
	p.until("sending", func() bool { return s.requests(t) >= sent+more })
}

// get reads a URL.
func get(t *testing.T, url string) []byte {
	t.Helper()
	body, err := tryGet(url)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func tryGet(url string) ([]byte, error) {
	reply, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = errors.New(url + ": " + reply.Status)
	}
	return body, err
}

// scrape reads the metrics of an address: a value for each line, by its name with labels.
func scrape(t *testing.T, address string) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(string(get(t, "http://"+address+"/metrics"))) {
		name, value, ok := cutLast(strings.TrimSpace(line), " ")
		var number float64
		if _, err := fmt.Sscan(value, &number); ok && err == nil && name[0] != '#' {
			values[name] = number
		}
	}
	return values
}

func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// sumOf adds up a metric over all its labels.
func sumOf(values map[string]float64, name string) (sum float64) {
	for full, value := range values {
		if full == name || strings.HasPrefix(full, name+"{") {
			sum += value
		}
	}
	return sum
}

// parseSummary reads the one line of JSON that a command printed.
func parseSummary(t *testing.T, out string) (s report.Summary) {
	t.Helper()
	if strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
		t.Fatalf("standard output is not one line: %q", out)
	}
	decoder := json.NewDecoder(strings.NewReader(out))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}
