package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"safemode/engine/advice"
	"safemode/engine/console"
	"safemode/engine/index"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/smki"
	"safemode/servicerequests/xmldsig"
)

// stories tells the console what the journal has of one meter.
type stories struct {
	index     func() (*index.Index, error) // of the first call on
	witnesses report.Witnesses
	device    func(context.Context, servicerequests.EUI) (report.Witness, error)
	tip       func() journal.Tip
}

// The page shows at most so many records of a meter's story: its own, and the sweep's.
const mostRecords = 300

// openStories has the index beside the journal opened when somebody asks first. Without an
// index the sweep goes on, and the page shows no stories.
func (e *Engine) openStories() console.Stories {
	e.asked = make(chan struct{})
	open := sync.OnceValues(func() (*index.Index, error) {
		defer close(e.asked)
		// The question's context does not end it: the index outlives the question.
		x, err := index.Open(context.Background(), journal.Beside(e.o.Journal, e.o.CustodyDir)+indexSuffix, e.journal.ID(), e.journal)
		if err != nil {
			e.o.Log.Error("the page cannot show a meter's story", zap.Error(err))
		}
		e.index = x
		return x, err
	})
	s := stories{index: open, tip: e.journal.Tip, witnesses: report.Witnesses{XML: map[xmldsig.KeyRef]report.Witness{}, Message: map[servicerequests.EUI]report.Witness{}}}
	xml := func(c *smki.Certificate) {
		if ref, err := xmldsig.NewKeyRef(c.Issuer, c.SerialText()); err == nil {
			s.witnesses.XML[ref] = report.Witness{Name: c.SerialText(), Key: c.PublicKey}
		}
	}
	for _, c := range e.o.DCC.Transform {
		xml(c)
	}
	for _, c := range e.o.DCC.XMLSigning {
		xml(c)
	}
	for _, id := range e.o.Identities {
		xml(id.XMLSigning.Certificate)
		s.witnesses.Message[id.EUI] = report.Witness{Name: id.EUI.String(), Key: id.DigitalSigning.Certificate.PublicKey}
	}
	s.device = func(ctx context.Context, device servicerequests.EUI) (report.Witness, error) {
		keys, err := e.devices.Keys(ctx, device)
		if err != nil {
			return report.Witness{}, err
		}
		return report.Witness{Name: device.String(), Key: keys.DigitalSignature[0]}, nil
	}
	return s
}

const indexSuffix = ".index"

// followJournal keeps the index up to date, from the first question on until ctx ends. If
// nobody asks, the index costs nothing.
func (e *Engine) followJournal(ctx context.Context) {
	select {
	case <-e.asked: // nil if there is no console
	case <-ctx.Done():
		return
	}
	if e.index == nil {
		return
	}
	if err := e.index.Follow(ctx); err != nil {
		e.o.Log.Error("the index is not updated any more: the page tells older stories", zap.Error(err))
	}
}

// Find lists meters.
func (s stories) Find(ctx context.Context, q console.Question) (found console.Meters, err error) {
	var wanted index.Query
	switch {
	case q.List == "":
		if wanted, err = index.Parse(q.Text); err != nil {
			return found, fmt.Errorf("%w: %w", console.ErrQuestion, err)
		}
	case q.List == "stuck":
		wanted.Reason = "stuck: "
	case q.List == "held":
		wanted.Reason = "held for a person: "
	case slices.Contains(record.Verdicts[:], q.List):
		wanted.Verdict = q.List
	default:
		wanted.Class = q.List
	}
	x, err := s.index()
	if err != nil {
		return found, err
	}
	found.Behind = s.catchUp(ctx, x)
	meters, all, err := x.Find(ctx, wanted, console.MostMeters)
	if err != nil {
		return found, err
	}
	found.All = all
	for _, m := range meters {
		found.Found = append(found.Found, meterOf(m))
	}
	return found, nil
}

func meterOf(m index.Meter) console.Meter {
	return console.Meter{
		Place: m.Place, Device: m.Device.String(), MPxN: m.MPxN, Region: m.Region, Fuel: m.Fuel, Verdict: m.Verdict, Reason: m.Reason, At: m.At,
	}
}

// catchUp indexes the journal's records for two seconds at most, and returns how many are
// left for followJournal.
func (s stories) catchUp(ctx context.Context, x *index.Index) (behind uint64) {
	begun := time.Now()
	for more := true; more && time.Since(begun) < 2*time.Second; {
		var err error
		if more, err = x.CatchUp(ctx); err != nil {
			break // followJournal meets the same error, and logs it
		}
	}
	tip := s.tip().Seq
	return tip - min(tip, x.Upto())
}

// Tell returns one meter's story.
func (s stories) Tell(ctx context.Context, place int) (told console.Story, err error) {
	if place < 1 {
		return told, console.ErrNoMeter
	}
	x, err := s.index()
	if err != nil {
		return told, err
	}
	told.Behind = s.catchUp(ctx, x)
	found, _, err := x.Find(ctx, index.Query{Place: place}, 1)
	if err != nil {
		return told, err
	}
	if len(found) == 0 && told.Behind > 0 {
		return told, fmt.Errorf("%w, as far as the journal is looked through: %d records are left, ask again in a moment", console.ErrNoMeter, told.Behind)
	}
	if len(found) == 0 {
		return told, console.ErrNoMeter
	}
	told.Meter = meterOf(found[0])
	device := found[0].Device
	records, leftOut, err := x.Records(ctx, device, mostRecords)
	if err != nil {
		return told, err
	}
	told.LeftOut = leftOut
	story, err := report.Tell(records, device)
	if err != nil {
		return told, err
	}
	told.Do = advice.NextFor(found[0].Verdict, found[0].Reason)
	home, _, err := x.Find(ctx, index.Query{Hub: found[0].Hub}, console.MostMeters)
	if err != nil {
		return told, err
	}
	for _, m := range home {
		if m.Device != device {
			told.Home = append(told.Home, meterOf(m))
		}
	}
	witnesses := s.withDevice(ctx, device)
	requests := map[servicerequests.RequestID]int{}
	for _, r := range story.Records {
		learn(&told.Now, &r, device)
		proofs, err := report.Prove(r, witnesses)
		if err != nil { // after a record that cannot be read nothing is proven
			proofs = append(proofs, report.Proof{Proves: "nothing more", ToWhom: "anybody", Result: "not to be read: " + err.Error()})
		}
		chapter := console.Chapter{Seq: r.Seq, At: r.At, Kind: r.Kind.String(), Says: report.Say(r), Body: string(r.Body)}
		if r.ID != (servicerequests.RequestID{}) {
			chapter.RequestID = r.ID.String()
			if requests[r.ID] == 0 {
				requests[r.ID] = len(requests) + 1
			}
			chapter.Request = requests[r.ID]
		}
		if v, known := r.Service.Variant(); known {
			chapter.Service = "SRV " + r.Service.SRV() + " " + v.Name
		}
		for _, p := range proofs {
			chapter.Proofs = append(chapter.Proofs, console.Proof{Proves: p.Proves, ToWhom: p.ToWhom, Result: p.Result})
		}
		told.Chapters = append(told.Chapters, chapter)
	}
	return told, nil
}

// learn takes from a record what it shows about the meter.
func learn(k *console.Known, r *record.Record, device servicerequests.EUI) {
	if r.Kind != record.Outcome || r.Device != device {
		return
	}
	o, err := record.Decode[record.OutcomeBody](*r)
	if err != nil || o.Observed == nil {
		return
	}
	if o.Observed.Mode != 0 {
		k.Mode, k.At = o.Observed.Mode.String(), o.AnsweredAt.UTC()
	}
	if o.Observed.Supply != 0 {
		k.Supply, k.At = o.Observed.Supply.String(), o.AnsweredAt.UTC()
	}
	if o.Observed.Balance != nil {
		k.Balance, k.BalanceAt = o.Observed.Balance.String(), o.AnsweredAt.UTC()
	}
}

// withDevice adds the device's own key, if it can be had within a moment.
func (s stories) withDevice(ctx context.Context, device servicerequests.EUI) report.Witnesses {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	w := report.Witnesses{XML: s.witnesses.XML, Message: maps.Clone(s.witnesses.Message)}
	if witness, err := s.device(ctx, device); err == nil {
		w.Message[device] = witness
	}
	return w
}

func (e *Engine) closeStories() error {
	select {
	case <-e.asked:
	default: // nobody has asked, and no index exists
		return nil
	}
	if e.index == nil {
		return nil
	}
	return e.index.Close()
}
