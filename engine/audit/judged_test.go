package audit

import (
	"strings"
	"testing"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// An outcome must rest on a response to its own request, which came after the
// request and on which no other outcome rests. A message that falsely claims to
// be one is a fault only if an outcome rests on it.
func TestOutcomesRestOnResponses(t *testing.T) {
	id := servicerequests.RequestID{Originator: 1, Target: 2, Counter: 3}
	other := id
	other.Counter++
	request := record.Record{Kind: record.Request, ID: id, Service: servicerequests.ReadSupplyStatus}
	response := record.Record{Kind: record.Response, ID: id, Service: servicerequests.ReadSupplyStatus}
	elsewhere := response
	elsewhere.ID = other
	rests := func(of uint64) record.Record {
		return record.Record{Kind: record.Outcome, ID: id, Body: record.Encode(record.OutcomeBody{Class: record.ClassSuccess, Of: of})}
	}
	refused := func(of uint64) record.Record {
		return record.Record{Kind: record.Refused, Body: record.Encode(record.RefusedBody{Of: of})}
	}
	for name, test := range map[string]struct {
		records []record.Record
		fault   string // of journalled_first; empty: none
	}{
		"an older journal":                   {[]record.Record{request, response, rests(0)}, ""},
		"answered before, in an older one":   {[]record.Record{response, request, rests(0)}, "was answered by record 1, before it"},
		"an outcome by its response":         {[]record.Record{request, response, rests(2)}, ""},
		"a claim before, that is refused":    {[]record.Record{response, request, response, refused(1), rests(3)}, ""},
		"a claim before, that was believed":  {[]record.Record{response, request, rests(1)}, "was answered by record 1, before it"},
		"an outcome by what is no response":  {[]record.Record{request, response, rests(1)}, "rests on record 1"},
		"an outcome by another's response":   {[]record.Record{request, elsewhere, rests(2)}, "rests on record 2"},
		"an outcome by what is yet to come":  {[]record.Record{request, rests(3), response}, "rests on record 3"},
		"two outcomes by one response":       {[]record.Record{request, response, rests(2), rests(2)}, "is used already"},
		"a late answer":                      {[]record.Record{request, response, rests(2), response, rests(4)}, ""},
		"a refusal of what is yet to come":   {[]record.Record{request, response, refused(3)}, "about record 3"},
		"unmatched, in an older journal":     {[]record.Record{{Kind: record.Unmatched}}, ""},
		"a proven record that says nothing":  {[]record.Record{{Kind: record.Proven, Body: []byte("{")}}, "record 1"},
		"a proven alert":                     {[]record.Record{{Kind: record.Alert}, {Kind: record.Proven, Body: record.Encode(record.ProvenBody{Of: 1})}}, ""},
		"a message that nobody can make out": {[]record.Record{{Kind: record.Received, ID: id}, refused(1), request}, ""},
	} {
		a := newAuditor(Options{})
		for i, r := range test.records {
			r.Seq = uint64(i) + 1
			a.take(r)
		}
		a.endAnswers()
		found := strings.Join(a.first.Faults, "; ")
		if (test.fault == "") != (found == "") || !strings.Contains(found, test.fault) {
			t.Errorf("%s: %q, want %q", name, found, test.fault)
		}
	}
}
