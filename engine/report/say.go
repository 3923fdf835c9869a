package report

import (
	"cmp"
	"fmt"
	"strings"

	"safemode/engine/journal"
	"safemode/servicerequests"
)

// Say tells a record in a few words that name no device.
func Say(r journal.Record) string {
	srv := ""
	if r.Service != 0 {
		srv = "SRV " + r.Service.SRV()
	}
	switch r.Kind {
	case journal.Opened:
		return "the sweep was started"
	case journal.Planned:
		return "the plan was written down"
	case journal.Target:
		return decoded(r, func(b journal.TargetBody) string {
			return fmt.Sprintf("planned: %v in %v, said to be in mode %v", b.Type, b.Region, b.Claimed)
		})
	case journal.Request:
		return srv + " was signed, to be sent"
	case journal.PreCommand:
		return "the DCC gave the Pre-Command of " + srv
	case journal.SignedCommand:
		return "the command of " + srv + " was signed, to be sent"
	case journal.Reply:
		return "the DCC replied to " + srv + ": " + r.Code
	case journal.Response:
		return strings.TrimSpace("an answer came: " + cmp.Or(srv, "of no service of this sweep") + " " + r.Code)
	case journal.Alert:
		return "an alert came: " + r.Code
	case journal.Unmatched:
		return "a message came that answers nothing of this sweep"
	case journal.Outcome:
		return decoded(r, func(b journal.OutcomeBody) string { return srv + " ended: " + outcomeWords(b) })
	case journal.Refused:
		return strings.TrimSpace(srv + " refused: " + strings.ReplaceAll(r.Code, "_", " "))
	case journal.Verdict:
		return decoded(r, func(b journal.VerdictBody) string {
			text := "verdict: " + strings.ReplaceAll(b.Verdict, "_", " ")
			if b.Reason != "" {
				text += " (" + b.Reason + ")"
			}
			return text + seen("; found", b.Found) + seen("; is", b.End)
		})
	case journal.Operator:
		return decoded(r, func(b journal.OrderBody) string {
			text := fmt.Sprintf("%s ordered: %s %s", b.By, b.Action, scopeWords(b))
			if b.Reason != "" {
				text += " (" + b.Reason + ")"
			}
			return text
		})
	case journal.Closed:
		return "the sweep ended: " + r.Code
	}
	return r.Kind.String()
}

func decoded[B journal.Body](r journal.Record, say func(B) string) string {
	body, err := journal.Decode[B](r)
	if err != nil {
		return r.Kind.String() + ", which cannot be read"
	}
	return say(body)
}

func outcomeWords(b journal.OutcomeBody) string {
	text := strings.ReplaceAll(b.Class, "_", " ")
	if b.Code != "" {
		text += " (" + b.Code + ")"
	}
	if b.Observed != nil {
		text += seen(", seen", *b.Observed)
	}
	return fmt.Sprintf("%s, attempt %d", text, max(b.Attempt, 1))
}

// seen says what of a meter was seen.
func seen(word string, o journal.Observation) string {
	var parts []string
	if o.Mode != 0 {
		parts = append(parts, o.Mode.String())
	}
	if o.Supply != 0 {
		parts = append(parts, o.Supply.String())
	}
	if o.Balance != nil {
		parts = append(parts, "£"+o.Balance.String())
	}
	if len(parts) == 0 {
		return ""
	}
	return word + " " + strings.Join(parts, ", ")
}

func scopeWords(b journal.OrderBody) string {
	switch {
	case b.Region != servicerequests.UnknownRegion:
		return "region " + b.Region.String()
	case b.Wave != 0:
		return fmt.Sprintf("wave %d", b.Wave)
	case b.SRV != "":
		return "SRV " + b.SRV
	case len(b.Devices) > 0:
		return fmt.Sprintf("of %d meters", len(b.Devices))
	}
	return "the sweep"
}
