package advice

import (
	"cmp"
	"strings"

	"safemode/engine/record"
)

// Place has the files and addresses of a sweep, as a command line names them. An empty one is
// written as a word in capitals, for the reader to replace.
type Place struct {
	Program       string // how this program is called
	Folder        string // in which the sweep was started: the files are relative to it
	Config        string // the configuration's file, as it was named: a plan binds the names of its files
	Plan, Journal string
	Approvers     []string // who approves, each the path of a certificate and a key without .pem and .key; none: the reader knows
	Approved      []string // names of the people who have approved already; nil: not known
	Operations    string   // host:port or https://host:port; empty: the default
	Guarded       bool     // the operations address asks for a token
	Ending        bool     // its process has halted, and still takes answers in
	Rehearsal     bool     // simulator and sweep in one process: nothing goes on after its end
}

// DefaultOperations is the operations address that commands talk to where none is named.
const DefaultOperations = "127.0.0.1:8090"

// command is a command line of this program, its words quoted where a shell needs it.
func (p Place) command(words ...string) string {
	line := quote(cmp.Or(p.Program, "safemode"))
	for _, w := range words {
		line += " " + quote(w)
	}
	return line
}

// Command is a command line of this program that names files of the sweep; it can be pasted
// anywhere on this machine.
func (p Place) Command(words ...string) string { return p.files(words...) }

// files is a command that names files of the sweep.
func (p Place) files(words ...string) string {
	line := p.command(words...)
	if p.Folder == "" {
		return line
	}
	return "cd " + quote(p.Folder) + " && " + line
}

// order is a command that goes to the running sweep.
func (p Place) order(words ...string) string {
	if p.Operations != "" && p.Operations != DefaultOperations {
		words = append(words, "--operations", p.Operations)
	}
	if strings.HasPrefix(p.Operations, "https://") {
		words = append(words, "--ca", "CA.pem")
	}
	if p.Guarded {
		words = append(words, "--token-file", "YOUR.token")
	}
	return p.command(words...)
}

func (p Place) config() string  { return cmp.Or(p.Config, "CONFIG.yaml") }
func (p Place) plan() string    { return cmp.Or(p.Plan, "PLAN") }
func (p Place) journal() string { return cmp.Or(p.Journal, "JOURNAL") }

// Sweep is the command that carries the plan out, and goes on with it.
func (p Place) Sweep() string {
	return p.files("sweep", "--config", p.config(), "--plan", p.plan(), "--journal", p.journal())
}

// approve is what each of two people gives, with their own certificate and key: a command for
// each whom the place names, or one that all give. A sweep that has begun is approved with its
// journal: an approval without it is of a beginning, and does not count.
func (p Place) approve(begun bool) (all []string) {
	people := p.Approvers
	if len(people) == 0 {
		people = []string{"YOUR"}
	}
	for _, person := range people {
		all = append(all, p.ApproveBy(person, begun))
	}
	return all
}

// ApproveBy is one person's approval.
func (p Place) ApproveBy(person string, begun bool) string {
	words := []string{"approve", "--config", p.config(), "--plan", p.plan(), "--cert", person + ".pem", "--key", person + ".key"}
	if begun {
		words = append(words, "--journal", p.journal())
	}
	return p.files(words...)
}

// Report writes the reports.
func (p Place) Report() string {
	return p.files("report", "--journal", p.journal(), "--out", "REPORT")
}

// callList writes the list of homes to call.
func (p Place) callList() string {
	return p.files("calls", "list", "--journal", p.journal(), "--out", "CALLS.xlsx")
}

// of are the flags of a hold's scope.
func of(h record.HoldStatus) []string {
	for _, kind := range [...]string{"region", "wave", "SRV"} {
		if value, found := strings.CutPrefix(h.Scope, kind+" "); found {
			return []string{"--" + strings.ToLower(kind), value}
		}
	}
	return nil
}

// plain are the characters that no shell minds.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,=@%+"

func quote(word string) string {
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
