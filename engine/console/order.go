package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"

	"go.uber.org/zap"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Order is what a person orders of the sweep. At most one of Region, Wave and SRV is
// set; none means the whole sweep. Package sweep says what else an action
// takes.
type Order struct {
	Action        string `json:"-"` // one of actions
	By            string `json:"-"` // the person's name
	Authenticated bool   `json:"-"` // the name was proven by the person's token

	Region    servicerequests.Region `json:"region,omitzero"`
	Wave      int                    `json:"wave,omitempty"`
	SRV       string                 `json:"srv,omitempty"`
	Now       bool                   `json:"now,omitempty"`
	Nobody    bool                   `json:"nobody,omitempty"` // of a handover: also where nobody stands by
	Verdict   string                 `json:"verdict,omitempty"`
	Devices   []servicerequests.EUI  `json:"devices,omitempty"`
	Reason    string                 `json:"reason,omitempty"`
	Reference string                 `json:"reference,omitempty"`
	Confirm   string                 `json:"confirm,omitempty"` // the sweep's id, typed by who gives an order that cannot be undone
}

// actions lists the orders that have an address.
var actions = [...]string{"pause", "resume", "stop", "handover", "rerun", "exclude", "suppress", "deleted", "renew", "cease", "go_on"}

// forGood are the orders that cannot be undone. They want the sweep's id typed, and a named
// person; in a live sweep that name is proven by a token.
var forGood = map[string]bool{"cease": true, "exclude": true, "suppress": true}

// final refuses an order that cannot be undone unless it is meant, and somebody gives it.
func (c console) final(o Order) error {
	is := c.identity()
	switch {
	case !forGood[o.Action]:
		return nil
	case o.By == nobody:
		return fmt.Errorf("%w: %s cannot be undone: it needs the name of a person (%s)", ErrOrder, o.Action, PersonHeader)
	case !o.Authenticated && !is.Drill():
		return fmt.Errorf("%w: %s cannot be undone: where the sweep is live it needs a person with a token of their own (operations.people_file)", ErrOrder, o.Action)
	case o.Confirm == "" || o.Confirm != is.SweepID:
		return fmt.Errorf("%w: %s cannot be undone: confirm must be the sweep's id, %s", ErrOrder, o.Action, is.SweepID)
	}
	return nil
}

// ErrOrder marks an order that the sweep cannot carry out as it stands.
var ErrOrder = errors.New("not carried out")

// PersonHeader names who gives an order, where no token says so. It is a claim.
const PersonHeader = "Safemode-Person"

// largestOrder holds a list of a million devices.
const largestOrder = 32 << 20

// smallOrder is in bytes; of those that are larger no more than largeOrders are read at
// once.
const (
	smallOrder  = 64 << 10
	largeOrders = 2
)

// longestText bounds a name, a reason or a reference.
const longestText = 1000

// order hands an operator's order to the sweep.
func (c console) order(action string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o, err := c.readOrder(w, r)
		if name := callerOf(r).name; err == nil && name != "" {
			o.By, o.Authenticated = name, true
		} else if err == nil {
			o.By, err = claimedName(r.Header.Get(PersonHeader))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o.Action = action
		c.o.Log.Info("operator's order", zap.String("order", action), zap.String("by", o.By), zap.Bool("authenticated", o.Authenticated), zap.String("from", r.RemoteAddr))
		if err = c.final(o); err == nil {
			err = c.o.Sweep.Order(r.Context(), o)
		}
		c.board.takeDown()
		switch {
		case errors.Is(err, ErrOrder):
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case err != nil:
			http.Error(w, err.Error(), http.StatusConflict)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// readOrder reads the order of a request. Large ones wait for their turn, so that many
// together take no more memory than a few.
func (c console) readOrder(w http.ResponseWriter, r *http.Request) (o Order, err error) {
	if r.ContentLength < 0 || r.ContentLength > smallOrder {
		select {
		case c.bodies <- struct{}{}:
			defer func() { <-c.bodies }()
		case <-r.Context().Done():
			return o, r.Context().Err()
		}
	}
	return readOrder(http.MaxBytesReader(w, r.Body, largestOrder))
}

// readOrder reads the body of an order; none is an order of the whole sweep.
func readOrder(body io.Reader) (o Order, err error) {
	text, err := io.ReadAll(body)
	if err != nil || len(text) == 0 {
		return o, err
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, fmt.Errorf("order: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("order: more than one JSON object")
	}
	for _, line := range [...]struct{ name, text string }{{"reason", o.Reason}, {"reference", o.Reference}} {
		name, text := line.name, line.text
		if len(text) > longestText || strings.ContainsFunc(text, unicode.IsControl) {
			return o, fmt.Errorf("order: %s: want one line of at most %d bytes", name, longestText)
		}
	}
	return o, nil
}

// nobody is who gives an order that names no person.
const nobody = "somebody"

// claimedName is a name that nothing proves.
func claimedName(name string) (string, error) {
	if name == "" {
		return nobody, nil
	}
	if err := record.CheckName(name); err != nil {
		return "", fmt.Errorf("%s: %w", PersonHeader, err)
	}
	return name, nil
}
