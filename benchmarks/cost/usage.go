package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/metrics"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// usage is what a process has used from its start to a mark, or between two.
type usage struct {
	CPU     time.Duration // user and system, without the floor's thread
	Wall    time.Duration
	Objects uint64 // allocated
	Bytes   uint64 // allocated
	Written int64  // handed to the storage, bytes
	Floor   floor  // medians since the mark before
}

func (u usage) since(before usage) usage {
	return usage{
		CPU: u.CPU - before.CPU, Wall: u.Wall - before.Wall,
		Objects: u.Objects - before.Objects, Bytes: u.Bytes - before.Bytes,
		Written: u.Written - before.Written, Floor: u.Floor,
	}
}

// meter reads what its own process uses.
type meter struct {
	sampler *sampler
	started time.Time
	profile *profile
}

func newMeter(o options, name string) (meter, error) {
	s, err := startSampler()
	return meter{s, time.Now(), newProfile(o, name)}, err
}

// mark is read at the beginning or the end of what is measured.
func (m meter) mark() (u usage, err error) {
	if u, err = m.read(); err != nil {
		return u, err
	}
	return u, m.profile.turn()
}

// read returns what was used so far.
func (m meter) read() (u usage, err error) {
	floor, own := m.sampler.take()
	u.Floor = floor
	cpu, err := cpuClock(unix.CLOCK_PROCESS_CPUTIME_ID)
	if err != nil {
		return u, err
	}
	u.CPU = cpu - own
	u.Wall = time.Since(m.started)
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	u.Objects, u.Bytes = samples[0].Value.Uint64(), samples[1].Value.Uint64()
	u.Written, err = written()
	return u, err
}

// cpuClock reads one of the process's CPU clocks. Rusage of a thread is only as
// fine as the scheduler's tick.
func cpuClock(id int32) (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(id, &t)
	return time.Duration(t.Nano()), err
}

// peakRSS is the most memory that this process has had at once, in bytes. Rusage
// would count what the process was before it became this program.
func peakRSS() (int64, error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, err
	}
	status, err := self.NewStatus()
	return int64(status.VmHWM), err
}

// written is what this process has handed to the storage, in bytes.
func written() (int64, error) {
	self, err := procfs.Self()
	if err != nil {
		return 0, err
	}
	done, err := self.IO()
	return int64(done.WriteBytes), err
}

// profile is of what a role does between its marks.
type profile struct {
	folder, name string // no folder: none is made
	parts        []string
	file         *os.File // of the part under way
}

func newProfile(o options, name string) *profile {
	if o.Profile == "" {
		return &profile{}
	}
	p := &profile{folder: filepath.Join(o.Profile, filepath.Base(o.Dir)), name: name, parts: []string{"work"}} // requests or homes
	if !o.Reads {
		p.parts = []string{"contact", "work"}
	}
	return p
}

// turn begins the next part, or ends the one under way.
func (p *profile) turn() (err error) {
	switch {
	case p.file != nil:
		pprof.StopCPUProfile()
		name := p.file.Name()
		if err := p.file.Close(); err != nil {
			return err
		}
		p.file = nil
		memory, err := os.Create(strings.Replace(name, ".cpu.", ".mem.", 1)) // since the start
		if err != nil {
			return err
		}
		return errors.Join(pprof.WriteHeapProfile(memory), memory.Close())
	case p.folder == "" || len(p.parts) == 0:
		return nil
	}
	if err := os.MkdirAll(p.folder, 0o700); err != nil {
		return err
	}
	p.file, err = os.Create(filepath.Join(p.folder, p.name+"."+p.parts[0]+".cpu.pprof"))
	p.parts = p.parts[1:]
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.file)
}
