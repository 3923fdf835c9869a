package incident

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// What describes what went wrong, for incident.json and README.txt.
type What struct {
	record.Identity
	Drill    bool           `json:"drill"`
	State    string         `json:"state"` // as in a status
	Cause    string         `json:"cause,omitempty"`
	Reason   string         `json:"reason,omitempty"` // without ids
	Since    time.Time      `json:"since,omitzero"`   // of the last halt, or the first request that did not succeed
	First    time.Time      `json:"first_record_at,omitzero"`
	Last     time.Time      `json:"last_record_at,omitzero"`
	Records  uint64         `json:"records"`
	Program  string         `json:"program"`  // the version that wrote this
	Versions []string       `json:"versions"` // of the programs that wrote the journal
	Meters   int            `json:"meters"`
	Requests map[string]int `json:"requests"` // by class; open: without an end
	Made     time.Time      `json:"made_at"`  // real time
}

// Pack is what a journal tells of an incident.
type Pack struct {
	What     What
	services map[service]*tally
	requests []request
	events   [][]string
}

type service struct{ region, srv, class, code string }

type tally struct {
	n           int
	first, last time.Time
}

// request is one that did not succeed.
type request struct {
	id            servicerequests.RequestID
	service       servicerequests.Service
	region        string
	sent, decided time.Time
	class, code   string
	try           int
}

const stillOpen = "open"

// Read reads a journal. what has what the journal's end does not say.
func Read(records iter.Seq2[record.Record, error], what What) (*Pack, error) {
	p := &Pack{What: what, services: map[service]*tally{}}
	w := &p.What
	w.Requests, w.Versions, w.Drill, w.Reason = map[string]int{}, []string{}, w.Identity.Drill(), record.Hide(w.Reason)
	regions := map[servicerequests.EUI]string{}
	open := map[servicerequests.RequestID]request{} // without success so far: a late answer may bring it
	var halted time.Time
	for r, err := range records {
		if err != nil {
			return nil, fmt.Errorf("incident: %w", err)
		}
		if w.First.IsZero() {
			w.First = r.At
		}
		w.Last, w.Records = r.At, r.Seq
		var fault error
		switch r.Kind {
		case record.Target:
			var body record.TargetBody
			body, fault = record.Decode[record.TargetBody](r)
			regions[r.Device] = body.Region.String()
			w.Meters++
		case record.Request:
			open[r.ID] = request{id: r.ID, service: r.Service, region: cmp.Or(regions[r.Device], "none"), sent: r.At, class: stillOpen}
		case record.Outcome:
			var body record.OutcomeBody
			body, fault = record.Decode[record.OutcomeBody](r)
			q, known := open[r.ID]
			if !known { // it succeeded before, or was never sent
				break
			}
			q.decided, q.class, q.code, q.try = r.At, r.Code, body.Code, body.Attempt
			if open[r.ID] = q; q.class == record.ClassSuccess.String() {
				delete(open, r.ID)
				p.ended(q)
			}
		case record.Opened:
			var body record.Opening
			body, fault = record.Decode[record.Opening](r)
			if !slices.Contains(w.Versions, body.Version) {
				w.Versions = append(w.Versions, body.Version)
			}
			p.event(r, "started", fmt.Sprintf("version %s, approvals %d", body.Version, len(body.Approvals)))
		case record.Operator:
			var body record.OrderBody
			body, fault = record.Decode[record.OrderBody](r)
			by := "a person"
			if body.By == record.BySweep {
				by = "the sweep itself"
			}
			p.event(r, r.Code, fmt.Sprintf("%s, by %s, cause %s", body.Scope(), by, cmp.Or(body.Cause, "none")))
		case record.Halted:
			var body record.HaltedBody
			body, fault = record.Decode[record.HaltedBody](r)
			halted = r.At
			p.event(r, "halted", cmp.Or(body.Cause, "no cause noted")+": "+record.Hide(body.Reason))
		case record.Tripwire:
			halted = r.At
			p.event(r, "tripwire", r.Code)
		case record.Closed:
			p.event(r, "ended", r.Code)
		case record.Wave:
			p.event(r, "wave", r.Code)
		}
		if fault != nil {
			return nil, fmt.Errorf("incident: record %d: %w", r.Seq, fault)
		}
	}
	for _, q := range open {
		p.ended(q)
	}
	slices.SortFunc(p.requests, func(a, b request) int {
		return cmp.Or(a.sent.Compare(b.sent), cmp.Compare(a.id.String(), b.id.String()))
	})
	if w.Since = halted; halted.IsZero() && len(p.requests) > 0 {
		w.Since = p.requests[0].sent
	}
	return p, nil
}

// ended counts a request, and keeps it if it did not succeed.
func (p *Pack) ended(q request) {
	p.What.Requests[q.class]++
	key := service{q.region, q.service.SRV(), q.class, q.code}
	t := p.services[key]
	if t == nil {
		t = &tally{first: q.sent}
		p.services[key] = t
	}
	t.n++
	if q.sent.Before(t.first) {
		t.first = q.sent
	}
	if q.sent.After(t.last) {
		t.last = q.sent
	}
	if q.class != record.ClassSuccess.String() {
		p.requests = append(p.requests, q)
	}
}

func (p *Pack) event(r record.Record, event, detail string) {
	p.events = append(p.events, []string{instant(r.At), strconv.FormatUint(r.Seq, 10), event, detail})
}

// servicesTable is services.csv.
func (p *Pack) servicesTable() [][]string {
	all := [][]string{{"region", "srv", "class", "code", "requests", "first_sent_at", "last_sent_at"}}
	keys := slices.SortedFunc(maps.Keys(p.services), func(a, b service) int {
		return cmp.Or(cmp.Compare(a.region, b.region), cmp.Compare(a.srv, b.srv), cmp.Compare(a.class, b.class), cmp.Compare(a.code, b.code))
	})
	for _, k := range keys {
		t := p.services[k]
		all = append(all, []string{k.region, k.srv, k.class, k.code, strconv.Itoa(t.n), instant(t.first), instant(t.last)})
	}
	return all
}

// requestsTable is requests.csv.
func (p *Pack) requestsTable() [][]string {
	all := [][]string{{"request_id", "srv", "region", "sent_at", "decided_at", "class", "code", "try"}}
	for _, q := range p.requests {
		try := ""
		if q.try > 0 {
			try = strconv.Itoa(q.try)
		}
		all = append(all, []string{q.id.String(), q.service.SRV(), q.region, instant(q.sent), instant(q.decided), q.class, q.code, try})
	}
	return all
}

// instant is a time as the tables have it; empty for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
