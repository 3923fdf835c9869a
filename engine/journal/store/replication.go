package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ErrOneServer says that acknowledged records may be lost with one server of the database.
var ErrOneServer = errors.New("commits may be lost with one server")

// Replicated looks whether a database's commits wait until a second server has them, and
// says for which. The error wraps [ErrOneServer] where they do not, where no second server
// follows, and where the database does not say so; others say that it cannot be asked.
func Replicated(ctx context.Context, at string) (said string, err error) {
	p := &Postgres{}
	if _, err := p.connect(ctx, at, Options{Write: true, Lease: LongestLease}); err != nil {
		return "", err
	}
	defer closePool(p.pool)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var fsync, commit, named string
	if err := p.pool.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('synchronous_commit'),
		current_setting('synchronous_standby_names')`).Scan(&fsync, &commit, &named); err != nil {
		return "", pgError(err)
	}
	switch {
	case fsync != "on":
		return "", fmt.Errorf("%w, and not on its disk: fsync is %s", ErrOneServer, fsync)
	case named == "":
		return "", fmt.Errorf("%w: synchronous_standby_names is empty", ErrOneServer)
	}
	// A role without the right to see other sessions gets their rows without these columns.
	rows, err := p.pool.Query(ctx, `SELECT coalesce(application_name, ''), coalesce(host(client_addr), 'this machine'),
		coalesce(state, ''), coalesce(sync_state, '') FROM pg_stat_replication ORDER BY 1, 2`)
	if err != nil {
		return "", pgError(err)
	}
	type standby struct{ Name, Host, State, Sync string }
	standbys, err := pgx.CollectRows(rows, pgx.RowToStructByPos[standby])
	if err != nil {
		return "", pgError(err)
	}
	var waits, others []string
	for _, s := range standbys {
		text := fmt.Sprintf("%s at %s (%s, %s)", s.Name, s.Host, s.State, s.Sync)
		switch {
		case s.State == "":
			return "", fmt.Errorf("%w: the database does not show this role its standbys (GRANT pg_read_all_stats)", ErrOneServer)
		case s.State == "streaming" && (s.Sync == "sync" || s.Sync == "quorum"):
			waits = append(waits, text)
		default:
			others = append(others, text)
		}
	}
	if len(waits) == 0 {
		if others == nil {
			others = []string{"no standby"}
		}
		return "", fmt.Errorf("%w: synchronous_standby_names is %q, and there is %s", ErrOneServer, named, strings.Join(others, ", "))
	}
	return fmt.Sprintf("commits wait for %s; synchronous_commit is %s", strings.Join(waits, ", "), commit), nil
}
