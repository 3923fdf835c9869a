package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"path/filepath"

	"safemode/servicerequests"
)

// Open reads the header of the plan of a folder, and checks the file by its hash. The targets
// stay in the file: a sweep that goes on does not need them, and one that begins reads them
// one by one ([Plan.Each]). Errors are those of [Load].
func Open(folder string) (*Plan, error) {
	name := filepath.Join(folder, FileName)
	p, err := readFile(name, readHeader)
	if err == nil {
		p.file = name
	}
	return p, err
}

func readHeader(r io.Reader) (*Plan, error) {
	in := newReader(r)
	for in.lines.Scan() {
		in.line++
		line := in.lines.Bytes()
		if in.line > 1 && !in.ended && !bytes.HasPrefix(line, []byte(`{"kind":"end"`)) {
			in.sum.Write(line)
		} else if err := in.read(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", in.line, err)
		}
	}
	p, err := in.finish()
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(p.Header.check(), p.checkWaves(p.Counts.Targets)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if lines := 2 + p.Counts.Targets + p.Counts.Rejected; in.line != lines {
		return nil, fmt.Errorf("%w: it has %d lines, its header counts %d", ErrDamaged, in.line, lines)
	}
	return p, nil
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
	_, err := readFile(p.file, func(r io.Reader) (*Plan, error) { return p, p.each(newReader(r), target, rejected) })
	return err
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
