package truth

import (
	"context"
	"crypto/sha256"

	"safemode/devicesim"
	"safemode/devicesim/dcc"
	"safemode/engine/journal"
	"safemode/engine/record"
	"safemode/engine/report"
)

// otherAs is what the engine is to take each kind of other traffic for.
var otherAs = map[dcc.OtherKind]record.OtherKind{
	dcc.OtherRead: record.OtherUseCase, dcc.OtherScheduled: record.OtherService, dcc.OtherScheduleID: record.OtherService,
	dcc.OtherFirmware: record.OtherForm, dcc.OtherLongAlert: record.OtherForm,
	dcc.OtherRefusal: record.OtherAlert, dcc.OtherTopUp: record.OtherAlert,
	dcc.OtherSMETS1: record.OtherSMETS1, dcc.OtherS1SP: record.OtherS1SP,
	dcc.OtherCredentials: record.OtherDCCAlert, dcc.OtherOutage: record.OtherDCCAlert,
}

// alertOf is the code of a device's alert that is proven for any device: the engine takes in
// a planned device's, and another device's is other traffic.
var alertOf = map[dcc.OtherKind]string{dcc.OtherRefusal: "8F30", dcc.OtherTopUp: "810E"}

// otherMessage is what became of a message of other traffic.
type otherMessage struct {
	kind  dcc.OtherKind
	state int
}

// The states of a message; a later one stands.
const (
	otherAbsent = iota
	otherStored
	otherCounted
	otherMistaken
)

// OtherTraffic holds what the journal says of the User's other traffic against what the
// simulator has sent and the inbox has taken. Every message must be there, and be marked as
// what it is, or not be judged yet.
func OtherTraffic(ctx context.Context, path string, sent []devicesim.OtherMessage) (*report.OtherTraffic, error) {
	j, err := journal.OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer j.Close()
	messages := map[[sha256.Size]byte]*otherMessage{}
	for _, m := range sent {
		messages[m.SHA256] = &otherMessage{kind: m.Kind}
	}
	byNumber := map[uint64]*otherMessage{} // of the record
	for r, err := range j.Records(ctx, 1) {
		if err != nil {
			return nil, err
		}
		switch r.Kind {
		case record.Received, record.Response, record.Alert:
			if m := messages[sha256.Sum256(r.Body)]; m != nil {
				byNumber[r.Seq] = m
				m.state = max(m.state, otherStored)
			}
		case record.Unmatched, record.Repeated, record.Proven, record.Refused:
			if len(r.Body) == 0 {
				continue
			}
			body, err := record.Decode[record.JudgedBody](r) // the others have the same key
			if err != nil {
				return nil, err
			}
			if m := byNumber[body.Of]; m != nil {
				m.state = max(m.state, m.judged(r, body))
			}
		}
	}
	return countOther(messages, len(sent)), nil
}

// judged says whether a record takes the message for what it is.
func (m *otherMessage) judged(r record.Record, body record.JudgedBody) int {
	switch {
	case r.Kind == record.Unmatched && body.Kind == otherAs[m.kind]:
	case r.Kind == record.Proven && r.Code != "" && r.Code == alertOf[m.kind]:
	default:
		return otherMistaken
	}
	return otherCounted
}

func countOther(messages map[[sha256.Size]byte]*otherMessage, sent int) *report.OtherTraffic {
	o := &report.OtherTraffic{Sent: sent, Kinds: map[string]int{}}
	for _, m := range messages {
		o.Kinds[string(m.kind)]++
		switch m.state {
		case otherAbsent:
			o.Lost++
		case otherStored:
			o.Unjudged++
		case otherCounted:
			o.Counted++
		case otherMistaken:
			o.Mistaken++
		}
	}
	return o
}
