package advice

import (
	"fmt"
	"strings"
)

// Incident is one kind of trouble, as the runbook tells of it.
type Incident struct {
	Name  string   // as it is asked for: safemode help incident NAME
	Title string   // what it is, in a few words
	Said  []string // what is said first: parts of messages, word for word
	Means string
	Next  string // the next act
	Not   string // what not to do
}

// Instructions for a person, in the same words in a task and in the runbook.
const (
	doServices    = "Ask the DCC's service desk whether these services are in trouble. " + doesServices
	doesServices  = "The sweep tries them by itself and goes on when they answer."
	doInbox       = "Ask the DCC's service desk whether it can reach the inbox, and look at the firewall and at the inbox's certificate."
	doCertificate = "They are kept. Ask the DCC's service desk, by telephone, whether it signs under a new certificate; have that from the SMKI repository, and name it in dcc.transform_certificates or dcc.xml_signing_certificates. Then stop the sweep; the same command goes on with it and judges what was kept:"
	doRegion      = "Ask the DCC's service desk whether the region is out. If it is, pause the region, so that no tries are used up, and resume it later:"
	doDisk        = "Free some room now: a sweep that cannot write its journal halts."
	doJournal     = "Free the disk of the journal, repair it, or end the program that holds the file."
	doFenced      = "Another engine has the sweep, or may have: safemode sweeps --database says which. It goes on there; nothing is to be done here."
	doQuarantine  = "Ask the DCC's service desk to release them, and to delete those that are to be deleted (below, or in status); then resume."
	doUnproven    = "Find out with the DCC's service desk what these answers mean: homes that have moved to another supplier, or a certificate of the DCC that the configuration lacks."
	doMoved       = "Ask the Authority whether the market participant IDs have moved. If they have, these homes are another supplier's: nothing more is sent, and nobody approves. If single homes have switched, put them on transfers.file."
	doDirection   = "Ask the Authority for a new direction, sign it, and make a new plan; two then approve the new plan:"
	doUser        = "Ask the DCC's service desk why it refuses this User; look at dcc.url, the client certificate and the User's access (preflight --probe)."
	doDefect      = "Keep the journal and what the program said, and have the defect looked at before anything is sent."
	doSigner      = "Bring the signer back; the sweep then goes on by itself."
	doKeys        = "Mend the keys, the signer or the folder of counters: preflight says what is wrong with them."
	doRenew       = "Say that somebody is there:"
	doStandby     = "Give the second machine the same command: it stands by. If it does not, preflight there says why."
	doCutOff      = "See whether it runs; if nothing answers, and its process is gone, it was cut off. "
	approvers     = "Two approvers (not who prepared the plan or recorded its direction) approve"
)

// Incidents are all that the runbook tells of.
var Incidents = []Incident{
	{
		"dcc-down", "the DCC takes nothing",
		[]string{"the DCC takes nothing: ", "POSTs to the DCC fail: ", "took nothing when it was last tried"},
		"Its services refuse connections or answer with errors. What was sent stays open; nothing is lost and no try is used up.",
		doServices + " If they are well, look at the way there: dcc.url, dcc.tls, the firewall.",
		"Do not stop and start the sweep: it probes by itself, unless a rule has paused it. Do not raise the pace to catch up afterwards.",
	},
	{
		"dcc-slow", "the DCC puts POSTs off, or the sweep is slower than it was planned",
		[]string{"The DCC has put off ", "the disk sets the pace"},
		"The DCC allows this User less than the limits say, a disk is slow, or many meters do not answer. The sweep goes on by itself, later.",
		"Read the pace and the time to go in status. Lower limits.user or limits.regions to what the DCC allows, at the next start; if the direction ends sooner, ask the Authority now.",
		"Do not raise the limits, and do not raise a threshold without the DCC's word.",
	},
	{
		"user-refused", "the DCC refuses this User",
		[]string{"the DCC refuses the User (", "the DCC refuses every POST"},
		"It says that the User or the role may not send this (E1 to E3). Every further request would be refused as well, so the sweep has halted.",
		doUser + " " + approvers + " again.",
		"Do not try with other keys or another role.",
	},
	{
		"inbox-unreachable", "no answers come in",
		[]string{"nothing has come in at the inbox for ", "The inbox put off "},
		"The DCC takes requests, and its answers do not reach us or cannot be stored. The DCC keeps an answer only for a while; homes may have been switched all the same.",
		doInbox,
		"Do not rerun meters: their answers may be on the way. Do not take the inbox's TLS away to try it.",
	},
	{
		"region-out", "no meter answers in a region",
		[]string{"no meter answers in "},
		"The wide area network of that region, or the DCC's way to it, is out. Homes there stay as they are.",
		doRegion,
		"Do not pause the whole sweep: the other regions go on. Do not count these homes as unreachable.",
	},
	{
		"wrong-certificate", "answers cannot be proven",
		[]string{"under a certificate of the DCC that is not configured", "answers could not be proven, and do not count"},
		"A certificate of the DCC or of devices is not the one that the configuration or the SMKI service has, or somebody between us and the meters does not tell the truth. Nothing of it is believed.",
		doUnproven + " A new certificate of the DCC is had from the SMKI repository, named in dcc.transform_certificates or dcc.xml_signing_certificates, and looked at by preflight --probe; then the sweep is stopped and started again: what came under it was kept.",
		"Do not add a certificate that came with the messages themselves, or by e-mail alone.",
	},
	{
		"certificate-revoked", "the gate certificates is closed",
		[]string{"certificate is revoked"},
		"A certificate of the supplier is on a revocation list, or the list is too old to tell. Nothing may be sent in its name.",
		gates["certificates"] + " " + approvers + " again once the gate is open.",
		"Do not take the list out of gates.revocation_lists.",
	},
	{
		"mpids-moved", "the homes are another supplier's",
		[]string{"MPID has moved", "answers say that homes are another supplier's (E4)"},
		"The market participant IDs have moved by the record of them (gates.mpids_file), or the DCC says so of many homes (E4). What we send would concern another supplier's customers.",
		gates["mpids"] + " Homes that leave on days of their own belong on transfers.file.",
		"Do not widen tripwires.unregistered, and do not rerun these homes.",
	},
	{
		"adapter-not-frozen", "another system may send in the supplier's name",
		[]string{"another system sends under this identity"},
		"The statement that the everyday adapter is frozen has run out, or a message came under a counter that is not ours. Two systems under one identity use the same counters, and meters then refuse both.",
		gates["adapter"] + " Find out what else sends under this identity, and stop it.",
		"Do not resume while the other system runs, and do not raise counter_floor to get over it.",
	},
	{
		"quarantine", "the DCC holds requests back",
		[]string{"requests back; event references"},
		"The DCC's anomaly detection has quarantined requests: a threshold was crossed, or another system of the User has used it up. Nothing of them is sent again meanwhile.",
		doQuarantine,
		"Do not resume before they are released, and do not have arming (7.3) released that is old: it is to be deleted.",
	},
	{
		"disk-full", "the journal cannot be written",
		[]string{"MiB are free where the journal is, and the rest of the sweep may take"},
		"What is not in the journal is not sent, so the sweep halts. Answers that cannot be stored are put off, and the DCC sends them again for a while.",
		doDisk + " " + doJournal + " After a halt, two approve again with --journal.",
		"Do not delete or move the journal, what is beside it, or the folder of counters.",
	},
	{
		"killed", "the sweep is gone, or was stopped",
		[]string{"its journal has no end: it runs, or was cut off", "it was told to stop, and has drained"},
		"The process was killed, its machine lost power, or somebody stopped it. What was sent is in the journal, and no counter is used twice.",
		doCutOff + "Then give the same sweep command again: it goes on where it was.",
		"Do not begin a new journal or a new plan: that would not know what was sent.",
	},
	{
		"first-machine-died", "the machine that swept is gone, and another stands by",
		[]string{"standing by for ", "taking over the sweep"},
		"Nothing was heard of it until its lease had ended: ten seconds. The machine that stood by goes on with the same journal and the same counters. What was sent counts; no counter is used twice.",
		"See that the other has the sweep (safemode sweeps --database, status) and that messages reach its inbox. Look how many further starts the approvals give; have two approve again before they are used up. Then mend the first, and give it the same command: it stands by.",
		"Do not make a new journal, plan or custody, and do not put back a copy of the database while it answers. Do not end the one that sweeps to go back to the first: hand it over.",
	},
	{
		"nobody-stands-by", "no second machine would go on",
		[]string{"nobody stands by to take the sweep over"},
		"The journal is in a database, so that another machine can go on with it, and none is there. The sweep goes on; if its machine dies, homes wait until a person starts it again.",
		doStandby + " Look how many further starts the approvals give.",
		"Do not end the machine that sweeps.",
	},
	{
		"approver-missing", "approvals are missing",
		[]string{"not approved", "and two approvers must"},
		"A start, or going on after a halt, needs two different approvers of the roster, neither of whom prepared the plan or recorded its direction. Theirs are missing, have expired, or are for something else.",
		approvers + " it, each with their own key and, once it has begun, with --journal. status shows the command.",
		"Nobody lends a key. Do not edit the roster to get round it: its recorder signs it.",
	},
	{
		"direction-ended", "the direction is not in force",
		[]string{"The direction ended "},
		"Nothing may be sent before the direction begins or after it ends. Approvals of this plan do not help.",
		doDirection + " status shows the command.",
		"Do not change the dates in direction.yaml: its signature would not hold, and the plan has its own copy.",
	},
	{
		"clock-wrong", "this machine's clock is wrong",
		[]string{"set this machine's clock (NTP)"},
		"Gates, approvals and originator counters go by it. A clock that is ahead makes counters that lock the supplier out of its meters.",
		"Set this machine's clock (NTP), then run preflight again. A counter that is too far ahead needs two approvals, or a look at custody.",
		"Do not set the clock back while a sweep runs, and do not raise counter_floor.",
	},
	{
		"old-journal", "the journal is of another plan, or an older copy",
		[]string{"the journal is an older copy: ", "was begun with another plan"},
		"A plan is for one journal, and the folder of counters knows how far it had come. Yesterday's, or a copy put back from a backup, does not know what was sent since.",
		"Name the journal that belongs to this plan. If the newer one is truly lost, two approve the copy (safemode approve --accept), and safemode custody accept takes it.",
		"Do not delete the custody folder, and do not begin a new one beside it.",
	},
	{
		"wrong-columns", "a file has other columns than it should",
		[]string{"; line 1 has ", "rows are rejected, more than max_rejected_share"},
		"The header lacks columns, or a spreadsheet has changed their order or their values (an MPAN as 1.2E+12). Nothing of a rejected row is sent.",
		"Run safemode portfolio check FILE: it names the column, and the reject file has each line with its reason. Export the file again as CSV, with the id columns as text.",
		"Do not raise max_rejected_share before the reasons are understood: the homes left out stay dark.",
	},
	{
		"plan-too-slow", "the plan outlives its direction or misses a deadline",
		[]string{"the direction ends in ", "it cannot be done: at the limits it takes until ", "homes are reached after "},
		"At the configured limits the plan takes longer than the direction lasts, or reaches homes after their non-disablement period ends (late.csv).",
		"Before the night: agree higher limits with the DCC and make a new plan, or plan the most urgent homes first. While it runs: ask the Authority now whether it ends later; then sign the new direction, make a new plan and have two approve.",
		"Do not approve with --knowing unless you can say who accepts what is missed.",
	},
	{
		"paused", "a person or a rule has paused the sweep",
		[]string{"The sweep is paused, by a person or by a wave's abort rule"},
		"Nothing new is sent; answers still come in. Either somebody wanted a look, or too many requests of a wave ended badly, or nobody has renewed.",
		"Read who and why in status. Find out why the requests ended so, or ask who paused it; then resume by the command that status shows.",
		"Do not resume to see what happens: the abort rules then count from zero.",
	},
	{
		"halted", "the sweep has halted itself",
		[]string{"it has halted: "},
		"A gate closed, a tripwire or an abort rule fired, the journal or a key failed, or the DCC refuses the User. Only two approvals let it go on.",
		"Read the cause in status --journal, and mend it: the incident of that cause says how. " + approvers + " again with --journal, and the same sweep command goes on.",
		"Do not approve before the cause is understood.",
	},
	{
		"signer-gone", "there are no signatures",
		[]string{"no signatures: "},
		"The process that has the keys does not answer, is frozen, or has lost its token. The sweep waits.",
		doSigner + " If it is frozen, ask who froze it, and why.",
		"Do not copy keys to the sweep's machine to go on without it.",
	},
	{
		"keys-failed", "keys or counters failed",
		[]string{"a signing key cannot be used", "no originator counter can be reserved"},
		"A key cannot be used, or the folder of counters cannot be written. Without a counter that is durable nothing is signed.",
		doKeys + " " + approvers + " again.",
		"Do not replace the custody folder by a copy.",
	},
	{
		"defect", "a fault of the program, or something not permitted",
		[]string{"a defect of this program", "was about to be signed, and was refused"},
		"Something was about to happen that must not, and was refused. It is a defect or an attack.",
		doDefect,
		"Do not start it again to see whether it happens twice.",
	},
	{
		"homes", "homes need a person",
		[]string{"meters are not safe", "supply returns when the consumer presses the button", "nothing trustworthy is known"},
		"The sweep has done what it may for them. Armed homes must press a button; the others have a reason that says what to do.",
		"Call these homes, the longest without supply first (safemode calls list). Once a cause is put right, ask the meters again: safemode rerun.",
		"Nobody is told to press a button that is not armed, and nobody is called by the list of a drill.",
	},
	{
		"not-begun", "the sweep has not begun, or has ended for good",
		[]string{"it has not begun", "it has ceased for good"},
		"Nothing is sent.",
		"status shows the next command: approvals and the sweep before it has begun, the reports once it has ceased.",
		"A sweep that has ceased is not begun again with its journal.",
	},
}

// FindIncident finds an incident by its name.
func FindIncident(name string) (Incident, bool) {
	for _, i := range Incidents {
		if i.Name == name {
			return i, true
		}
	}
	return Incident{}, false
}

// String is the text of the runbook.
func (i Incident) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", i.Name, i.Title)
	b.WriteString("\nWhat is said first\n")
	for _, said := range i.Said {
		fmt.Fprintf(&b, "  \"%s\"\n", strings.TrimRight(said, " :("))
	}
	for _, part := range [...][2]string{{"What it means", i.Means}, {"What to do next", strings.TrimSuffix(i.Next, ":")}, {"What not to do", i.Not}} {
		fmt.Fprintf(&b, "\n%s\n%s\n", part[0], wrap(part[1]))
	}
	return b.String()
}

// wrap breaks a text into lines of 78 columns at most, each indented.
func wrap(text string) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString("  ")
			column = 2
		case column+1+len(word) > 78:
			b.WriteString("\n  ")
			column = 2
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
