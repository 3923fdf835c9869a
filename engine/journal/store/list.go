package store

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

// Sweep is a row of a database's list of sweeps.
type Sweep struct {
	Address string // the sweep's own
	Name    string
	Records uint64 // 0: not begun
	Holder  string // who holds it, or held it last; empty: nobody ever did
	Since   time.Time
	Held    bool
	Standby []string // who stands by for it
}

// Sweeps lists the sweeps of a database, by name. The address names no sweep.
func Sweeps(ctx context.Context, database string) (all []Sweep, err error) {
	if !IsAddress(database) {
		return nil, fmt.Errorf("%q: want an address, postgres://USER@HOST/DATABASE", database)
	}
	p := &Postgres{}
	if _, err := p.connect(ctx, database, Options{}); err != nil {
		return nil, err
	}
	defer closePool(p.pool)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := checkMigrations(ctx, p.pool); err != nil {
		return nil, err
	}
	rows, err := p.pool.Query(ctx, `SELECT name, coalesce(seq, 0), coalesce(holder, ''), since,
		coalesce(until >= clock_timestamp(), false), ARRAY(SELECT standby.holder FROM safemode.standby
			WHERE standby.sweep = sweep.id AND standby.until >= clock_timestamp() ORDER BY standby.since)
		FROM safemode.sweep ORDER BY name`)
	if err != nil {
		return nil, pgError(err)
	}
	all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s Sweep, err error) {
		var records int64
		var since *time.Time
		if err := row.Scan(&s.Name, &records, &s.Holder, &since, &s.Held, &s.Standby); err != nil {
			return s, err
		}
		s.Records = uint64(records)
		if since != nil {
			s.Since = since.UTC()
		}
		s.Address, err = named(database, s.Name)
		return s, err
	})
	return all, pgError(err)
}

// named is the address of a sweep in a database.
func named(database, sweep string) (string, error) {
	u, err := url.Parse(database)
	if err != nil {
		return "", err
	}
	q := u.Query()
	q.Set("sweep", sweep)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
