package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

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
}

func newMeter() (meter, error) {
	s, err := startSampler()
	return meter{s, time.Now()}, err
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
	u.Written, err = procNumber("/proc/self/io", "write_bytes:")
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
	n, err := procNumber("/proc/self/status", "VmHWM:")
	return n << 10, err
}

// procNumber is the number that follows a name in one of the kernel's files.
func procNumber(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	i := slices.Index(fields, name)
	if i < 0 || i+1 == len(fields) {
		return 0, fmt.Errorf("%s has no %s", file, name)
	}
	return strconv.ParseInt(fields[i+1], 10, 64)
}

// startProfile profiles a role until stop is called, if that is wanted.
func startProfile(o options, name string) (stop func() error, err error) {
	if o.Profile == "" {
		return func() error { return nil }, nil
	}
	folder := filepath.Join(o.Profile, filepath.Base(o.Dir)) // requests or homes
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(folder, name+".cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		memory, err := os.Create(filepath.Join(folder, name+".mem.pprof"))
		if err != nil {
			return errors.Join(err, f.Close())
		}
		runtime.GC()
		return errors.Join(pprof.WriteHeapProfile(memory), memory.Close(), f.Close())
	}, nil
}
