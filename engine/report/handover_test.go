package report_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
	"safemode/servicerequests/outside"
)

// answer is a whole exchange of a read, with what the device said.
func (s *script) answer(q request, useCase uint16, answer gbcs.Response) {
	s.t.Helper()
	s.request(q)
	s.reply(q, "I99")
	r := q.record(record.Response)
	r.Device, r.Code = r.ID.Target, "I0"
	u, ok := gbcs.LookupUseCase(useCase)
	if !ok {
		s.t.Fatalf("no use case %04X", useCase)
	}
	header := gbcs.Header{CRA: gbcs.CRAResponse, Counter: r.ID.Counter, Originator: r.ID.Target, Target: supplier, Code: useCase}
	answer.UseCase = u
	payload, err := gbcs.AppendResponsePayload(nil, header, answer)
	if err != nil {
		s.t.Fatal(err)
	}
	inner := append(gbcs.AppendMessage(nil, header, payload), 0)
	message := gbcs.AppendMAC(nil, inner, header.Originator, [16]byte{1})
	r.Body, err = duis.AppendResponse(nil, duis.Response{
		RequestID: r.ID, ResponseID: r.ID.Reversed(), Code: "I0", At: start,
		ServiceReference: u.SRV, SRV: u.SRV, Content: duis.DeviceResponse{Payload: message},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.add(r)
	s.outcome(q, record.ClassSuccess, "")
}

func column(t *testing.T, text []byte, device servicerequests.EUI, name string) string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i, head := range rows[0] {
		if head != name {
			continue
		}
		for _, row := range rows[1:] {
			if row[0] == device.String() {
				return row[i]
			}
		}
	}
	t.Fatalf("no column %s of %v", name, device)
	return ""
}

func TestHandoverTellsBalancesBeforeAndAfter(t *testing.T) {
	s := newScript(t)
	s.open()
	s.target(gasA, hubA, servicerequests.GSME)
	balance := func(counter uint64, credit, due servicerequests.Millipence) {
		s.answer(request{gasA, 0, servicerequests.GSME, servicerequests.ReadMeterBalance, counter}, 0x008D,
			gbcs.Response{HasBalance: true, Balance: credit, HasCreditModeBalance: true, CreditModeBalance: due})
	}
	balance(101, -2*servicerequests.Pound, servicerequests.Pound)
	const GCS21b = 0x00B5
	useCase, _ := gbcs.LookupUseCase(GCS21b)
	results := make([]byte, useCase.Items())
	for i := len(results) - 4; i < len(results); i++ { // the calendar's four parts: none is set
		results[i] = gbcs.StatusNotFound
	}
	s.answer(request{gasA, 0, servicerequests.GSME, servicerequests.ReadPrepaymentConfiguration, 102}, GCS21b,
		gbcs.Response{Results: results, Configuration: &gbcs.PrepaymentConfiguration{
			EmergencyCreditLimit: 10 * servicerequests.Pound, DisablementThreshold: -5 * servicerequests.Pound,
			DebtRecovery: [2]gbcs.DebtRecovery{{Period: 3600}, {Period: 86400}},
		}})
	credit := request{gasA, 0, servicerequests.GSME, servicerequests.ActivateEmergencyCredit, 103}
	s.request(credit)
	s.command(credit)
	s.outcome(credit, record.ClassNegative, "1")
	change := request{gasA, 0, servicerequests.GSME, servicerequests.SwitchToCredit, 104}
	s.request(change)
	s.command(change)
	at := start.Add(time.Hour)
	r := change.record(record.Outcome)
	r.Code, r.Body = record.ClassSuccess.String(), record.Encode(record.OutcomeBody{Class: record.ClassSuccess, AnsweredAt: at})
	s.add(r)
	balance(105, -2*servicerequests.Pound, 3*servicerequests.Pound)
	s.verdict(gasA, record.VerdictBody{Verdict: record.VerdictArmed})

	var devices bytes.Buffer
	rep := s.report()
	if err := rep.WriteHandover(&devices); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"balance_before": "-2.00000", "credit_mode_due_before": "1.00000",
		"balance_after": "-2.00000", "credit_mode_due_after": "3.00000",
		"emergency_credit": "refused", "emergency_credit_limit": "10.00000", "disablement_threshold": "-5.00000",
		"switched_at": "2026-11-23T03:00:00.000Z", "switched_by": change.record(record.Request).ID.String(),
	} {
		if got := column(t, devices.Bytes(), gasA, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	var armed bytes.Buffer
	if err := rep.WriteArmed(&armed); err != nil || strings.Count(armed.String(), "\n") != 2 {
		t.Errorf("armed.csv, %v:\n%s", err, &armed)
	}
	if got := rep.Handover(); len(got.Settings) != 1 || got.Counters[0].Last != 105 || got.Counters[0].Originator != supplier {
		t.Errorf("handover: %+v", got)
	}
}

// The pack is checked with the tools that whoever gets it has.
func TestHandoverSignature(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	o := report.Options{
		Sign:      func(digest []byte) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, key, digest) },
		PublicKey: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}
	if err := night(t).report().Write(directory, o); err != nil {
		t.Fatal(err)
	}
	pack := filepath.Join(directory, "handover")
	sums, err := os.ReadFile(filepath.Join(pack, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(filepath.Join(pack, "SHA256SUMS.sig"))
	if err != nil {
		t.Fatal(err)
	}
	if digest := sha256.Sum256(sums); !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
		t.Error("the signature is not over SHA256SUMS")
	}
	check := func() error {
		for _, args := range [][]string{
			{"sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"},
			{"openssl", "dgst", "-sha256", "-verify", "signer.pub.pem", "-signature", "SHA256SUMS.sig", "SHA256SUMS"},
		} {
			tool := exec.CommandContext(t.Context(), outside.Program(t, args[0], map[string]string{"sha256sum": "coreutils", "openssl": "openssl"}[args[0]]), args[1:]...)
			tool.Dir = pack
			if err := tool.Run(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	armed := filepath.Join(pack, "armed.csv")
	text, err := os.ReadFile(armed)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(armed, bytes.Replace(text, []byte("armed"), []byte("alarm"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if check() == nil {
		t.Error("an altered pack passes")
	}
	// A pack that is written again without a key does not keep the old signature.
	if err := night(t).report().Write(directory, report.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(pack, "SHA256SUMS.sig")); !os.IsNotExist(err) {
		t.Errorf("signature of the pack before: %v", err)
	}
}

func TestWeeklyComparesWithTheWeekBefore(t *testing.T) {
	s := newScript(t)
	s.open()
	s.target(elecA, hubA, servicerequests.ESME)
	s.target(elecB, hubB, servicerequests.ESME)
	verdict := func(device servicerequests.EUI, at time.Duration, v string, reason string) {
		s.verdict(device, record.VerdictBody{Verdict: v, Reason: reason})
		s.records[len(s.records)-1].At = start.Add(at)
	}
	const day = 24 * time.Hour
	verdict(elecA, day, record.VerdictUnknown, "no answer: E20")
	verdict(elecB, day, record.VerdictOnSupply, "")
	verdict(elecA, 9*day, record.VerdictArmed, "safe once the consumer presses the button")
	verdict(elecB, 10*day, record.VerdictExcluded, record.ReasonTransferred+" (E4)")
	verdict(elecA, 20*day, record.VerdictOnSupply, "") // after the week

	w := s.report().Weekly(start.Add(12*day), nil)
	if diff := cmp.Diff(report.Verdicts{Armed: 1, Excluded: 1}, w.Now); diff != "" {
		t.Errorf("now:\n%s", diff)
	}
	if diff := cmp.Diff(report.Verdicts{OnSupply: 1, Unknown: 1}, w.Before); diff != "" {
		t.Errorf("before:\n%s", diff)
	}
	if want := (report.Transferred{Total: 1, ThisWeek: 1, Homes: 1}); w.Transferred != want {
		t.Errorf("transferred: %+v", w.Transferred)
	}
	want := []report.ReasonMeters{{Verdict: "armed", Reason: "safe once the consumer presses the button", Meters: 1}}
	if diff := cmp.Diff(want, w.GoingOn); diff != "" {
		t.Errorf("reasons:\n%s", diff)
	}
	// A is armed and has another supplier in its home's list of transfers; B has left.
	w = s.report().Weekly(start.Add(12*day), report.List{elecA: {}, elecB: {}})
	if diff := cmp.Diff(&report.Transfers{Meters: 2, Homes: 2, ToCome: 1}, w.Transferred.Planned); diff != "" {
		t.Errorf("planned:\n%s", diff)
	}
	if diff := cmp.Diff([]report.WeeklyPriority{{Priority: 0, Homes: report.Homes{Armed: 1, Other: 1}}}, w.Priorities); diff != "" {
		t.Errorf("priorities:\n%s", diff)
	}
	if diff := cmp.Diff(report.Homes{AllOnSupply: 1, Other: 1}, w.HomesBefore); diff != "" {
		t.Errorf("homes before:\n%s", diff)
	}
	if len(w.Rows) != 1 || w.Rows[0].Planned != w.Planned {
		t.Errorf("rows: %+v", w.Rows)
	}
}

// The weekly report tells of homes by priority, of what is dark then, and what the next
// supplier wishes.
func TestWeeklyTellsOfHomes(t *testing.T) {
	s := town(t)
	notice := func(action string, after time.Duration) {
		s.add(record.Record{Kind: record.Operator, Code: action, Body: record.Encode(record.OrderBody{
			Action: action, By: "olga", Reference: "SoLR " + action, Reason: "homes are not transferred",
		})})
		s.records[len(s.records)-1].At = start.Add(after)
	}
	notice(record.OrderGoOn, 3*time.Hour)
	notice(record.OrderRenew, 4*time.Hour)
	notice(record.OrderCease, 20*time.Hour)
	r := s.report()
	w := r.Weekly(start.Add(10*time.Hour), nil)
	want := []report.WeeklyPriority{
		{Priority: 0, Homes: report.Homes{AllOnSupply: 1, Other: 1}},
		{Priority: 1, Homes: report.Homes{AllOnSupply: 1, Other: 1}, Calls: report.Calls{Dark: 1}},
		{Priority: 3, Homes: report.Homes{Armed: 1, Other: 1}, Calls: report.Calls{Armed: 1, Dark: 1}},
	}
	if diff := cmp.Diff(want, w.Priorities); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(report.Calls{Armed: 1, Dark: 2}, w.Calls); diff != "" {
		t.Error(diff)
	}
	if early := r.Weekly(start.Add(90*time.Minute), nil); early.Calls != (report.Calls{Armed: 1, Dark: 2}) || early.Notices != nil {
		t.Errorf("at 1:30: %+v, %v", early.Calls, early.Notices)
	}
	notices := []report.Notice{{At: start.Add(3 * time.Hour), Wish: "go_on", Reference: "SoLR go_on", Reason: "homes are not transferred", By: "olga"}}
	if diff := cmp.Diff(notices, w.Notices); diff != "" {
		t.Error(diff)
	}
	if h := r.Handover(); len(h.Notices) != 2 || h.Notices[1].Wish != "cease" || h.Homes.Armed != 1 || h.Calls.Dark != 2 {
		t.Errorf("handover: %+v", h)
	}
	if w.Transferred.Planned != nil {
		t.Error("transfers are planned without a list")
	}
}

func TestReconcile(t *testing.T) {
	read := func(text string) report.List {
		t.Helper()
		list, err := report.ReadList(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	const other = "00-DB-12-34-56-78-0F-01"
	inventory := read("device_id,device_status,mpxn\n" +
		elecA.String() + ",Commissioned,1200000000000\n" + elecB.String() + ",Suspended,\n" +
		elecC.String() + ",Commissioned,1300000000000\n" + gasA.String() + ",Commissioned,\n" + other + ",Commissioned,99\n")
	transfers := read("\ufeffmpxn,device_id,transfer_date\n," + elecA.String() + ",\n," + elecB.String() + ",2026-12-24\n")
	c := night(t).report().Reconcile(inventory, transfers)
	var out bytes.Buffer
	if err := c.WriteCSV(&out); err != nil {
		t.Fatal(err)
	}
	want := "device_id,mpxn,verdict,finding\n" +
		elecC.String() + ",1200000000000,excluded,\"excluded as transferred, and not in the list of transfers\"\n" +
		other + ",99,,\"in the inventory, and not planned\"\n" +
		elecB.String() + ",1200000000000,not_safe,\"planned, and not commissioned in the inventory\"\n" +
		gasB.String() + ",1200000000000,unknown,\"planned, and not in the inventory\"\n" +
		elecC.String() + ",1200000000000,excluded,the plan's MPxN is not the list's\n" +
		elecA.String() + ",1200000000000,on_supply,\"transferred by the list, and not excluded by the sweep\"\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	for text, fault := range map[string]string{
		"":               "list header: the file is empty",
		"device\n":       "list header: missing device_id; line 1 has 1 column",
		"device_id\nx\n": "line 2: ",
		"device_id\n00-DB-12-34-56-78-0F-01\n00-DB-12-34-56-78-0F-01\n": "line 3: device " + other + " is in the list already",
		"device_id,mpxn\n1\n": "line 2: 1 fields where the header has 2",
		"device_id,transfer_date\n00-DB-12-34-56-78-0F-01,30/11/2026\n": "line 2: transfer_date \"30/11/2026\": want a date like 2026-11-30",
	} {
		if _, err := report.ReadList(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: got %v, want %q", text, err, fault)
		}
	}
}

func TestRedactLeavesNoIdentifier(t *testing.T) {
	rep := night(t).report()
	rep.Redact()
	directory := t.TempDir()
	if err := rep.Write(directory, report.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"meters.csv", "not_covered.csv", "summary.html", "weekly.json", "handover/devices.csv", "calls.csv", "handover/calls.csv", "handover/armed.csv", "handover/handover.html"} {
		text, err := os.ReadFile(filepath.Join(directory, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, identifier := range []string{"00-DB-12", "1200000000000", "no,EUI"} {
			if bytes.Contains(text, []byte(identifier)) {
				t.Errorf("%s holds %s", file, identifier)
			}
		}
	}
	var summary report.Summary
	text, err := os.ReadFile(filepath.Join(directory, "summary.json"))
	if err == nil {
		err = json.Unmarshal(text, &summary)
	}
	if err != nil || summary.Meters != 5 {
		t.Errorf("summary: %v, %+v", err, summary)
	}
}
