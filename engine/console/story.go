package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"safemode/engine/record"
)

// Stories finds meters, and tells what the journal has of them. It is used by many
// goroutines, and takes as long for a great journal as for a small one.
type Stories interface {
	// Find lists meters. A question that makes no sense wraps [ErrQuestion].
	Find(ctx context.Context, q Question) (Meters, error)
	// Tell returns the story of the meter at a place in the plan; [ErrNoMeter] if there is none.
	Tell(ctx context.Context, place int) (Story, error)
}

// storiesAtOnce is how many questions the journal is asked at a time. Each may hold a few
// file descriptors.
const storiesAtOnce = 4

// inTurn has questions wait for their turn.
type inTurn struct {
	Stories
	asking chan struct{} // one token for each question
}

func (s inTurn) wait(ctx context.Context) (done func(), err error) {
	select {
	case s.asking <- struct{}{}:
		return func() { <-s.asking }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Find is [Stories].Find.
func (s inTurn) Find(ctx context.Context, q Question) (Meters, error) {
	done, err := s.wait(ctx)
	if err != nil {
		return Meters{}, err
	}
	defer done()
	return s.Stories.Find(ctx, q)
}

// Tell is [Stories].Tell.
func (s inTurn) Tell(ctx context.Context, place int) (Story, error) {
	done, err := s.wait(ctx)
	if err != nil {
		return Story{}, err
	}
	defer done()
	return s.Stories.Tell(ctx, place)
}

// ErrQuestion marks a question that cannot be answered as it stands, ErrNoMeter one that
// no meter answers.
var (
	ErrQuestion = errors.New("not understood")
	ErrNoMeter  = errors.New("no such meter in the plan")
)

// Question says which meters are looked for: one of the lists, or what a person typed.
type Question struct {
	List string // one of Lists
	Text string // a device id, an MPAN or an MPRN
}

// List is a list of meters that the page links to.
type List struct{ Name, Title string }

// lists are those that there are: by verdict, by plight, and by what was refused.
var lists = [...]List{
	{"stuck", "Stuck: nothing has been learnt of them for too long"},
	{"held", "Held for a person: an answer that the code table does not know"},
	{"rejected", "With a request that the DCC rejected"},
	{"unverified", "With an answer that could not be proven"},
	{"refused_unverified", "With a message that was not proven"},
	{"refused_uncorrelated", "With a Pre-Command that was not what was asked for, and was not signed"},
	{"refused_unpermitted", "With something that may not be signed, and was not"},
	{"not_safe", "Not safe"},
	{"unknown", "Of which nothing is known"},
	{"armed", "Armed: their homes need a call to press the button"},
	{"on_supply", "On supply"},
	{"excluded", "Excluded"},
}

// MostMeters is how many a list shows.
const MostMeters = 200

// Meters are those that were found.
type Meters struct {
	Found  []Meter
	All    int    // that there are
	Behind uint64 // records of the journal that are not looked through yet
}

// Meter is one planned meter, as of the journal's last records.
type Meter struct {
	Place           int // in the plan, from 1
	Device          string
	MPxN            string
	Region, Fuel    string
	Verdict, Reason string    // empty: none yet
	At              time.Time // of the verdict
}

// Story is all that the journal has of one meter.
type Story struct {
	Meter
	Now      Known
	Do       string  // what a person does about it
	Home     []Meter // the other planned meters of the home
	Chapters []Chapter
	LeftOut  int    // records that are not among them
	Behind   uint64 // records of the journal that are not looked through yet
}

// Known has the last readings of a meter; an empty one is not known.
type Known struct {
	Mode, Supply, Balance string
	At                    time.Time // of mode and supply; the sweep's clock
	BalanceAt             time.Time
}

// Group is the records of one request, or one record that belongs to none.
type Group struct {
	Service  string // SRV and name; empty: it is no request
	Ended    string // how the request ended, as its last record says
	Chapters []Chapter
}

// Groups are the chapters by request, in the order in which these begin.
func (s Story) Groups() (groups []Group) {
	at := map[int]int{}
	for _, c := range s.Chapters {
		if c.Request == 0 {
			groups = append(groups, Group{Chapters: []Chapter{c}})
			continue
		}
		i, known := at[c.Request]
		if !known {
			i = len(groups)
			at[c.Request] = i
			groups = append(groups, Group{Service: c.Service})
		}
		g := &groups[i]
		g.Chapters, g.Ended = append(g.Chapters, c), c.Says
	}
	return groups
}

// Chapter is one record.
type Chapter struct {
	Seq       uint64
	At        time.Time // the sweep's clock
	Kind      string
	Service   string // SRV and name of the request that it belongs to; empty: none
	Request   int    // number of that request in the story, from 1; 0: none
	Says      string // in words that name no device
	RequestID string
	Body      string // as it was sent, received or noted
	Proofs    []Proof
}

// Proof is one thing that a record proves.
type Proof struct{ Proves, ToWhom, Result string }

// Failed says whether a check of it failed.
func (p Proof) Failed() bool { return strings.HasPrefix(p.Result, "FAILED") }

// metersView is a list made ready for the page.
type metersView struct {
	Meters
	record.Identity
	Title, Text, Fault string
	Lists              []List
	Redacted           bool
}

// redacts says whether device ids, MPxNs and Request IDs are hidden from this reader.
func (c console) redacts(r *http.Request) bool {
	who := callerOf(r)
	return c.o.Redact && !(who.name != "" && who.role.may(Orders))
}

// meters serves a list of meters, or the one that was looked for.
func (c console) meters(w http.ResponseWriter, r *http.Request) {
	v := metersView{Identity: c.identity(), Lists: lists[:], Redacted: c.redacts(r), Text: r.FormValue("find")}
	q := Question{List: r.FormValue("list"), Text: v.Text}
	if v.Redacted && q.Text != "" {
		c.find(w, r, q.Text)
		return
	}
	i := slices.IndexFunc(lists[:], func(l List) bool { return l.Name == q.List })
	status := http.StatusOK
	switch {
	case q.Text == "" && i < 0:
		v.Title = "Meters"
	default:
		if v.Title = "Meters like " + q.Text; q.Text == "" {
			v.Title = lists[i].Title
		}
		found, err := c.o.Stories.Find(r.Context(), q)
		switch {
		case errors.Is(err, ErrQuestion):
			status, v.Fault = http.StatusUnprocessableEntity, err.Error()
		case err != nil:
			c.broken(w, err)
			return
		case q.Text != "" && len(found.Found) == 1:
			http.Redirect(w, r, fmt.Sprintf("/meter/%d", found.Found[0].Place), http.StatusSeeOther)
			return
		case q.Text != "" && len(found.Found) == 0:
			status, v.Fault = http.StatusNotFound, "No meter of the plan has it."
		}
		v.Meters = found
	}
	c.show(w, status, "meters", v)
}

// find leads to a place in the plan, which is all that a reader of redacted pages knows
// a meter by.
func (c console) find(w http.ResponseWriter, r *http.Request, text string) {
	if _, err := strconv.Atoi(strings.TrimSpace(text)); err != nil {
		v := metersView{Identity: c.identity(), Title: "Meters", Lists: lists[:], Redacted: true, Text: text, Fault: "Meters are known here by their place in the plan, a number."}
		c.show(w, http.StatusUnprocessableEntity, "meters", v)
		return
	}
	http.Redirect(w, r, "/meter/"+url.PathEscape(strings.TrimSpace(text)), http.StatusSeeOther)
}

// meter serves one meter's story.
func (c console) meter(w http.ResponseWriter, r *http.Request) {
	place, err := strconv.Atoi(r.PathValue("place"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	story, err := c.o.Stories.Tell(r.Context(), place)
	switch {
	case errors.Is(err, ErrNoMeter):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		c.broken(w, err)
		return
	}
	redacted := c.redacts(r)
	if redacted {
		story.redact()
	}
	c.show(w, http.StatusOK, "meter", struct {
		Story
		record.Identity
		Redacted bool
	}{story, c.identity(), redacted})
}

// identity says which sweep the meters are of.
func (c console) identity() record.Identity { return c.board.read().view.Identity }

// redact takes what names a device or a home out.
func (s *Story) redact() {
	s.Device, s.MPxN = "", ""
	for i := range s.Home {
		s.Home[i].Device, s.Home[i].MPxN = "", ""
	}
	for i := range s.Chapters {
		ch := &s.Chapters[i]
		ch.RequestID, ch.Body = "", ""
		for j := range ch.Proofs {
			p := &ch.Proofs[j]
			if p.Result != "" && p.Result != "verified" && p.Result != "unsigned" { // it may name a key's owner
				p.Result = map[bool]string{true: "FAILED", false: "not checked here"}[p.Failed()]
			}
		}
	}
}

func (c console) show(w http.ResponseWriter, status int, name string, view any) {
	var b bytes.Buffer
	if err := pageTemplate.ExecuteTemplate(&b, name, view); err != nil {
		c.broken(w, err)
		return
	}
	protect(w)
	w.WriteHeader(status)
	if _, err := w.Write(b.Bytes()); err != nil {
		c.o.Log.Debug("the reader has gone", zap.Error(err))
	}
}

// pounds is a balance for people, its sign first.
func pounds(balance string) string {
	if owed, is := strings.CutPrefix(balance, "-"); is {
		return "-£" + owed
	}
	return "£" + balance
}
