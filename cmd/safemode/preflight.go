package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"safemode/config"
	"safemode/engine"
	"safemode/engine/console"
	"safemode/engine/custody"
	"safemode/engine/direction"
	"safemode/engine/directory"
	"safemode/engine/durable"
	"safemode/engine/inbox"
	"safemode/engine/journal"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests/safefile"
	"safemode/servicerequests/smki"
)

func newPreflight(io stdio) *cobra.Command {
	var configPath, planDir, journalPath string
	var asJSON, probe bool
	c := &cobra.Command{
		Use:   "preflight --config FILE [--plan DIR] [--journal FILE]",
		Short: "What would fail tonight, a line each",
		Long: `Looks at everything a sweep rests on and prints a line for each: ok, or FAIL with the
reason and what to do. It signs nothing, sends no Service Request (but with --probe) and
takes no counters. With --plan it looks at the direction, the approvals and the thresholds as
well, with --journal at the place of the journal. With --probe it also holds our
certificates and the DCC's against what the SMKI service lists, sees that the DCC
refuses what is no request, and asks its inventory (8.2) about one planned device, if the
sweep might begin now: what the simulator and the engine take for granted alike. That is
a signed Service Request; it reaches no home and takes no counter of the custody.
Exit 0 only if all holds.`,
		Example: `  safemode preflight --config safemode.yaml --plan plan --journal journal.db`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f := &preflight{ctx: c.Context(), journal: journalPath, probe: probe}
			f.run(configPath, planDir)
			if c.Context().Err() != nil {
				return failWith(exitInterrupted, errors.New("interrupted"))
			}
			if err := f.report(io, asJSON); err != nil || planDir == "" {
				return err
			}
			w := wayHere(io)
			over(&w.Config, configPath)
			over(&w.Plan, planDir)
			over(&w.Journal, journalPath)
			w.say(io, w.place().Sweep())
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&probe, "probe", false, "also try on the DCC what can be tried without touching a home")
	f.StringVar(&configPath, "config", "", "configuration file")
	f.StringVar(&planDir, "plan", "", "folder of the frozen plan")
	f.StringVar(&journalPath, "journal", "journal.db", "where the sweep's journal is or will be: "+journalFlag)
	f.BoolVar(&asJSON, "json", false, "one line of JSON")
	_ = c.MarkFlagRequired("config")
	return c
}

// finding is one line.
type finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // what was seen, or why it would fail and what to do
}

// preflight looks at what a sweep rests on.
type preflight struct {
	ctx      context.Context
	journal  string
	probe    bool
	conf     *config.Config
	plan     *plan.Plan
	options  engine.Options
	findings []finding
}

// hold notes one thing. The remedy is added to an error.
func (f *preflight) hold(name, detail string, err error, remedy string) bool {
	if err != nil {
		detail = strings.ReplaceAll(err.Error(), "\n", "; ")
		if remedy != "" {
			detail += ": " + remedy
		}
	}
	f.findings = append(f.findings, finding{name, err == nil, detail})
	return err == nil
}

func (f *preflight) report(io stdio, asJSON bool) error {
	failed := 0
	for _, v := range f.findings {
		if !v.OK {
			failed++
		}
	}
	if asJSON {
		if err := printJSON(io.out, f.findings); err != nil {
			return err
		}
	} else {
		for _, v := range f.findings {
			word := "ok  "
			if !v.OK {
				word = "FAIL"
			}
			fmt.Fprintf(io.out, "%s %s: %s\n", word, v.Name, v.Detail)
		}
	}
	if failed > 0 {
		return failWith(exitFailed, fmt.Errorf("%d of %d checks fail", failed, len(f.findings)))
	}
	return nil
}

func (f *preflight) run(configPath, planDir string) {
	var err error
	f.conf, err = loadConfig(configPath)
	if !f.hold("configuration", fmt.Sprintf("%s is valid", configPath), err, "see safemode check-config") {
		return
	}
	f.hold("environment", record.Identity{Environment: string(f.conf.Environment)}.Banner(), nil, "")
	f.plan = &plan.Plan{Header: plan.Header{Environment: string(f.conf.Environment)}}
	if planDir != "" {
		p, err := loadPlan(planDir)
		if f.hold("plan", fmt.Sprintf("%s is whole", planDir), err, "plan anew") {
			f.plan = p
			f.findings[len(f.findings)-1].Detail = fmt.Sprintf("sweep %s, %d meters, prepared by %s", p.SweepID(), p.Counts.Targets, quoted(p.PreparedBy.Name))
		}
	}
	f.files()
	f.certificates()
	f.roster()
	start := f.start(planDir)
	if f.plan.SHA256 != "" {
		f.planned()
	}
	f.gates(start.Now)
	f.dcc(start)
	f.addresses()
	f.custody(start.Counters)
	f.disk()
}

// start notes what the start itself would say of what lies on this machine.
func (f *preflight) start(planDir string) engine.Foreseen {
	planned, approvals := f.plan.SHA256 != "", error(nil)
	if planned {
		f.options.Approvals, approvals = direction.LoadApprovals(planDir)
	}
	f.options.Gates = gatesOf(f.conf, &f.options)
	f.options.ApprovalsAtMost = f.conf.Roster.ApprovalsAtMost
	if planned {
		f.options.Wider = fitsPlan(f.conf, f.plan)
	}
	_ = f.options.Gates.Look(f.ctx) // what could not be read closes its gate, and is said there
	v := engine.Foresee(f.ctx, f.options)
	f.hold("keys", "they go with the environment, the identities and the addresses", v.Keys, "")
	f.hold("journal "+f.journal, "can be begun, or gone on with", v.Journal, "")
	if f.options.Checkpoints.Path != "" {
		f.hold("checkpoints", f.options.Checkpoints.Path+" pins this journal", v.Checkpoints, "")
	}
	if planned {
		f.hold("direction", fmt.Sprintf("%s, until %s", quoted(f.plan.Direction.Reference), f.plan.Direction.NotAfter.Format(time.RFC3339)), v.Authority, "")
		v.Approvals = errors.Join(approvals, v.Approvals)
		if f.options.Roster != nil { // else the line before says so
			f.hold("approvals", fmt.Sprintf("it may begin or go on until %s, and after %d stops more", v.Until.UTC().Format(time.RFC3339), v.Resumes), v.Approvals, "safemode approve")
		}
	}
	return v
}

// files reads every file that the configuration names, as a sweep would.
func (f *preflight) files() {
	var err error
	f.options, err = engineOptions(f.conf, f.plan, f.journal, zap.NewNop())
	f.hold("files", "every file that the configuration names can be read", err, "put it there, readable by this user alone")
	if f.conf.Signer.Set() {
		f.signer()
		return
	}
	for _, id := range f.conf.Identities {
		var faults []error
		for _, name := range []string{"xml-signing", "digital-signing", "key-agreement"} {
			faults = append(faults, checkPrivate(filepath.Join(id.PKIDir, "supplier", name+".key")))
		}
		f.hold(fmt.Sprintf("keys of %v", id.EUI), "present, paired with their certificates, readable by their owner alone", errors.Join(faults...), "")
	}
}

// signer asks the process that has the keys.
func (f *preflight) signer() {
	if f.options.Signer == nil {
		return // files says why
	}
	ctx, cancel := context.WithTimeout(f.ctx, 15*time.Second)
	defer cancel()
	about, err := f.options.Signer.About(ctx)
	for _, id := range f.conf.Identities {
		if err == nil && !slices.Contains(about.Identities, id.EUI) {
			err = fmt.Errorf("it has no keys of %v", id.EUI)
		}
	}
	switch {
	case err != nil:
	case f.plan.SHA256 != "" && about.PlanSHA256 != f.plan.SHA256:
		err = fmt.Errorf("it has plan %.12s..., and this is %.12s...", about.PlanSHA256, f.plan.SHA256)
	case about.Stopped != "":
		err = errors.New(about.Stopped)
	}
	if !f.hold("signer", fmt.Sprintf("answers, has this plan, %d records in its log, %d refusals since it was opened", about.Records, about.Refused), err, "start it with this plan (safemode signer serve)") {
		return
	}
	if len(about.Unchecked) > 0 {
		err = fmt.Errorf("the key agreement of %v checks no MAC: no read is proven, and every verdict that rests on one is unknown", about.Unchecked)
	}
	f.hold("MACs of reads", "the signer's keys check them", err, "import the key agreement key where the module gives the secret or derives the key (pkcs11.agreement)")
}

// certificates holds every certificate to its role, chain, environment and time.
func (f *preflight) certificates() {
	environment := string(f.conf.Environment)
	check := func(what string, c *smki.Certificate, purpose smki.Purpose) {
		if c == nil {
			return // files says why
		}
		err := engine.CheckCertificate(c, purpose, environment, f.options.DCC.Authorities)
		detail := fmt.Sprintf("serial %s, until %s", c.SerialText(), c.NotAfter.Format(time.DateOnly))
		if f.conf.Gates.CheckExpiry || f.conf.Environment == config.Live {
			const night = 24 * time.Hour
			err = errors.Join(err, c.CheckValidAt(time.Now()), c.CheckValidAt(time.Now().Add(night)))
		}
		f.hold(what, detail, err, "install the right certificate and its chain (dcc.authorities)")
	}
	for _, id := range f.options.Identities {
		check(fmt.Sprintf("XML signing certificate of %v", id.EUI), id.XMLSigning.Certificate, smki.SignsRequests)
		check(fmt.Sprintf("digital signing certificate of %v", id.EUI), id.DigitalSigning.Certificate, smki.SignsPreCommands)
		check(fmt.Sprintf("key agreement certificate of %v", id.EUI), id.KeyAgreement.Certificate, smki.SupplierAgrees)
	}
	for _, c := range f.options.DCC.Transform {
		check("the DCC's Transform certificate", c, smki.SignsResponses)
	}
	for _, c := range f.options.DCC.XMLSigning {
		check("the DCC's XML signing certificate", c, smki.SignsResponses)
	}
}

func (f *preflight) roster() {
	roster, err := loadRoster(f.conf)
	f.options.Roster = roster
	approvers := 0
	switch {
	case err != nil:
	case roster == nil:
		err = errors.New("the configuration names none")
	default:
		err = roster.CheckEnvironment(string(f.conf.Environment))
		for i := range roster.People {
			if roster.People[i].May(direction.Approver) {
				approvers++
			}
		}
		if approvers < 2 {
			err = errors.Join(err, fmt.Errorf("%d approvers", approvers))
		}
	}
	f.hold("roster", fmt.Sprintf("signed as pinned, %d approvers", approvers), err, "name two approvers or more in a roster that is signed (roster)")
}

// planned looks at what a plan needs to be swept.
func (f *preflight) planned() {
	p := f.plan
	if list := f.options.Suppressed; list != nil {
		said, err := plannedOf(p, list)
		f.hold("suppress_file "+f.conf.SuppressFile, said, err, "")
	}
	if t := f.options.Transfers; t.Path != "" {
		foreseen, err := t.Foresee(p)
		f.hold("transfers "+t.Path, foreseen.String(), err, "have the list made again")
	}
	f.hold("limits", "the configuration allows no more than the plan", fitsPlan(f.conf, p), "")
	var doubts []error
	for _, doubt := range p.Doubts(laterOf(time.Now(), p.StartsAt)) {
		doubts = append(doubts, errors.New(doubt))
	}
	f.hold("time", fmt.Sprintf("%s at the limits, and the direction ends %s", p.Estimate.Range(), p.Direction.NotAfter.Format(time.RFC3339)), errors.Join(doubts...),
		"start sooner, raise the limits, or plan anew; late.csv lists homes that are late")
	for _, forecast := range p.Estimate.Forecasts {
		err := error(nil)
		if forecast.Exceeded {
			err = fmt.Errorf("the schedule sends %d, the threshold is %d", forecast.Peak, forecast.Count)
		}
		f.hold("threshold of SRV "+forecast.SRV, fmt.Sprintf("at most %d of %d", forecast.Peak, forecast.Count), err, "notify higher thresholds ("+thresholdsFile+") or plan with limits.pace_to_fit")
	}
	for srv := range p.Estimate.Requests {
		if _, known := p.Limits.Thresholds[srv]; !known && f.conf.Environment == config.Live {
			f.hold("threshold of SRV "+srv, "", errors.New("not configured, and the plan sends it"), "ask the DCC, and set limits.anomaly_thresholds")
		}
	}
}

// gates looks at the evidence of each gate. Without a plan there is no direction to
// hold it to, which certificates and freeze statement do not need.
func (f *preflight) gates(now time.Time) {
	g := f.options.Gates
	_ = g.Look(f.ctx) // what could not be read closes its gate, and is said there
	for _, gate := range direction.AllGates {
		if f.plan.SHA256 == "" && gate != direction.Certificates && gate != direction.Frozen {
			continue
		}
		detail := "open"
		switch {
		case gate == direction.Certificates && len(f.conf.Gates.RevocationLists) == 0, gate == direction.MPIDs && f.conf.Gates.MPIDsFile == "",
			gate == direction.Frozen && f.conf.Gates.FreezeFile == "":
			detail = "open; the configuration names no evidence"
		case gate == direction.Frozen && g.Freeze() != nil:
			detail = "open: " + g.Freeze().String()
		}
		f.hold("gate "+string(gate), detail, g.CheckGate(gate, now), "nothing is sent while it is closed")
	}
}

// dcc connects to the DCC and to the SMKI service, and compares clocks.
func (f *preflight) dcc(start engine.Foreseen) {
	ctx, cancel := context.WithTimeout(f.ctx, 15*time.Second)
	defer cancel()
	const skew = 30 * time.Second // between the DCC's clock and ours. ASSUMPTION
	transport := &http.Transport{TLSClientConfig: f.options.DCC.TLS}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, f.conf.DCC.URL, nil)
	var reply *http.Response
	if err == nil {
		reply, err = (&http.Client{Transport: transport}).Do(request)
	}
	detail := "answers"
	if err == nil {
		defer reply.Body.Close()
		if reply.TLS != nil {
			detail = "answers, mutual TLS (" + tls.VersionName(reply.TLS.Version) + ")"
		}
	}
	if f.hold("DCC "+f.conf.DCC.URL, detail, err, "check dcc.url, dcc.tls and the way there") {
		there, err := http.ParseTime(reply.Header.Get("Date"))
		apart := time.Since(there).Abs().Round(time.Second)
		if err == nil && apart > skew {
			err = fmt.Errorf("%v apart from the DCC's", apart)
		} else if err != nil {
			err = fmt.Errorf("the DCC tells no time: %w", err)
		}
		f.hold("clock", fmt.Sprintf("within %v of the DCC's", skew), err, "set this machine's clock (NTP)")
		if f.probe {
			f.wrong(ctx, &http.Client{Transport: transport})
		}
	}
	d, err := directory.New(directory.Options{URL: f.conf.DCC.SMKIURL, TLS: f.options.DCC.TLS, Authorities: f.options.DCC.Authorities})
	if err == nil {
		defer d.Close()
		err = d.Check(ctx, f.conf.Identities[0].EUI)
	}
	if f.hold("SMKI "+f.conf.DCC.SMKIURL, "answers", err, "check dcc.smki_url and the way there") {
		f.device(ctx, d)
		if f.probe {
			f.listed(ctx, d)
		}
	}
	if f.probe {
		f.inventory(ctx, start)
	}
}

// device fetches the certificates of one planned device and proves them, as every answer
// of the sweep needs.
func (f *preflight) device(ctx context.Context, d *directory.Directory) {
	if f.plan.SHA256 == "" {
		return
	}
	t, err := f.first()
	if err == nil {
		_, err = d.Keys(ctx, t.Device)
	}
	f.hold("SMKI certificates of a planned device", fmt.Sprintf("of %v, for signatures and for key agreement, under dcc.authorities", t.Device), err,
		"without them no answer of a meter is believed: check dcc.authorities and the service")
}

// first is the first target of the plan.
func (f *preflight) first() (first plan.Target, err error) {
	found := errors.New("found")
	err = f.plan.Each(func(t *plan.Target) error { first = *t; return found }, func(*plan.Rejected) error { return nil })
	switch {
	case errors.Is(err, found):
		return first, nil
	case err == nil:
		err = errors.New("the plan has no targets")
	}
	return first, err
}

// addresses binds the inbox and the operations address, and knocks at the inbox.
func (f *preflight) addresses() {
	l, err := inbox.Listen(f.ctx, f.options.Inbox)
	if f.hold("inbox "+f.conf.Inbox.Listen, "can be bound", err, "end what holds the address, or change inbox.listen") {
		defer l.Close()
		var d net.Dialer
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		defer cancel()
		conn, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err == nil {
			err = conn.Close()
		}
		f.hold("inbox reachable", "from this machine; from the DCC only the DCC can show", err, "check the firewall")
	}
	c, err := console.Listen(f.ctx, f.options.Operations)
	if err == nil {
		err = c.Close()
	}
	f.hold("operations "+f.conf.Operations.Listen, "can be bound", err, "end what holds the address, or change operations.listen")
}

// custody looks at the counters' folder, and notes what the start would say of them.
func (f *preflight) custody(counters []engine.Counter) {
	err := safefile.Folder(f.conf.CustodyDir)
	if err == nil {
		err = writable(f.conf.CustodyDir)
	}
	if !f.hold("custody "+f.conf.CustodyDir, "writable, by its owner alone", err, "name the folder of earlier sweeps of this originator") {
		return
	}
	for _, c := range counters {
		remedy := ""
		switch {
		case errors.Is(c.Err, custody.ErrDamaged):
			remedy = "restore it from its backup; never make a new one"
		case errors.Is(c.Err, custody.ErrFloor):
			remedy = "check this machine's clock and counter_floor: too high a counter locks the supplier out of its meters"
		}
		f.hold(fmt.Sprintf("counter of %v", c.Originator), fmt.Sprintf("goes on over %d", c.Over), c.Err, remedy)
	}
}

// disk looks at the room for the journal and at its folder.
func (f *preflight) disk() {
	if journal.IsAddress(f.journal) {
		return // the database's own people look at its disks
	}
	dir := filepath.Dir(f.journal)
	f.hold("journal folder "+dir, "writable, and durable", writable(dir), "make it, or name another by --journal")
	need := uint64(1 << 30)
	if n := f.plan.Counts.Targets; n > 0 {
		need = max(64<<20, uint64(n)*engine.PerMeter)
	}
	var s syscall.Statfs_t
	err := syscall.Statfs(dir, &s)
	free := s.Bavail * uint64(s.Bsize)
	if err == nil && free < need {
		err = fmt.Errorf("%d MiB free, the journal may need %d MiB", free>>20, need>>20)
	}
	f.hold("disk of "+dir, fmt.Sprintf("%d MiB free", free>>20), err, "free some, or name another place by --journal")
}

// writable makes a file in a folder, durably, and removes it.
func writable(dir string) error {
	path := filepath.Join(dir, ".preflight")
	return errors.Join(durable.Replace(path, 0o600, durable.Bytes([]byte("preflight\n"))), durable.Remove(path))
}
