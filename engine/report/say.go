package report

import (
	"cmp"
	"fmt"
	"strings"

	"safemode/engine/record"
)

// Say tells a record in a few words that name no device.
func Say(r record.Record) string {
	srv := ""
	if r.Service != 0 {
		srv = "SRV " + r.Service.SRV()
	}
	switch r.Kind {
	case record.Opened:
		return decoded(r, func(b record.Opening) string {
			if b.Takeover == nil {
				return "the sweep was started"
			}
			return "the sweep was started: " + b.Takeover.String()
		})
	case record.Planned:
		return "the plan was written down"
	case record.Target:
		return decoded(r, func(b record.TargetBody) string {
			return fmt.Sprintf("planned: %v in %v, said to be in mode %v", b.Type, b.Region, b.Claimed)
		})
	case record.Request:
		return srv + " was signed, to be sent"
	case record.PreCommand:
		return "the DCC gave the Pre-Command of " + srv
	case record.SignedCommand:
		return "the command of " + srv + " was signed, to be sent"
	case record.Reply:
		return "the DCC replied to " + srv + ": " + r.Code
	case record.Response:
		return strings.TrimSpace("an answer came: " + cmp.Or(srv, "of no service of this sweep") + " " + r.Code)
	case record.Alert:
		return "an alert came: " + r.Code
	case record.Received:
		return "a message came that is neither an answer nor an alert as far as it can be read"
	case record.Proven:
		return decoded(r, func(b record.ProvenBody) string { return "the alert was proven: " + b.Code + resting(b.Of) })
	case record.Unmatched:
		if len(r.Body) > 0 {
			return decoded(r, func(b record.JudgedBody) string { return otherWords(b) + resting(b.Of) })
		}
		return "a message came that answers nothing of this sweep"
	case record.Outcome:
		return decoded(r, func(b record.OutcomeBody) string { return srv + " ended: " + outcomeWords(b) + resting(b.Of) })
	case record.Refused:
		return decoded(r, func(b record.RefusedBody) string {
			return strings.TrimSpace(srv + " refused: " + strings.ReplaceAll(r.Code, "_", " ") + resting(b.Of))
		})
	case record.Verdict:
		return decoded(r, func(b record.VerdictBody) string {
			text := "verdict: " + strings.ReplaceAll(b.Verdict, "_", " ")
			if b.Reason != "" {
				text += " (" + b.Reason + ")"
			}
			return text + seen("; found", b.Found) + seen("; is", b.End)
		})
	case record.Operator:
		return decoded(r, func(b record.OrderBody) string {
			text := fmt.Sprintf("%s ordered: %s %s", b.By, b.Action, b.Scope())
			if n := len(b.Devices); n > 0 {
				text = fmt.Sprintf("%s ordered: %s of %d meters", b.By, b.Action, n)
			}
			if b.Reason != "" {
				text += " (" + b.Reason + ")"
			}
			return text
		})
	case record.Closed:
		return "the sweep ended: " + r.Code
	}
	return r.Kind.String()
}

func decoded[B record.Body](r record.Record, say func(B) string) string {
	body, err := record.Decode[B](r)
	if err != nil {
		return r.Kind.String() + ", which cannot be read"
	}
	return say(body)
}

func outcomeWords(b record.OutcomeBody) string {
	text := strings.ReplaceAll(b.Class.String(), "_", " ")
	if b.Code != "" {
		text += " (" + b.Code + ")"
	}
	if b.Observed != nil {
		text += seen(", seen", *b.Observed)
	}
	return fmt.Sprintf("%s, attempt %d", text, max(b.Attempt, 1))
}

// resting says which message a record is about.
func resting(of uint64) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf(", by record %d", of)
}

// seen says what of a meter was seen.
func seen(word string, o record.Observation) string {
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
