package plan_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"safemode/engine/plan"
)

// streamed reads a plan line by line.
func streamed(t testing.TB, folder string, text []byte) (p *plan.Plan, targets []plan.Target, rejected []plan.Rejected, err error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, plan.FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err = plan.Open(folder); err != nil {
		return nil, nil, nil, err
	}
	err = p.Each(
		func(target *plan.Target) error { targets = append(targets, *target); return nil },
		func(row *plan.Rejected) error { rejected = append(rejected, *row); return nil })
	return p, targets, rejected, err
}

func TestStreamedPlanIsTheLoadedOne(t *testing.T) {
	whole := encode(t, small(t))
	want, err := plan.Read(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	p, targets, rejected, err := streamed(t, t.TempDir(), whole)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Targets) != 0 || p.SHA256 != want.SHA256 {
		t.Errorf("%d targets in memory, hash %s", len(p.Targets), p.SHA256)
	}
	if diff := cmp.Diff(want.Header, p.Header); diff != "" {
		t.Errorf("header: %s", diff)
	}
	if diff := cmp.Diff(want.Targets, targets); diff != "" {
		t.Errorf("targets: %s", diff)
	}
	if diff := cmp.Diff(want.Rejected, rejected); diff != "" {
		t.Errorf("rejected: %s", diff)
	}
}

// A plan that was altered is refused also when it is read line by line, and the
// error names the file.
func TestAlteredStreamsAreRefused(t *testing.T) {
	whole := encode(t, small(t))
	folder := t.TempDir()
	refused := func(what string, text []byte, want string) {
		t.Helper()
		_, _, _, err := streamed(t, folder, text)
		if !errors.Is(err, plan.ErrDamaged) && !errors.Is(err, plan.ErrVersion) && !errors.Is(err, plan.ErrTooManyMeters) {
			t.Errorf("%s: %v", what, err)
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), plan.FileName) {
			t.Errorf("%s: %v, want %q and the file", what, err, want)
		}
	}
	for i := 0; i < len(whole); i += 3 {
		altered := bytes.Clone(whole)
		altered[i] ^= 1 << (i % 8)
		refused("altered", altered, "")
		refused("cut", whole[:i], "")
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	lines = lines[:len(lines)-1]
	for i := range lines {
		refused("without a line", bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil), "")
		refused("a line twice", bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil), "")
	}
	for _, c := range []struct{ old, new, want string }{
		{"00-DB-12-00-10-0E-00-01", "00-DB-12-00-00-0E-00-01", "device 00-DB-12-00-00-0E-00-01 is in the plan already"},
		{`"maximum_meters":1000`, `"maximum_meters":2`, "too many meters: the plan has 3, DIR-1 allows 2"},
		{`"2.5"`, `"7.1"`, "not in the permitted set"},
		{`"originator":"90-B3-D5-1F-30-03-00-00"`, `"originator":"90-B3-D5-1F-30-05-00-00"`, "no identity is configured for originator"},
		{`"device_type":"GSME"`, `"device_type":"GPF"`, "not a whole target"},
		{`"homes":2`, `"homes":3`, "the header counts"},
		{`"count":1,"soak_seconds":0`, `"count":2,"soak_seconds":0`, "the waves end at target 4 of 3"},
	} {
		altered := strings.Replace(string(whole), c.old, c.new, 1)
		if altered == string(whole) {
			t.Fatalf("%s is not in the plan", c.old)
		}
		refused(c.old, reseal(altered), c.want)
	}
}

// A file that is replaced between the two readings is noticed.
func TestStreamThatChanges(t *testing.T) {
	folder := t.TempDir()
	p, _, _, err := streamed(t, folder, encode(t, small(t)))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(encode(t, small(t))), "1234567", "1234568", 1)
	if err := os.WriteFile(filepath.Join(folder, plan.FileName), reseal(other), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(*plan.Target) error { return nil }
	if err := p.Each(nothing, func(*plan.Rejected) error { return nil }); !errors.Is(err, plan.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	if err := p.Each(func(*plan.Target) error { return os.ErrClosed }, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the caller's error is %v", err)
	}
}
