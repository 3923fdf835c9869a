package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// migrations make the tables, in order. A published one is never changed: a later change is
// a new migration. Each is applied once, in the transaction that notes it, while no other
// program applies any.
var migrations = [...]string{
	`CREATE TABLE safemode.sweep (
    id     bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name   text NOT NULL UNIQUE,
    number bigint,          -- the tip: the last segment, its last record and its hash
    seq    bigint,
    hash   bytea,
    holder text,            -- the lease: who holds it, or held it last
    epoch  bigint NOT NULL DEFAULT 0,
    since  timestamptz,
    until  timestamptz      -- NULL: it was given back
);
CREATE TABLE safemode.segment (
    sweep    bigint NOT NULL REFERENCES safemode.sweep ON DELETE CASCADE,
    first    bigint NOT NULL,
    last     bigint NOT NULL,
    number   bigint NOT NULL,
    earliest bigint NOT NULL,
    latest   bigint NOT NULL,
    kinds    bigint NOT NULL,
    before   bytea NOT NULL,
    after    bytea NOT NULL,
    packing  bigint NOT NULL,
    sum      bytea NOT NULL,
    body     bytea NOT NULL,
    PRIMARY KEY (sweep, first)
);
ALTER TABLE safemode.segment ALTER COLUMN body SET STORAGE EXTERNAL; -- it is packed
CREATE INDEX mark ON safemode.segment (sweep, first, kinds) WHERE ` + marked + `;
CREATE TABLE safemode.state (
    sweep bigint NOT NULL REFERENCES safemode.sweep ON DELETE CASCADE,
    row   bigint NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (sweep, row)
);`,

	`CREATE TABLE safemode.custody (
    id   bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL UNIQUE
);
CREATE TABLE safemode.piece ( -- of a file: all of them, in order, are the file
    custody bigint NOT NULL REFERENCES safemode.custody ON DELETE CASCADE,
    file    text NOT NULL,
    at      bigint NOT NULL, -- where in the file it begins, in bytes
    bytes   bytea NOT NULL,
    PRIMARY KEY (custody, file, at)
);
CREATE TABLE safemode.lock (
    custody bigint NOT NULL REFERENCES safemode.custody ON DELETE CASCADE,
    file    text NOT NULL,
    sweep   bigint NOT NULL REFERENCES safemode.sweep ON DELETE CASCADE,
    epoch   bigint NOT NULL, -- of the lease with which the lock holds, and ends
    PRIMARY KEY (custody, file)
);
CREATE TABLE safemode.standby (
    sweep  bigint NOT NULL REFERENCES safemode.sweep ON DELETE CASCADE,
    holder text NOT NULL, -- who stands by to become it
    since  timestamptz NOT NULL,
    until  timestamptz NOT NULL, -- if nothing more is heard
    PRIMARY KEY (sweep, holder)
);`,
}

// migrationLock is the number of the advisory lock under which migrations are applied:
// "SMJN".
const migrationLock = applicationID

// migrate applies the migrations that a database lacks. It refuses one that a newer
// program has migrated.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	if err := checkMigrations(ctx, pool); err == nil || !errors.Is(err, ErrNone) && !errors.Is(err, errBehind) {
		return err
	}
	return pgError(pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS safemode;
			CREATE TABLE IF NOT EXISTS safemode.migration (number bigint PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())`); err != nil {
			return err
		}
		have, err := migrated(ctx, tx)
		if err != nil {
			return err
		}
		for i := have; i < len(migrations); i++ {
			if _, err := tx.Exec(ctx, migrations[i]); err != nil {
				return fmt.Errorf("migration %d: %w", i+1, err)
			}
			if _, err := tx.Exec(ctx, "INSERT INTO safemode.migration (number) VALUES ($1)", i+1); err != nil {
				return err
			}
		}
		return nil
	}))
}

// errBehind says that migrations are to be applied.
var errBehind = errors.New("the database is to be migrated: begin or go on with a sweep in it once")

// checkMigrations refuses tables that are not this program's. The error wraps [ErrNone]
// where there are none, and [ErrVersion] where they are of another program.
func checkMigrations(ctx context.Context, pool *pgxpool.Pool) error {
	have, err := migrated(ctx, pool)
	switch {
	case err != nil:
		return pgError(err)
	case have == 0:
		return fmt.Errorf("%w: the database has no tables of safemode", ErrNone)
	case have < len(migrations):
		return fmt.Errorf("%w: %w", ErrVersion, errBehind)
	}
	return nil
}

// migrated is the number of the last migration that was applied.
func migrated(ctx context.Context, q pgQuerier) (have int, err error) {
	if err := q.QueryRow(ctx, "SELECT coalesce(max(number), 0) FROM safemode.migration").Scan(&have); err != nil {
		return 0, err
	}
	if have > len(migrations) {
		return 0, fmt.Errorf("%w: a newer program has migrated the database to %d, this one knows %d", ErrVersion, have, len(migrations))
	}
	return have, nil
}
