package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/config"
	"safemode/engine"
	"safemode/engine/direction"
	"safemode/engine/directory"
	"safemode/engine/journal"
	"safemode/engine/notice"
	"safemode/engine/plan"
	"safemode/engine/record"
	"safemode/servicerequests/smki"
)

func newPreflight(io stdio) *cobra.Command {
	var configPath, planDir, journalPath string
	var asJSON, probe bool
	c := &cobra.Command{
		Use:   "preflight --config FILE [--plan DIR] [--journal FILE]",
		Short: "What would fail tonight, a line each",
		Long: `Begins the sweep and stops before anything is taken, written or sent. It prints a line for
each thing: ok, or FAIL with the reason. What the sweep command would refuse is refused
here, in the same words; what it would not look at, and what would go wrong later in the
night, is said as well: the time, the thresholds, the disk, certificates that expire.
The last line says which of the two it is. Exit 0 only if all holds.

It signs nothing, sends no Service Request (but with --probe) and takes no counter. For
a moment it has the inbox's and the operations address: give it while no sweep runs.
Without --plan it leaves out what is the plan's.

With --probe it also compares our certificates and the DCC's with what the SMKI service
lists, sees that the DCC refuses what is no request, and asks its inventory (8.2) about
one planned device, if the sweep might begin now: what the simulator and the engine take
for granted alike. That is a signed Service Request; it reaches no home and takes no
counter of the custody.`,
		Example: `  safemode preflight --config safemode.yaml --plan plan --journal journal.db`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := newLogger(io.err, false)
			defer log.Sync()
			f := &preflight{ctx: c.Context(), probe: probe}
			f.begin = beginning{planDir: planDir, journal: journalPath, looks: true, log: log}
			f.run(configPath)
			if c.Context().Err() != nil {
				return failWith(exitInterrupted, errors.New("interrupted"))
			}
			if err := f.report(io, asJSON); err != nil || planDir == "" {
				return err
			}
			w := wayHere(io, config.Night{Config: configPath, Plan: planDir, Journal: journalPath})
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
	required(c, "config")
	return c
}

// finding is one line.
type finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Refused bool   `json:"refused,omitempty"` // the sweep command would be, for this
	Detail  string `json:"detail"`            // what was seen, or why it would fail and what to do
}

// preflight is a start that takes nothing, and a look at the night ahead.
type preflight struct {
	ctx      context.Context
	probe    bool
	begin    beginning
	failed   map[string]bool // readings of the beginning
	foreseen engine.Foreseen
	findings []finding
}

// note notes one thing.
func (f *preflight) note(name, detail string, refused bool, err error) bool {
	if err != nil {
		detail = strings.ReplaceAll(cli.Spoken(err.Error()), "\n", "; ")
	}
	f.findings = append(f.findings, finding{name, err == nil, err != nil && refused, detail})
	return err == nil
}

// start notes what the sweep command itself would say.
func (f *preflight) start(name, detail string, err error) bool {
	return f.note(name, detail, true, err)
}

// hold notes what it would not look at. The remedy is added to an error.
func (f *preflight) hold(name, detail string, err error, remedy string) bool {
	if err != nil && remedy != "" {
		err = fmt.Errorf("%w: %s", err, remedy)
	}
	return f.note(name, detail, false, err)
}

func (f *preflight) report(io stdio, asJSON bool) error {
	failed, refused := 0, 0
	for _, v := range f.findings {
		if !v.OK {
			failed++
		}
		if v.Refused {
			refused++
		}
	}
	if asJSON {
		if err := printJSON(io.out, f.findings); err != nil {
			return err
		}
	} else {
		for _, ok := range [...]bool{true, false} { // failures come together, where they are read first
			for _, v := range f.findings {
				if v.OK == ok {
					fmt.Fprintf(io.out, "%s %s: %s\n", map[bool]string{true: "ok  ", false: "FAIL"}[ok], v.Name, v.Detail)
				}
			}
		}
	}
	if failed == 0 {
		return nil
	}
	means := "the sweep would be refused"
	if refused == 0 {
		means = "the sweep would begin, but not all would go well"
	}
	return failWith(exitFailed, fmt.Errorf("%d of %d checks fail: %s", failed, len(f.findings), means))
}

func (f *preflight) run(configPath string) {
	b := &f.begin
	var err error
	b.conf, err = loadConfig(configPath)
	if !f.start("configuration", configPath+" is valid", err) {
		return
	}
	f.hold("environment", record.Identity{Environment: string(b.conf.Environment)}.Banner(), nil, "")
	b.plan = &plan.Plan{Header: plan.Header{Environment: string(b.conf.Environment)}}
	if b.planDir != "" {
		p, err := planBy(plan.Open, b.planDir)
		if !f.start("plan", b.planDir, err) {
			return
		}
		b.plan = p
		f.findings[len(f.findings)-1].Detail = fmt.Sprintf("sweep %s, %d meters, prepared by %s", p.SweepID(), p.Counts.Targets, quoted(p.PreparedBy.Name))
	}
	f.beginning()
	if !f.failed["files"] {
		f.foreseen = engine.Foresee(f.ctx, b.options)
		f.parts()
		f.night()
	}
}

// planned says whether there is a plan.
func (f *preflight) planned() bool { return f.begin.plan.SHA256 != "" }

// beginning notes what is read before the engine begins.
func (f *preflight) beginning() {
	details := map[string]string{
		"limits": "the configuration allows no more than the plan", "files": "every file that the configuration names can be read",
	}
	f.failed = map[string]bool{}
	f.begin.read(func(s *reading, err error) bool {
		f.failed[s.name] = err != nil
		if detail := details[s.name]; err != nil || detail != "" { // of the others the engine says more
			f.start(s.name, detail, err)
		}
		return true
	})
	if w := f.begin.conf.Notices; w.Webhook.URL != "" || w.SMTP.Server != "" {
		path := noticesOf(f.begin.conf, f.begin.journal)
		f.start("notices", "can be written beside the journal", notifierRefused(notice.Check(path)))
	}
}

// parts notes what the engine would say, part by part.
func (f *preflight) parts() {
	b, v := &f.begin, &f.foreseen
	tls := ""
	if v.TLS != "" {
		tls = ", mutual TLS (" + v.TLS + ")"
	}
	d := &b.plan.Direction
	begins := "can be begun, or gone on with"
	if v.StandsBy != nil {
		begins = fmt.Sprintf("it would stand by: %v", v.StandsBy)
	}
	for _, part := range []struct {
		part         engine.Part
		name, detail string
	}{
		{engine.PartKeys, "keys", "they go with the environment, the identities and the addresses"},
		{engine.PartAuthority, "direction", fmt.Sprintf("%s, until %s", quoted(d.Reference), d.NotAfter.Format(time.RFC3339))},
		{engine.PartDCC, "DCC " + b.conf.DCC.URL, "answers" + tls},
		{engine.PartClock, "clock", "near the DCC's, if that tells the time"},
		{engine.PartSMKI, "SMKI " + b.conf.DCC.SMKIURL, "answers"},
		{engine.PartInbox, "inbox " + b.conf.Inbox.Listen, "can be bound"},
		{engine.PartOperations, "operations " + b.conf.Operations.Listen, "can be bound"},
		{engine.PartDatabase, "database", v.Replicated},
		{engine.PartJournal, "journal " + b.journal, begins},
		{engine.PartApprovals, "approvals", fmt.Sprintf("it may begin or go on until %s, and after %d stops more", v.Until.UTC().Format(time.RFC3339), v.Resumes)},
		{engine.PartCheckpoints, "checkpoints " + b.options.Checkpoints.Path, "they pin this journal"},
		{engine.PartSettings, "settings", "the engine's parts can be made"},
		{engine.PartTransfers, "transfers " + b.options.Transfers.Path, ""},
		{engine.PartReplay, "replay", "the plan's lines, and what the journal holds, can be read"},
	} {
		err, looked := v.Said[part.part]
		switch {
		case !looked, part.part == engine.PartCheckpoints && b.options.Checkpoints.Path == "",
			part.part == engine.PartDatabase && err == nil && v.Replicated == "":
			continue
		case part.part == engine.PartAuthority && f.failed["roster"], part.part == engine.PartApprovals && f.failed["approvals"]:
			continue // the line on its file says why
		case part.part == engine.PartTransfers:
			if b.options.Transfers.Path == "" {
				continue
			}
			part.detail = v.Transfers.String()
		}
		f.start(part.name, part.detail, err)
	}
	f.gates()
	if err, looked := v.Said[engine.PartSigner]; looked && b.options.Signer != nil {
		f.start("signer's leave", "it would sign for this start", err)
	}
	for _, c := range v.Counters {
		f.start(fmt.Sprintf("counter of %v", c.Originator), fmt.Sprintf("goes on over %d", c.Over), c.Err)
	}
}

// gates notes each gate, as the start checks it. Without a plan there is no direction; the gates
// of certificates and freeze statement do not need one.
func (f *preflight) gates() {
	g, conf := f.begin.options.Gates, f.begin.conf
	if !f.planned() {
		_ = g.Look(f.ctx) // evidence that could not be read closes its gate, and is reported there
	}
	for _, gate := range direction.AllGates {
		if !f.planned() && gate != direction.Certificates && gate != direction.Frozen {
			continue
		}
		detail := "open"
		switch {
		case gate == direction.Certificates && len(conf.Gates.RevocationLists) == 0, gate == direction.MPIDs && conf.Gates.MPIDsFile == "",
			gate == direction.Frozen && conf.Gates.FreezeFile == "":
			detail = "open; the configuration names no evidence"
		case gate == direction.Frozen && g.Freeze() != nil:
			detail = "open: " + g.Freeze().String()
		}
		f.start("gate "+string(gate), detail, g.CheckGate(gate, f.foreseen.Now))
	}
}

// night checks what the start does not: faults that would show later, or slowly.
func (f *preflight) night() {
	conf := f.begin.conf
	f.expiry()
	f.people()
	if conf.Signer.Set() {
		f.signer()
	}
	if f.planned() {
		f.forecast()
	}
	f.smki()
	if err, looked := f.foreseen.Said[engine.PartInbox]; looked && err == nil {
		f.hold("inbox reachable", "only the DCC can show", nil, "")
	}
	f.disk()
}

// signer asks the process that has the keys.
func (f *preflight) signer() {
	ctx, cancel := context.WithTimeout(f.ctx, 15*time.Second)
	defer cancel()
	about, err := f.begin.options.Signer.About(ctx)
	for _, id := range f.begin.conf.Identities {
		if err == nil && !slices.Contains(about.Identities, id.EUI) {
			err = fmt.Errorf("it has no keys of %v", id.EUI)
		}
	}
	switch {
	case err != nil:
	case f.planned() && about.PlanSHA256 != f.begin.plan.SHA256:
		err = fmt.Errorf("it has plan %.12s..., and this is %.12s...", about.PlanSHA256, f.begin.plan.SHA256)
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

// expiry notes each certificate, and whether it lasts through the night.
func (f *preflight) expiry() {
	b := &f.begin
	check := func(what string, c *smki.Certificate) {
		var err error
		if b.conf.Gates.CheckExpiry || b.conf.Environment == config.Live {
			const night = 24 * time.Hour
			err = errors.Join(c.CheckValidAt(time.Now()), c.CheckValidAt(time.Now().Add(night)))
		}
		f.hold(what, fmt.Sprintf("serial %s, until %s", c.SerialText(), c.NotAfter.Format(time.DateOnly)), err, "install the one that follows it")
	}
	for _, id := range b.options.Identities {
		check(fmt.Sprintf("XML signing certificate of %v", id.EUI), id.XMLSigning.Certificate)
		check(fmt.Sprintf("digital signing certificate of %v", id.EUI), id.DigitalSigning.Certificate)
		check(fmt.Sprintf("key agreement certificate of %v", id.EUI), id.KeyAgreement.Certificate)
	}
	for _, c := range b.options.DCC.Transform {
		check("the DCC's Transform certificate", c)
	}
	for _, c := range b.options.DCC.XMLSigning {
		check("the DCC's XML signing certificate", c)
	}
}

// people notes whether the roster has as many as every approval needs.
func (f *preflight) people() {
	roster := f.begin.options.Roster
	approvers := 0
	var err error
	switch {
	case f.failed["roster"]:
		return // its own line says why
	case roster == nil:
		err = errors.New("the configuration names none")
	default:
		err = roster.CheckEnvironment(string(f.begin.conf.Environment))
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

// forecast looks at how the plan would go.
func (f *preflight) forecast() {
	p, conf := f.begin.plan, f.begin.conf
	if list := f.begin.options.Suppressed; list != nil {
		said, err := plannedOf(p, list)
		f.hold("suppress_file "+conf.SuppressFile, said, err, "")
	}
	var doubts []error
	for _, doubt := range p.Doubts(time.Now()) {
		doubts = append(doubts, errors.New(doubt))
	}
	f.hold("time", fmt.Sprintf("%s at the limits, and the direction ends %s", p.Estimate.Range(), p.Direction.NotAfter.Format(time.RFC3339)), errors.Join(doubts...),
		"start sooner, raise the limits, or make a new plan; late.csv lists homes that are late")
	for _, forecast := range p.Estimate.Forecasts {
		err := error(nil)
		if forecast.Exceeded {
			err = fmt.Errorf("the schedule sends %d, the threshold is %d", forecast.Peak, forecast.Count)
		}
		f.hold("threshold of SRV "+forecast.SRV, fmt.Sprintf("at most %d of %d", forecast.Peak, forecast.Count), err, "notify higher thresholds ("+thresholdsFile+") or plan with limits.pace_to_fit")
	}
	for _, srv := range slices.Sorted(maps.Keys(p.Estimate.Requests)) {
		if _, known := p.Limits.Thresholds[srv]; !known && conf.Environment == config.Live {
			f.hold("threshold of SRV "+srv, "", errors.New("not configured, and the plan sends it"), "ask the DCC, and set limits.anomaly_thresholds")
		}
	}
}

// smki asks for what every answer of the sweep needs, and tries on the DCC what may be tried.
func (f *preflight) smki() {
	ctx, cancel := context.WithTimeout(f.ctx, 15*time.Second)
	defer cancel()
	o := &f.begin.options
	if f.foreseen.Said[engine.PartSMKI] == nil {
		d, err := directory.New(directory.Options{URL: o.DCC.SMKIURL, TLS: o.DCC.TLS, Authorities: o.DCC.Authorities})
		if err == nil {
			defer d.Close()
			f.device(ctx, d)
			if f.probe {
				f.listed(ctx, d)
			}
		}
	}
	if !f.probe {
		return
	}
	if f.foreseen.Said[engine.PartDCC] == nil {
		transport := &http.Transport{TLSClientConfig: o.DCC.TLS}
		defer transport.CloseIdleConnections()
		f.wrong(ctx, &http.Client{Transport: transport})
	}
	f.inventory(ctx)
}

// device fetches the certificates of one planned device and proves them, as every answer
// of the sweep needs.
func (f *preflight) device(ctx context.Context, d *directory.Directory) {
	if !f.planned() {
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
	err = f.begin.plan.Each(func(t *plan.Target) error { first = *t; return found }, func(*plan.Rejected) error { return nil })
	switch {
	case errors.Is(err, found):
		return first, nil
	case err == nil:
		err = errors.New("the plan has no targets")
	}
	return first, err
}

// disk looks at the room for the journal.
func (f *preflight) disk() {
	if journal.IsAddress(f.begin.journal) {
		return // the database's own people look at its disks
	}
	dir := filepath.Dir(f.begin.journal)
	need := uint64(1 << 30)
	if n := f.begin.plan.Counts.Targets; n > 0 {
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
