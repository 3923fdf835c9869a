package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/cmd/rehearsal"
	"safemode/engine"
	"safemode/engine/record"
	"safemode/engine/report"
	"safemode/servicerequests/smki"
)

// numbers are what one source says at the end of a sweep, by names like
// "North/gas/armed" and "7.4 success".
type numbers map[string]int

func (n numbers) verdicts(prefix string, of report.Verdicts) {
	for name, count := range map[string]int{
		"on_supply": of.OnSupply, "armed": of.Armed, "not_safe": of.NotSafe, "unknown": of.Unknown, "excluded": of.Excluded,
	} {
		n[prefix+name] = count
	}
}

// whole drops what is 0: a source may leave it out.
func (n numbers) whole() numbers {
	maps.DeleteFunc(n, func(_ string, count int) bool { return count == 0 })
	return n
}

// At the end of a sweep status, page, its live news, metrics, summary.json and
// weekly.json say the same numbers of the same meters, with the same denominators, and
// they are those of the simulated meters.
func TestNumbersAgree(t *testing.T) {
	long(t)
	r := jumping(t, ofWhole(60, 150), 5, rehearsal.Options{})
	conf := r.Settings(true, 0)
	r.Point(&conf)
	o := r.engineOptions(t, &conf)
	o.Clock, o.Stay = r.Clock, longest
	e, err := engine.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	r.Sim.SetRespondTo(e.InboxURL())
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- errors.Join(e.Run(ctx), e.Close()) }()
	defer leave()
	s := &scene{dir: r.Dir, meters: r.Fleet.Len(), control: r.Sim.ControlAddr(), operations: strings.TrimPrefix(e.OperationsURL(), "http://")}
	news := s.lastNews(t)
	until(t, "finished", longest, func() bool { return s.status(t).State == "finished" })
	fromStatus := ofStatus(s.status(t))
	sources := map[string]numbers{"page": ofPage(t, string(get(t, "http://"+s.operations+"/")))}
	metrics := ofMetrics(scrape(t, s.operations))
	out := filepath.Join(t.TempDir(), "report")
	summary := parseSummary(t, must(t, "", "report", "--journal", s.path("journal.db"), "--out", out, "--json"))
	reported := numbers{"meters": summary.Meters}
	reported.verdicts("", summary.Verdicts)
	for srv, c := range summary.Requests {
		for class, n := range map[string]int{
			"success": c.Success, "negative": c.Negative, "no_response": c.NoResponse, "rejected": c.Rejected,
			"in_doubt": c.InDoubt, "unverified": c.Unverified,
		} {
			reported[srv+" "+class] = n
		}
	}
	var weekly report.Weekly
	text, err := os.ReadFile(filepath.Join(out, "weekly.json"))
	if err == nil {
		err = json.Unmarshal(text, &weekly)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range weekly.Rows {
		prefix := row.Region + "/" + row.Fuel + "/"
		reported[prefix+"meters"] = row.Planned
		reported.verdicts(prefix, row.Now)
	}
	sources["reports"] = reported
	truth := s.truth(t, readMeters(t, out))
	leave()
	if err := <-ended; err != nil {
		t.Errorf("interrupted after the end: %v", err)
	}
	sources["live news"] = ofPage(t, <-news)

	for name, source := range sources {
		if diff := cmp.Diff(fromStatus, source.whole()); diff != "" {
			t.Errorf("-status +%s\n%s", name, diff)
		}
	}
	// Those that do not show all: what they show.
	for name, source := range map[string]numbers{"metrics": metrics, "truth": truth} {
		same := maps.Clone(fromStatus)
		maps.DeleteFunc(same, func(key string, _ int) bool {
			inRegion, ofRequests := strings.Contains(key, "/"), strings.Contains(key, ".")
			return name == "metrics" && inRegion || name == "truth" && ofRequests
		})
		if diff := cmp.Diff(same, source.whole()); diff != "" {
			t.Errorf("-status +%s\n%s", name, diff)
		}
	}
	sum := func(suffix string) (n int) {
		for key, count := range fromStatus {
			if strings.HasSuffix(key, suffix) {
				n += count
			}
		}
		return n
	}
	if fromStatus["meters"] != s.meters || sum("/meters") != s.meters || fromStatus["armed"] == 0 || sum("/armed") != fromStatus["armed"] {
		t.Errorf("of %d meters: %v", s.meters, fromStatus)
	}
}

func ofStatus(status record.Status) numbers {
	n := numbers{"meters": status.Meters}
	maps.Copy(n, status.Verdicts)
	for _, r := range status.Regions {
		prefix := r.Region + "/" + r.Fuel + "/"
		n[prefix+"meters"] = r.Meters
		for verdict, count := range r.Verdicts {
			n[prefix+verdict] = count
		}
	}
	for srv, classes := range status.Services {
		for class, count := range classes {
			if class != "withdrawn" { // no meter was sent it
				n[srv+" "+class] = count
			}
		}
	}
	return n.whole()
}

// ofPage reads what a person reads in the page.
func ofPage(t *testing.T, page string) numbers {
	t.Helper()
	n := numbers{}
	for _, m := range regexp.MustCompile(`</i>(?:<a [^>]*>)?([a-z ]+)(?:</a>)? <b>(\d+)</b> of (\d+)`).FindAllStringSubmatch(page, -1) {
		if m[1] != "no verdict yet" {
			n[strings.ReplaceAll(m[1], " ", "_")] = atoi(t, m[2])
		}
		if all := atoi(t, m[3]); n["meters"] != 0 && n["meters"] != all {
			t.Errorf("the page has the denominators %d and %d", n["meters"], all)
		} else {
			n["meters"] = all
		}
	}
	for _, row := range tableUnder(t, page, "Verdicts by region and fuel") {
		prefix := row["region"] + "/" + row["fuel"] + "/"
		n[prefix+"meters"] = atoi(t, row["of"])
		for _, verdict := range []string{"on supply", "armed", "not safe", "unknown", "excluded"} {
			n[prefix+strings.ReplaceAll(verdict, " ", "_")] = atoi(t, row[verdict])
		}
	}
	for _, row := range tableUnder(t, page, "Requests that ended") {
		for column, text := range row {
			if column != "SRV" && column != "withdrawn" {
				srv, _, _ := strings.Cut(row["SRV"], " ") // its name follows
				n[srv+" "+strings.ReplaceAll(column, " ", "_")] = atoi(t, text)
			}
		}
	}
	return n
}

// tableUnder reads the table of a section by its column names.
func tableUnder(t *testing.T, page, heading string) (rows []meterLine) {
	t.Helper()
	_, rest, found := strings.Cut(page, "<h2>"+heading+"</h2>")
	table, _, ended := strings.Cut(rest, "</table>")
	if !found || !ended {
		t.Fatalf("the page has no table %q", heading)
	}
	cell := regexp.MustCompile(`(?s)<t[hd][^>]*>(.*?)</t[hd]>`)
	tag := regexp.MustCompile(`<[^>]*>`)
	var columns []string
	for i, line := range strings.Split(table, "<tr>")[1:] {
		row := meterLine{}
		for at, m := range cell.FindAllStringSubmatch(line, -1) {
			text := html.UnescapeString(strings.TrimSpace(tag.ReplaceAllString(m[1], "")))
			if i == 0 {
				columns = append(columns, text)
			} else {
				row[columns[at]] = text
			}
		}
		if i > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

func atoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ofMetrics(samples map[string]float64) numbers {
	n := numbers{"meters": int(samples["safemode_planned_meters"])}
	label := regexp.MustCompile(`([a-z]+)="([^"]*)"`)
	for sample, value := range samples {
		l := map[string]string{}
		for _, m := range label.FindAllStringSubmatch(sample, -1) {
			l[m[1]] = m[2]
		}
		switch name, _, _ := strings.Cut(sample, "{"); name {
		case "safemode_meters":
			n[l["verdict"]] = int(value)
		case "safemode_service_requests_total":
			n[l["srv"]+" "+l["class"]] += int(value)
		case "safemode_service_requests_revised_total":
			n[l["srv"]+" "+l["from"]] -= int(value)
			n[l["srv"]+" "+l["to"]] += int(value)
		}
	}
	maps.DeleteFunc(n, func(key string, _ int) bool { return strings.HasSuffix(key, " withdrawn") })
	return n
}

// truth counts the simulated meters by what they are now, and says nothing of what the
// sweep thinks of them. Of one that cannot be reached nothing can be known.
func (s *scene) truth(t *testing.T, planned []meterLine) numbers {
	t.Helper()
	_, lines := readCSV(t, s.path("fleet.csv"))
	reachable := map[string]bool{}
	for _, m := range lines {
		reachable[m["device_id"]] = m["reachable"] == "true"
	}
	n := numbers{}
	for _, m := range planned {
		var now struct {
			Mode     string `json:"payment_mode"`
			Supply   string `json:"supply_state"`
			Supplier string `json:"registered_supplier"`
		}
		if err := json.Unmarshal(get(t, "http://"+s.control+"/sim/v1/devices/"+m["device_id"]), &now); err != nil {
			t.Fatal(err)
		}
		is := "not_safe"
		switch {
		case now.Supplier != smki.TestSupplier.String():
			is = "excluded"
		case !reachable[m["device_id"]]:
			is = "unknown"
		case now.Mode == "credit" && now.Supply == "enabled":
			is = "on_supply"
		case now.Mode == "credit" && now.Supply == "armed":
			is = "armed"
		}
		fuel := map[string]string{"ESME": "electricity", "GSME": "gas"}[m["device_type"]]
		for _, key := range []string{"meters", is, fmt.Sprintf("%s/%s/meters", m["csp_region"], fuel), fmt.Sprintf("%s/%s/%s", m["csp_region"], fuel, is)} {
			n[key]++
		}
	}
	return n
}

// lastNews follows the page's live news to their end, and gives the last.
func (s *scene) lastNews(t *testing.T) <-chan string {
	t.Helper()
	reply, err := http.Get("http://" + s.operations + "/live")
	if err != nil {
		t.Fatal(err)
	}
	last := make(chan string, 1)
	go func() {
		defer reply.Body.Close()
		var event, whole strings.Builder
		for lines := bufio.NewScanner(reply.Body); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				event.WriteString(text + "\n")
			} else if lines.Text() == "" {
				whole.Reset()
				whole.WriteString(event.String())
				event.Reset()
			}
		}
		last <- whole.String()
	}()
	return last
}
