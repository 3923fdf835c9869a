package console

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Each role at each address of the document, which says who may: an address that says
// nothing is for nobody, and fails here.
func TestRolesAtEachAddress(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct{ Security []map[string][]Role }
	}
	if err := json.Unmarshal(openAPIText, &doc); err != nil {
		t.Fatal(err)
	}
	s, registry := &fakeSweep{status: troubled()}, prometheus.NewRegistry()
	digest := func(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
	h := newConsole(t, s, func(o *Options) {
		withStories(&fakeStories{}, false)(o)
		o.Registerer, o.Token, o.LookToken = registry, "to order", "to look"
		o.People = []Person{{"Ada", digest("Ada's"), Orders}, {"Bob", digest("Bob's"), Looks}, {"Carol", digest("Carol's"), Approves}}
	})
	gone, leave := context.WithCancel(t.Context()) // whoever asks for the news has left
	leave()
	refused, asked := 0, 0
	for path, methods := range doc.Paths {
		for method, is := range methods {
			needs := Anyone
			if len(is.Security) > 0 {
				roles := is.Security[len(is.Security)-1]["token"]
				if len(roles) != 1 || roles[0] != Looks && roles[0] != Orders {
					t.Fatalf("%s %s: for whom? %v", method, path, is.Security)
				}
				needs = roles[0]
			} else if path != "/healthz" && path != "/readyz" {
				t.Errorf("%s %s is for anyone", method, path)
			}
			for token, c := range map[string]struct {
				role Role
				is   string
			}{
				"": {Anyone, ""}, "another": {Anyone, ""}, "to look": {Looks, "who has this token may look, but"}, "to order": {role: Orders},
				"Bob's": {Looks, "Bob may look, but"}, "Carol's": {Approves, "Carol may look and, with a key of their own and not here, approve, but"}, "Ada's": {role: Orders},
			} {
				orders := len(s.orders)
				r := httptest.NewRequestWithContext(gone, strings.ToUpper(method), "http://ops.example"+strings.NewReplacer("{place}", "17").Replace(path), nil)
				r.Header.Set("Authorization", "Bearer "+token)
				if c.role == Orders && path != "/live" {
					r.Header.Set(PersonHeader, "Ada")
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				asked++
				may := needs == Anyone || needs == Looks && c.role != Anyone || needs == Orders && c.role == Orders
				switch {
				case may:
					if w.Code == http.StatusUnauthorized || w.Code == http.StatusForbidden {
						t.Errorf("%s %s with %q: %d %s", method, path, token, w.Code, w.Body)
					}
				case c.role == Anyone:
					if w.Code != http.StatusUnauthorized {
						t.Errorf("%s %s with %q: %d %s", method, path, token, w.Code, w.Body)
					}
				default:
					refused++
					if want := c.is + " gives no orders. Who may: Ada, whoever has the token of operations.token_file."; w.Code != http.StatusForbidden || strings.TrimSpace(w.Body.String()) != want {
						t.Errorf("%s %s with %q: %d %q, want %q", method, path, token, w.Code, w.Body, want)
					}
				}
				if !may && len(s.orders) != orders {
					t.Errorf("%s %s with %q: the order reached the sweep", method, path, token)
				}
			}
		}
	}
	if want := 3 * len(actions); refused != want || asked < 7*(len(actions)+10) || len(s.orders) == 0 {
		t.Errorf("%d of %d refused, want %d; %d orders", refused, asked, want, len(s.orders))
	}
	if got := counted(t, registry, "safemode_operations_refused_total", turnedRole); got != float64(refused) {
		t.Errorf("%v counted, want %d", got, refused)
	}
}

// Tokens by which two roles could not be told apart are refused, and so is a console to which
// nobody could give an order.
func TestTokensAreToldApart(t *testing.T) {
	ada := []Person{{"Ada", sha256.Sum256([]byte("Ada's")), Orders}}
	for name, o := range map[string]Options{
		"one for both roles": {Token: "one", LookToken: "one"},
		"to look alone":      {LookToken: "one"},
		"a person's, shared": {LookToken: "Ada's", People: ada},
		"no role":            {People: []Person{{Name: "Bob"}}},
	} {
		if _, err := newTokens(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := newTokens(Options{Token: "one", LookToken: "two", People: ada}); err != nil {
		t.Error(err)
	}
}

// The page says to each what they may not do, offers only what they may, and takes no
// approval from anybody.
func TestPageOfEachRole(t *testing.T) {
	h := newConsole(t, &fakeSweep{status: troubled()}, func(o *Options) {
		o.Token, o.LookToken = "to order", "to look"
		o.People = []Person{{"Ada", sha256.Sum256([]byte("Ada's")), Orders}, {"Carol", sha256.Sum256([]byte("Carol's")), Approves}}
	})
	for token, want := range map[string]string{
		"to order": `id="person"`, "Ada's": "Orders of Ada",
		"to look": "who has this token may look, but gives no orders.", "Carol's": "Carol may look and, with a key of their own and not here, approve, but gives no orders.",
	} {
		page := ask(h, "GET", "/", "Authorization", "Bearer "+token).Body.String()
		orders := token == "to order" || token == "Ada's"
		if !strings.Contains(page, want) || strings.Contains(page, `button class="grave"`) != orders || strings.Contains(page, `<fieldset class="orders"`) != orders {
			t.Errorf("%s: the page lacks %q, or offers what it must not", token, want)
		}
		if !strings.Contains(page, "Approvals are not given here") || strings.Contains(page, `data-order="approve"`) {
			t.Errorf("%s: the page does not say how approvals are given", token)
		}
	}
}
