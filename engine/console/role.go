package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"safemode/engine/record"
)

// Role is what somebody may do at this address.
type Role string

const (
	Anyone   Role = ""        // asks whether the process works, and nothing else
	Looks    Role = "look"    // reads the page, the status, the metrics and the stories
	Orders   Role = "order"   // looks, and gives orders
	Approves Role = "approve" // looks; approves with a key of their own, and never here
)

// may says whether a role allows what needs another.
func (r Role) may(needs Role) bool {
	return needs == Anyone || needs == r || needs == Looks && r != Anyone
}

// Person is somebody with a token of their own.
type Person struct {
	Name        string
	TokenSHA256 [sha256.Size]byte
	Role        Role // Looks, Orders or Approves
}

// checkPeople refuses a list in which two are not told apart, or somebody has no role.
func checkPeople(people []Person) error {
	for i, p := range people {
		if err := record.CheckName(p.Name); err != nil {
			return fmt.Errorf("person %d: %w", i+1, err)
		}
		if p.Role != Looks && p.Role != Orders && p.Role != Approves {
			return fmt.Errorf("%s: no role: %q", p.Name, p.Role)
		}
		if slices.ContainsFunc(people[:i], func(other Person) bool {
			return record.SameName(other.Name, p.Name) || other.TokenSHA256 == p.TokenSHA256
		}) {
			return fmt.Errorf("%s: another has the same name or the same token", p.Name)
		}
	}
	return nil
}

// caller is who asks.
type caller struct {
	name string // of a person, proven by a token; empty: nobody in particular
	role Role
}

type callerKey struct{}

// as notes in a request who it is from.
func as(r *http.Request, who caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, who))
}

// callerOf is who a request is from.
func callerOf(r *http.Request) caller {
	who, _ := r.Context().Value(callerKey{}).(caller) // without one: Anyone
	return who
}

// tokens say who a caller is.
type tokens struct {
	people []Person
	shared []sharedToken
}

// sharedToken is one that many may have.
type sharedToken struct {
	digest [sha256.Size]byte
	role   Role
}

// Check refuses tokens by which two could not be told apart, and those that let nobody give
// an order.
func (a Address) Check() error {
	_, err := newTokens(Options{Token: a.Token, LookToken: a.LookToken, People: a.People})
	return err
}

// newTokens takes the tokens of the options.
func newTokens(o Options) (tokens, error) {
	if err := checkPeople(o.People); err != nil {
		return tokens{}, err
	}
	t := tokens{people: o.People}
	for _, given := range [...]struct {
		role        Role
		token, name string
	}{{Orders, o.Token, "operations.token_file"}, {Looks, o.LookToken, "operations.look_token_file"}} {
		if given.token == "" {
			continue
		}
		digest := sha256.Sum256([]byte(given.token))
		if slices.ContainsFunc(o.People, func(p Person) bool { return p.TokenSHA256 == digest }) ||
			slices.ContainsFunc(t.shared, func(s sharedToken) bool { return s.digest == digest }) {
			return tokens{}, fmt.Errorf("%s: another has the same token: make one of its own (openssl rand -hex 32)", given.name)
		}
		t.shared = append(t.shared, sharedToken{digest, given.role})
	}
	if o.LookToken != "" && o.Token == "" && len(o.People) == 0 {
		return tokens{}, errors.New("with a token to look alone nobody could give an order")
	}
	return t, nil
}

// none says whether no token is asked for.
func (t tokens) none() bool { return len(t.people) == 0 && len(t.shared) == 0 }

// identify finds who gave a token. All are compared, each in the same time, so that how long
// it takes says nothing.
func (t tokens) identify(token string) (who caller, known bool) {
	got := sha256.Sum256([]byte(token))
	for _, p := range t.people {
		if subtle.ConstantTimeCompare(got[:], p.TokenSHA256[:]) == 1 {
			who, known = caller{p.Name, p.Role}, true
		}
	}
	for _, s := range t.shared {
		if subtle.ConstantTimeCompare(got[:], s.digest[:]) == 1 {
			who, known = caller{role: s.role}, true
		}
	}
	return who, known
}

// mayOrder says who may give orders.
func (t tokens) mayOrder() string {
	var all []string
	for _, p := range t.people {
		if p.Role == Orders {
			all = append(all, p.Name)
		}
	}
	if slices.ContainsFunc(t.shared, func(s sharedToken) bool { return s.role == Orders }) {
		all = append(all, "whoever has the token of operations.token_file")
	}
	if len(all) == 0 {
		return "nobody, as it is configured"
	}
	return strings.Join(all, ", ")
}

// refusal says what a caller may not do, and who may.
func (t tokens) refusal(who caller) string {
	name := who.name
	if name == "" {
		name = "who has this token"
	}
	may := "may look"
	if who.role == Approves {
		may = "may look and, with a key of their own and not here, approve"
	}
	return fmt.Sprintf("%s %s, but gives no orders. Who may: %s.", name, may, t.mayOrder())
}

// needing lets an address be asked by whom it is for.
func (c console) needing(needs Role, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if who := callerOf(r); !who.role.may(needs) {
			c.guard.turnAway(w, r, http.StatusForbidden, turnedRole, c.tokens.refusal(who))
			return
		}
		next(w, r)
	}
}
