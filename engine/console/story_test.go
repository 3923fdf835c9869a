package console

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// fakeStories knows one meter.
type fakeStories struct{ asked Question }

var someMeter = Meter{
	Place: 17, Device: "00-DB-12-E0-00-00-00-11", MPxN: "1000000000017", Region: "North", Fuel: "gas",
	Verdict: "not_safe", Reason: "arm <refused>", At: time.Date(2026, 11, 25, 16, 0, 0, 0, time.UTC),
}

func (f *fakeStories) Find(_ context.Context, q Question) (Meters, error) {
	f.asked = q
	switch {
	case q.Text == "nonsense":
		return Meters{}, fmt.Errorf("%w: %q is no device id", ErrQuestion, q.Text)
	case q.Text == "nobody", q.List == "held":
		return Meters{}, nil
	case q.Text == "two":
		other := someMeter
		other.Place = 18
		return Meters{Found: []Meter{someMeter, other}, All: 2, Behind: 77}, nil
	}
	all := 1
	if q.List == "armed" {
		all = 5000
	}
	return Meters{Found: []Meter{someMeter}, All: all}, nil
}

func (f *fakeStories) Tell(_ context.Context, place int) (Story, error) {
	if place != someMeter.Place {
		return Story{}, ErrNoMeter
	}
	other := someMeter
	other.Place, other.Fuel, other.Verdict, other.Device = 18, "electricity", "on_supply", "00-DB-12-E0-00-00-00-12"
	return Story{
		Meter: someMeter, LeftOut: 3, Behind: 88, Do: "send an engineer", Home: []Meter{other},
		Now: Known{Mode: "credit", Supply: "disabled", Balance: "-1.50", At: someMeter.At, BalanceAt: someMeter.At}, Chapters: []Chapter{{
			Service: "SRV 7.4 Read Supply Status", Request: 1, Seq: 40, At: someMeter.At, Kind: "response", Says: "an answer came: SRV 7.4 I0", RequestID: "90-B3:00-DB-12-E0-00-00-00-11:7",
			Body:   "<Response>00-DB-12-E0-00-00-00-11</Response>",
			Proofs: []Proof{{"the DCC sent this message", "anyone", "verified"}, {"the device signed", "anyone", "FAILED: by 00-DB-12-E0-00-00-00-11"}},
		}},
	}, nil
}

func withStories(f *fakeStories, redact bool) func(*Options) {
	return func(o *Options) { o.Stories, o.Redact = f, redact }
}

// A list leads to a meter, and so does what a person types; without any script.
func TestMeters(t *testing.T) {
	f := &fakeStories{}
	h := newConsole(t, &fakeSweep{status: troubled()}, withStories(f, false))
	for path, c := range map[string]struct {
		status int
		asked  Question
		texts  []string
	}{
		"/":                     {200, Question{}, []string{`href="/meters?list=stuck"`, `href="/meters?list=not_safe"`, `href="/meters?list=rejected"`, `name="find"`}},
		"/meters":               {200, Question{}, []string{"Stuck: nothing", `href="/meters?list=held"`}},
		"/meters?list=armed":    {200, Question{List: "armed"}, []string{"The first 1 of 5000.", `href="/meter/17"`, "arm &lt;refused&gt;", "1000000000017"}},
		"/meters?list=held":     {200, Question{List: "held"}, []string{"<p>None.</p>"}},
		"/meters?list=rumour":   {200, Question{}, []string{"<h1>Meters</h1>"}},
		"/meters?find=two":      {200, Question{Text: "two"}, []string{`href="/meter/18"`, "77 records of the journal are not looked through yet"}},
		"/meters?find=one":      {303, Question{Text: "one"}, nil},
		"/meters?find=nobody":   {404, Question{Text: "nobody"}, []string{"No meter of the plan has it."}},
		"/meters?find=nonsense": {422, Question{Text: "nonsense"}, []string{"is no device id"}},
		"/meter/17": {200, Question{}, []string{
			"<h1>00-DB-12-E0-00-00-00-11</h1>", "an answer came: SRV 7.4 I0", "verified", `class="fault"`, "&lt;Response&gt;", "3 records between", "88 records of the journal are not looked", "2026-11-25 16:00:00.000", "to anyone",
			"<strong>not safe</strong>: arm &lt;refused&gt;.", `In credit mode, supply disabled, as of 25 Nov 16:00:00 UTC; balance <span class="whole">-£1.50</span>`, "<b>What to do:</b> send an engineer.",
			`<a href="/meter/18">electricity <span class="whole">00-DB-12-E0-00-00-00-12</span></a> (on supply)`, "<b>SRV 7.4 Read Supply Status</b>",
		}},
		"/meter/18":                   {404, Question{}, nil},
		"/meter/seventeen":            {404, Question{}, nil},
		"/meter/99999999999999999999": {404, Question{}, nil},
	} {
		f.asked = Question{}
		w := ask(h, "GET", path)
		if w.Code != c.status || f.asked != c.asked {
			t.Errorf("%s: %d, asked %+v", path, w.Code, f.asked)
		}
		for _, text := range c.texts {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s lacks %q", path, text)
			}
		}
		if c.status == 303 && w.Header().Get("Location") != "/meter/17" {
			t.Errorf("%s leads to %q", path, w.Header().Get("Location"))
		}
	}
	if w := ask(newConsole(t, &fakeSweep{status: troubled()}, nil), "GET", "/meters"); w.Code != 404 {
		t.Errorf("without stories: %d", w.Code)
	}
}

// Where pages are redacted, who may give no orders learns no device, home or message.
func TestRedactedStories(t *testing.T) {
	secrets := []string{"00-DB-12-E0", "1000000000017", "90-B3", "&lt;Response"}
	h := newConsole(t, &fakeSweep{status: troubled()}, func(o *Options) {
		withStories(&fakeStories{}, true)(o)
		o.People = []Person{{Name: "Ada", TokenSHA256: sha256.Sum256([]byte("ada's token")), Role: Orders}, {Name: "Bob", TokenSHA256: sha256.Sum256([]byte("bob's token")), Role: Looks}}
	})
	look := func(token, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/", "/meters?list=armed", "/meter/17", "/meters?find=two"} {
		page := look("bob's token", path).Body.String()
		for _, secret := range secrets {
			if strings.Contains(page, secret) {
				t.Errorf("%s tells %q", path, secret)
			}
		}
	}
	if page := look("bob's token", "/meter/17").Body.String(); !strings.Contains(page, "meter 17 of the plan") || !strings.Contains(page, "FAILED") || !strings.Contains(page, "an answer came") {
		t.Errorf("the story is gone:\n%s", page)
	}
	if w := look("bob's token", "/meters?find=17"); w.Header().Get("Location") != "/meter/17" {
		t.Errorf("by place: %d %q", w.Code, w.Header().Get("Location"))
	}
	if page := look("ada's token", "/meter/17").Body.String(); !strings.Contains(page, secrets[0]) || !strings.Contains(page, secrets[3]) {
		t.Error("an operator sees a redacted story")
	}
	open := newConsole(t, &fakeSweep{status: troubled()}, withStories(&fakeStories{}, true))
	if page := ask(open, "GET", "/meter/17").Body.String(); strings.Contains(page, secrets[0]) {
		t.Error("without people, a redacted page tells a device id")
	}
}
