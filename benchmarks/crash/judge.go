package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"safemode/devicesim"
	"safemode/engine/audit"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
)

// truth is a meter as the simulator's control API shows it.
type truth struct {
	Mode     string              `json:"payment_mode"`
	Supply   string              `json:"supply_state"`
	Supplier servicerequests.EUI `json:"registered_supplier"`
}

// complain says what is wrong, as it is found.
func complain(format string, args ...any) { fmt.Fprintf(os.Stderr, "crash: "+format+"\n", args...) }

// judge compares wire, journal, report and simulator with each other.
func (s *scene) judge(ctx context.Context, person *operator, r *Result) error {
	j, err := journal.OpenReadOnly(s.journal())
	if err != nil {
		return err
	}
	defer j.Close()
	rep, err := report.Read(j.Records(ctx, 1))
	if err != nil {
		return err
	}
	signed := map[string]int{} // commands, by SRV
	taken := map[[32]byte]bool{}
	ordered := map[string]bool{}                  // by the name it was given under
	leaving := map[[32]byte]servicerequests.EUI{} // the meter that a message is for
	for rec, err := range j.Records(ctx, 1) {
		if err != nil {
			return err
		}
		switch rec.Kind {
		case record.Request, record.SignedCommand:
			leaving[sha256.Sum256(rec.Body)] = rec.Device
			if rec.Kind == record.SignedCommand {
				signed[rec.Service.SRV()]++
			}
		case record.Operator:
			body, err := record.Decode[record.OrderBody](rec)
			if err != nil {
				return err
			}
			ordered[body.By] = true
		case record.Response, record.Alert, record.Received:
			taken[sha256.Sum256(rec.Body)] = true
		}
	}
	s.judgeWire(r, leaving, taken)
	s.judgeOrders(r, person, ordered, leaving)
	if err := s.judgeJournal(ctx, r, rep); err != nil {
		return err
	}
	if err := s.judgeMeters(ctx, r, person, rep); err != nil {
		return err
	}
	return s.judgeEffects(r, signed)
}

// judgeWire holds what went by against the journal.
func (s *scene) judgeWire(r *Result, leaving map[[32]byte]servicerequests.EUI, taken map[[32]byte]bool) {
	s.wire.mu.Lock()
	defer s.wire.mu.Unlock()
	s.inbox.mu.Lock()
	defer s.inbox.mu.Unlock()
	r.Posts = len(s.wire.bodies)
	r.LimitExcess = excess(s.wire.sent, float64(s.pace()), burst)
	if r.SentWhenFenced = overtaken(s.wire.sent); r.SentWhenFenced > 0 {
		complain("%d messages were sent by a run that another had taken over from", r.SentWhenFenced)
	}
	for digest, n := range s.wire.bodies {
		r.Repeated += n - 1
		if _, known := leaving[digest]; !known {
			r.CountersReused++
			complain("a message was on the wire that the journal does not know: %x", digest)
		}
	}
	r.Delivered = len(s.inbox.accepted)
	for digest := range s.inbox.accepted {
		if !taken[digest] {
			r.ResponsesLost++
			complain("a delivery was acknowledged and is not in the journal: %x", digest)
		}
	}
}

// judgeOrders compares the operator's orders with the journal and the wire.
func (s *scene) judgeOrders(r *Result, person *operator, ordered map[string]bool, leaving map[[32]byte]servicerequests.EUI) {
	r.Orders, r.Released, r.Deleted, r.LeftAlone = person.orders, person.released, person.deleted, len(person.left)
	for action, reply := range person.refused {
		if person.orders[action] == 0 {
			r.OrdersLost++
			complain("no order of its kind was carried out: %s: %s", action, reply)
		}
	}
	for _, o := range person.answered {
		if !ordered[o.name] {
			r.OrdersLost++
			complain("an order was answered and is not in the journal: %s of %s", o.Action, o.name)
		}
	}
	s.wire.mu.Lock()
	defer s.wire.mu.Unlock()
	for digest, at := range s.wire.last {
		device := leaving[digest]
		if since, left := person.left[device]; left && at.After(since) {
			r.SentToExcluded++
			complain("%v was sent a message %v after the order to leave it alone", device, at.Sub(since))
		}
	}
}

// judgeJournal has the journal audited.
func (s *scene) judgeJournal(ctx context.Context, r *Result, rep *report.Report) error {
	a, err := audit.Run(ctx, audit.Options{
		Journal: s.journal(), CustodyDir: s.custody(), SignerLog: s.path("signer/signer.db"),
	})
	if err != nil {
		return err
	}
	r.AuditHolds = a.Proven
	for _, c := range a.Claims {
		if c.Status != audit.Proven {
			complain("audit: %s %s: %s", c.Name, c.Status, strings.Join(c.Faults, "; "))
		}
		if c.Name == "counters_once" {
			r.CountersReused += int(c.Faulty)
		}
	}
	if n := rep.Summary.Counters.Reused; n > 0 {
		r.CountersReused += n
		complain("the report counts %d counters reused", n)
	}
	return nil
}

// judgeMeters compares every verdict with the meter. Nobody has pressed a button.
func (s *scene) judgeMeters(ctx context.Context, r *Result, person *operator, rep *report.Report) error {
	r.Verdicts = map[string]int{}
	for _, m := range rep.Meters {
		body, err := get(ctx, fmt.Sprintf("http://%s/sim/v1/devices/%v", s.control, m.Device))
		if err != nil {
			return err
		}
		var now truth
		if err := json.Unmarshal(body, &now); err != nil {
			return err
		}
		r.Verdicts[m.Verdict.Verdict]++
		if person.leaving[m.Device] && m.Verdict.Verdict == record.VerdictExcluded {
			continue
		}
		if reason := contradiction(m.Verdict, now); reason != "" {
			r.VerdictMismatches++
			complain("%v is called %s: %s", m.Device, m.Verdict.Verdict, reason)
		}
	}
	if len(rep.Meters) != s.meters {
		r.VerdictMismatches += max(1, s.meters-len(rep.Meters))
		complain("the report has %d meters", len(rep.Meters))
	}
	return nil
}

// contradiction says what the truth has against a verdict.
func contradiction(v record.VerdictBody, now truth) string {
	want := record.VerdictNotSafe
	switch {
	case now.Mode != "credit":
	case now.Supply == "enabled":
		want = record.VerdictOnSupply
	case now.Supply == "armed":
		want = record.VerdictArmed
	}
	switch v.Verdict {
	case record.VerdictExcluded:
		if now.Supplier == smki.TestSupplier {
			return "it is registered to the supplier"
		}
		return ""
	case record.VerdictUnknown:
		if v.ModeCounter != 0 && v.SupplyCounter != 0 {
			return "though it was read back"
		}
		return ""
	}
	if v.Verdict != want || v.End.Mode.String() != now.Mode || v.End.Supply.String() != now.Supply {
		return fmt.Sprintf("read as %v and %v, is %s and %s", v.End.Mode, v.End.Supply, now.Mode, now.Supply)
	}
	return ""
}

// judgeEffects ends the simulator and holds what its meters did against what was signed.
func (s *scene) judgeEffects(r *Result, signed map[string]int) error {
	if err := s.sim.command.Process.Signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-s.sim.ended:
	case <-time.After(time.Minute):
		return fmt.Errorf("the simulator does not end: %s", &s.sim.log)
	}
	var did devicesim.Summary
	if err := json.Unmarshal([]byte(s.sim.out.String()), &did); err != nil {
		return fmt.Errorf("the simulator's summary: %w: %s", err, &s.sim.out)
	}
	if n := int(did.Refused["replay"]); n > 0 {
		r.DoubleEffects += n
		complain("meters refused %d commands as replays", n)
	}
	for _, service := range []servicerequests.Service{servicerequests.SwitchToCredit, servicerequests.ActivateEmergencyCredit, servicerequests.ArmSupply} {
		srv := service.SRV()
		if n := int(did.Executed[srv]) - signed[srv]; n > 0 {
			r.DoubleEffects += n
			complain("meters carried out %d commands of SRV %s, %d were signed", did.Executed[srv], srv, signed[srv])
		}
	}
	if n := int(did.ForbiddenCommands); n > 0 {
		r.DoubleEffects += n
		complain("meters were sent %d forbidden commands", n)
	}
	return nil
}
