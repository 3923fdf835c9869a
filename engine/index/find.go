package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"safemode/engine/record"
	"safemode/servicerequests"
)

// Meter is a planned meter, with its state at the journal's last records.
type Meter struct {
	Place   int // in the plan, from 1
	Device  servicerequests.EUI
	Hub     servicerequests.EUI // of its home
	MPxN    string
	Region  string
	Fuel    string
	Verdict string    // empty: none yet
	Reason  string    // of the verdict
	At      time.Time // of the verdict; zero: none yet
}

// Query says which meters are looked for. One field is set.
type Query struct {
	Place   int                 // in the plan
	Device  servicerequests.EUI // planned
	Hub     servicerequests.EUI // all meters of a home
	MPxN    string              // of one or, at two fuels, of several
	Verdict string              // the last one
	Reason  string              // how the verdict's reason begins
	Class   string              // of mark; see the package comment
}

// ErrQuery refuses a query of no or of several fields.
var ErrQuery = errors.New("index: want one thing to look for")

// Find lists meters, at most so many: those of a class by their last such record, the
// latest first; others in the plan's order. It says how many there are.
func (x *Index) Find(ctx context.Context, q Query, most int) (found []Meter, all int, err error) {
	from, order, args := "meter", "place", []any(nil)
	var where []string
	add := func(set bool, condition string, arg any) {
		if set {
			where, args = append(where, condition), append(args, arg)
		}
	}
	add(q.Place != 0, "place = ?", q.Place)
	add(q.Device != 0, "device = ?", int64(q.Device))
	add(q.Hub != 0, "hub = ?", int64(q.Hub))
	add(q.MPxN != "", "mpxn = ?", q.MPxN)
	add(q.Verdict != "", "verdict = ?", q.Verdict)
	if q.Reason != "" {
		// Only these two verdicts have such reasons; so not every meter is looked at.
		add(true, "verdict IN ('unknown', 'not_safe') AND substr(reason, 1, length(?1)) = ?1", q.Reason)
	}
	if q.Class != "" {
		from, order = "mark JOIN meter USING (device)", "mark.seq DESC"
		add(true, "class = ?", q.Class)
	}
	if len(where) != 1 {
		return nil, 0, ErrQuery
	}
	condition := " FROM " + from + " WHERE " + where[0]
	if err := x.db.QueryRowContext(ctx, "SELECT count(*)"+condition, args...).Scan(&all); err != nil {
		return nil, 0, fmt.Errorf("index: %w", err)
	}
	rows, err := x.db.QueryContext(ctx, fmt.Sprintf("SELECT place, device, hub, mpxn, region, fuel, verdict, reason, at%s ORDER BY %s LIMIT %d", condition, order, most), args...)
	if err != nil {
		return nil, 0, fmt.Errorf("index: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var m Meter
		var device, hub, at int64
		if err := rows.Scan(&m.Place, &device, &hub, &m.MPxN, &m.Region, &m.Fuel, &m.Verdict, &m.Reason, &at); err != nil {
			return nil, 0, fmt.Errorf("index: %w", err)
		}
		m.Device, m.Hub = servicerequests.EUI(device), servicerequests.EUI(hub)
		if at != 0 {
			m.At = time.Unix(0, at).UTC()
		}
		found = append(found, m)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("index: %w", err)
	}
	return found, all, nil
}

// Upto is the last record that is in the index.
func (x *Index) Upto() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.upto
}

// Records returns the records that may belong to a device's story, in order: its own, those
// of the devices that answer for it, and those of the sweep as a whole. Of each of the
// three it returns the first and the last ones, at most so many: leftOut says how many
// lie between.
func (x *Index) Records(ctx context.Context, device servicerequests.EUI, most int) (records iter.Seq2[record.Record, error], leftOut int, err error) {
	var seqs []int64
	take := func(query string, args ...any) error {
		found, err := x.seqs(ctx, query, args...)
		if over := len(found) - most; over > 0 {
			leftOut += over
			found = slices.Delete(found, most/2, most/2+over)
		}
		seqs = append(seqs, found...)
		return err
	}
	err = errors.Join(
		take("SELECT seq FROM spot WHERE device = ? ORDER BY seq", int64(device)),
		take("SELECT seq FROM spot WHERE device IN (SELECT DISTINCT target FROM spot WHERE device = ?1 AND target NOT IN (0, ?1)) ORDER BY seq LIMIT ?2", int64(device), 2*most),
		take("SELECT seq FROM spot WHERE device = 0 ORDER BY seq"),
	)
	if err != nil {
		return nil, 0, fmt.Errorf("index: %w", err)
	}
	slices.Sort(seqs)
	return func(yield func(record.Record, error) bool) {
		for _, seq := range slices.Compact(seqs) {
			r, err := x.journal.At(ctx, uint64(seq))
			if !yield(r, err) || err != nil {
				return
			}
		}
	}, leftOut, nil
}

func (x *Index) seqs(ctx context.Context, query string, args ...any) (seqs []int64, err error) {
	rows, err := x.db.QueryContext(ctx, query, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, err
		}
		seqs = append(seqs, seq)
	}
	return seqs, rows.Err()
}

// Parse reads what a person types to find a meter: an EUI-64, or an MPAN or MPRN.
func Parse(text string) (Query, error) {
	text = strings.TrimSpace(text)
	if eui, err := servicerequests.ParseEUI(text); err == nil {
		return Query{Device: eui}, nil
	}
	mpxn := strings.ReplaceAll(text, " ", "")
	if mpxn == "" || len(mpxn) > 13 || strings.Trim(mpxn, "0123456789") != "" {
		return Query{}, fmt.Errorf("%q is no device id (like 00-DB-12-E0-00-00-00-01) and no MPAN or MPRN", text)
	}
	return Query{MPxN: mpxn}, nil
}
