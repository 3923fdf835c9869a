package plan

import (
	"fmt"
	"path/filepath"

	"safemode/servicerequests"
	"safemode/servicerequests/safefile"
)

// Open reads the header of the plan of a folder, and checks the file by its hash. The targets
// stay in the file: a sweep that goes on does not need them, and one that begins reads them
// one by one ([Plan.Each]). Errors are those of [Load].
func Open(folder string) (*Plan, error) {
	name := filepath.Join(folder, FileName)
	f, err := safefile.Open(name, safefile.Mass, safefile.Checked)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	in := newReader(f)
	for in.lines.Scan() {
		in.line++
		if in.line == 1 || in.ended || isEnd(in.lines.Bytes()) {
			err = in.read(in.lines.Bytes())
		} else {
			in.sum.Write(in.lines.Bytes())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", name, in.line, err)
		}
	}
	p, err := in.finish()
	if err == nil {
		err = firstOf(p.Header.check(), p.checkWaves(p.Counts.Targets))
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if lines := 2 + in.plan.Counts.Targets + in.plan.Counts.Rejected; err == nil && in.line != lines {
		err = fmt.Errorf("%w: it has %d lines, its header counts %d", ErrDamaged, in.line, lines)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p.file = name
	return p, nil
}

// isEnd says whether a line may be the last one.
func isEnd(line []byte) bool {
	const begin = `{"kind":"end"`
	return len(line) >= len(begin) && string(line[:len(begin)]) == begin
}

// Each calls target with each target in order, then rejected with each rejected row.
// For a plan of [Open] it checks each line by the rules of [Load], except that the header's
// estimate follows from the lines: that was checked when the plan was approved. It ends with
// the first error, of the plan or of a call. Only at its end is it known whether the lines are
// those of the plan.
func (p *Plan) Each(target func(*Target) error, rejected func(*Rejected) error) error {
	if p.file == "" {
		for i := range p.Targets {
			if err := target(&p.Targets[i]); err != nil {
				return err
			}
		}
		for i := range p.Rejected {
			if err := rejected(&p.Rejected[i]); err != nil {
				return err
			}
		}
		return nil
	}
	f, err := safefile.Open(p.file, safefile.Mass, safefile.Checked)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	defer f.Close()
	if err := p.each(newReader(f), target, rejected); err != nil {
		return fmt.Errorf("%s: %w", p.file, err)
	}
	return nil
}

func (p *Plan) each(in *reader, target func(*Target) error, rejected func(*Rejected) error) error {
	seen := make(map[servicerequests.EUI]bool, p.Counts.Targets)
	homes := map[servicerequests.EUI]struct{}{}
	var counts Counts
	lines := newSums()
	for in.lines.Scan() {
		in.line++
		err := in.read(in.lines.Bytes())
		for i := range in.plan.Targets { // one, if any
			t := &in.plan.Targets[i]
			if err == nil && seen[t.Device] {
				err = fmt.Errorf("%w: device %v is in the plan already", ErrDamaged, t.Device)
			}
			seen[t.Device] = true
			homes[t.Hub] = struct{}{}
			counts.add(t)
			if fault := p.checkTarget(t); err == nil && fault != nil {
				err = fmt.Errorf("%w: %w", ErrDamaged, fault)
			}
			lines.target(t)
			if err == nil {
				err = target(t)
			}
		}
		for i := range in.plan.Rejected {
			counts.reject(&in.plan.Rejected[i])
			lines.rejected(&in.plan.Rejected[i])
			if err == nil {
				err = rejected(&in.plan.Rejected[i])
			}
		}
		in.plan.Targets, in.plan.Rejected = in.plan.Targets[:0], in.plan.Rejected[:0]
		if err != nil {
			return fmt.Errorf("line %d: %w", in.line, err)
		}
	}
	again, err := in.finish()
	counts.Homes = len(homes)
	switch {
	case err != nil:
		return err
	case again.SHA256 != p.SHA256:
		return fmt.Errorf("%w: it has changed while it was read", ErrDamaged)
	case counts != p.Counts:
		return fmt.Errorf("%w: the header counts %+v, the lines are %+v", ErrDamaged, p.Counts, counts)
	case counts.Targets > p.Direction.MaximumMeters:
		return fmt.Errorf("%w: the plan has %d, %s allows %d", ErrTooManyMeters, counts.Targets, p.Direction.Reference, p.Direction.MaximumMeters)
	}
	return lines.check(&p.Header)
}
