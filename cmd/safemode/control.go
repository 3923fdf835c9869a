package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"safemode/engine/sweep"
)

const defaultOperations = "127.0.0.1:8090"

// newStatus shows where a running sweep stands.
func newStatus(io stdio) *cobra.Command {
	var address string
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Where the running sweep stands",
		Example: `  safemode status --operations 127.0.0.1:8090 --json`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var status sweep.Status
			if err := callSweep(c.Context(), http.MethodGet, address, "", &status); err != nil {
				return err
			}
			if asJSON {
				return printJSON(io.out, status)
			}
			fmt.Fprintln(io.out, statusLine(status))
			return nil
		},
	}
	c.Flags().StringVar(&address, "operations", defaultOperations, "operations address of the sweep")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON")
	return c
}

// newOrder gives the running sweep one order: pause, resume or stop.
func newOrder(io stdio, order string) *cobra.Command {
	what := map[string]string{
		"pause":  "Send nothing new; answers are still taken in",
		"resume": "Go on after a pause",
		"stop":   "Drain the sweep and end it; the same command goes on with it",
	}
	var address string
	c := &cobra.Command{
		Use:     order,
		Short:   what[order],
		Example: "  safemode " + order + " --operations 127.0.0.1:8090",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := callSweep(c.Context(), http.MethodPost, address, "/"+order, nil); err != nil {
				return err
			}
			fmt.Fprintf(io.err, "%s: done\n", order)
			return nil
		},
	}
	c.Flags().StringVar(&address, "operations", defaultOperations, "operations address of the sweep")
	return c
}

// callSweep talks to the operations address of a running sweep.
func callSweep(ctx context.Context, method, address, path string, result any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/api/v1/sweep"+path, nil)
	if err != nil {
		return failWith(exitUsage, fmt.Errorf("--operations %q: want host:port", address))
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return failWith(exitFailed, fmt.Errorf("no sweep answers at %s: %w", address, errors.Unwrap(err)))
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
	if err != nil {
		return failWith(exitFailed, fmt.Errorf("%s: %w", address, err))
	}
	if reply.StatusCode >= 300 {
		return failWith(exitFailed, fmt.Errorf("%s: %s: %s", address, reply.Status, strings.TrimSpace(string(body))))
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(body, result); err != nil {
		return failWith(exitFailed, fmt.Errorf("%s does not answer as a sweep: %w", address, err))
	}
	return nil
}
