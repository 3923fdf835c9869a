package report

import (
	"cmp"
	"fmt"
	"strings"

	"safemode/engine/record"
)

// otherUntold is the kind of messages in journals that do not tell it yet.
const otherUntold record.OtherKind = "untold"

// hearOther counts a message that answers nothing of the sweep.
func (f *reading) hearOther(r record.Record) error {
	var body record.JudgedBody
	if len(r.Body) > 0 {
		var err error
		if body, err = record.Decode[record.JudgedBody](r); err != nil {
			return err
		}
		f.runs.rests(body.Of)
	}
	f.report.Summary.OtherMessages[cmp.Or(body.Kind, otherUntold)]++
	return nil
}

// otherKinds are all kinds with what they are, in the order in which they are shown.
var otherKinds = [...]struct {
	kind record.OtherKind
	what string
}{
	{record.OtherResponse, "answers to requests of others"},
	{record.OtherSilence, "answers that did not come to requests of others"},
	{record.OtherAlert, "alerts of devices that are not planned"},
	{record.OtherDCCAlert, "alerts of the DCC"},
	{record.OtherUseCase, "responses of other use cases"},
	{record.OtherForm, "alerts of other forms"},
	{record.OtherService, "answers to other services"},
	{record.OtherIdentity, "for other identities of the User"},
	{record.OtherSMETS1, "of SMETS1 meters"},
	{record.OtherS1SP, "alerts of SMETS1 Service Providers"},
	{record.OtherSchema, "of a later schema"},
	{record.OtherUnproven, "not proven, of no request of the sweep"},
	{otherUntold, "of a kind that the journal does not tell"},
}

// otherText says how much other traffic there was, by kind; empty if there was none.
func (s *Summary) otherText() string {
	var parts []string
	sum := 0
	for _, k := range otherKinds {
		if n := s.OtherMessages[k.kind]; n > 0 {
			sum += n
			parts = append(parts, fmt.Sprintf("%d %s", n, k.what))
		}
	}
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf("%d messages answered nothing of this sweep: %s.", sum, strings.Join(parts, ", "))
}

// otherWords says what a message is that answers nothing of the sweep.
func otherWords(b record.JudgedBody) string {
	text := "the message answers nothing of this sweep"
	if b.Kind != "" {
		text += " (" + strings.ReplaceAll(string(b.Kind), "_", " ") + ")"
	}
	if b.Detail != "" {
		text += ": " + b.Detail
	}
	return text
}
