package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"safemode/cmd/cli"
	"safemode/engine"
	"safemode/engine/record"
)

// waitsFor are the words that wait knows besides counts.
var waitsFor = []string{
	"standing_by", "running", "paused", "stopping", "halted", "interrupted", "ceased", "finished", "ended",
	record.HealthOK, record.HealthPerson, record.HealthNotSending,
}

// endedStates are the states after which a sweep does nothing by itself.
var endedStates = []string{"halted", "interrupted", "ceased", "finished"}

func newWait(io stdio) *cobra.Command {
	var client operations
	var conditions []string
	var journalPath string
	var timeout, every time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "wait --for STATE",
		Short: "Wait until the sweep is in a state, or has so many meters with a verdict",
		Long: `Waits until one of the things holds that --for names:

  standing_by, running, paused, stopping,
  halted, interrupted, ceased, finished  the sweep's state
  ended                                  any of halted, interrupted, ceased and finished
  ok, needs_person, not_sending          its health
  done>N, on_supply>N, armed>N, not_safe>N, unknown>N, excluded>N    meters, more than N

It asks the running sweep; where none answers, and --journal is given, the journal says how
the sweep has ended. Exit 0 once one holds; 1 when the time is up, or when the sweep has
ended otherwise, so that it cannot come any more.`,
		Example: `  safemode wait --for paused,ended --timeout 8h
  safemode wait --for 'armed>50' --for ended --journal journal.db && echo call`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var wanted []condition
			for _, text := range conditions {
				w, err := parseCondition(text)
				if err != nil {
					return failWith(exitUsage, fmt.Errorf("--for %s: %w", text, err))
				}
				wanted = append(wanted, w)
			}
			if every <= 0 || timeout < 0 {
				return failWith(exitUsage, errors.New("--every and --timeout: want more than 0s"))
			}
			ctx := c.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			st, err := waitUntil(ctx, &client, journalPath, wanted, every)
			switch {
			case c.Context().Err() != nil:
				return c.Context().Err()
			case err != nil:
				return err
			case asJSON:
				return printJSON(io.out, st)
			}
			_, err = fmt.Fprintln(io.out, statusLine(st))
			return failWith(exitFailed, err)
		},
	}
	client.addFlags(c)
	f := c.Flags()
	f.StringSliceVar(&conditions, "for", nil, "what is waited for: a state, a health, or a count like armed>50; may be repeated, and one is enough")
	f.StringVar(&journalPath, "journal", "", "the sweep's journal, which says how it has ended where nothing answers")
	f.DurationVar(&timeout, "timeout", 0, "the longest to wait (real time); 0: for ever")
	f.DurationVar(&every, "every", time.Second, "how often it looks (real time)")
	f.BoolVar(&asJSON, "json", false, "print the status that ended the wait as one line of JSON")
	required(c, "for")
	return c
}

// condition is one thing that is waited for.
type condition struct {
	word string // a state, a health, or what is counted
	over int    // of a count
}

func parseCondition(text string) (condition, error) {
	word, number, counted := strings.Cut(strings.TrimSpace(text), ">")
	if !counted {
		if !slices.Contains(waitsFor, word) {
			return condition{}, fmt.Errorf("want one of %s, or a count like armed>50", strings.Join(waitsFor, ", "))
		}
		return condition{word: word, over: -1}, nil
	}
	counts := append([]string{"done"}, record.Verdicts[:]...)
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || !slices.Contains(counts, word) {
		return condition{}, fmt.Errorf("want one of %s, then > and a number", strings.Join(counts, ", "))
	}
	return condition{word, n}, nil
}

// holds says whether a status fulfils it.
func (w condition) holds(st *record.Status) bool {
	switch {
	case w.over < 0:
		return st.State == w.word || st.Health.Level == w.word || w.word == "ended" && slices.Contains(endedStates, st.State)
	case w.word == "done":
		return st.Done > w.over
	}
	return st.Verdicts[w.word] > w.over
}

// waitUntil looks again and again until one of the conditions holds.
func waitUntil(ctx context.Context, client *operations, journalPath string, wanted []condition, every time.Duration) (st record.Status, err error) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		st = record.Status{}
		err = client.call(ctx, http.MethodGet, "", nil, &st)
		if err != nil && journalPath != "" && ctx.Err() == nil {
			st, err = endOf(ctx, journalPath, wanted)
		}
		var known *cli.Error
		switch {
		case err == nil && slices.ContainsFunc(wanted, func(w condition) bool { return w.holds(&st) }):
			return st, nil
		case err == nil && slices.Contains(endedStates, st.State):
			return st, failWith(exitFailed, fmt.Errorf("the sweep has ended otherwise: %s", statusLine(st)))
		case errors.As(err, &known) && known.Code != exitFailed: // it will not get better by itself
			return st, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if err == nil {
				err = errors.New(statusLine(st))
			}
			return st, failWith(exitFailed, fmt.Errorf("the time is up: %w", err))
		}
	}
}

// endOf is how a journal says that its sweep has ended.
func endOf(ctx context.Context, path string, wanted []condition) (record.Status, error) {
	place := placeOf("", "", path)
	st, err := engine.StatusOf(ctx, path, "", nil, place)
	if err != nil {
		return st, failWith(exitFailed, err) // it may be made yet
	}
	if slices.Contains(endedStates, st.State) && slices.ContainsFunc(wanted, func(w condition) bool { return w.over >= 0 }) {
		r, err := readReport(ctx, path)
		if err != nil {
			return st, err
		}
		engine.Tally(&st, r, place)
	}
	return st, nil
}
