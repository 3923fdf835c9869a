package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// The whole of it on a small scale: real processes, real requests, all answered.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the command: left out by -short")
	}
	var out bytes.Buffer
	args := []string{"--meters", "1000", "--against", "200", "--exchanges", "40", "--idle", "100ms", "--json"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if r.Meters != 1000 || r.Against != 200 || r.ReadySeconds <= 0 || r.RSS < 5 || r.RSS > 1000 ||
		r.PerSecond.Meters <= 0 || r.PerSecond.Against <= 0 || r.Ratio <= 0 || r.CPU.Meters <= 0 {
		t.Errorf("%+v", r)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--meters", "many"},
		{"--meters", "0", "--against", "10"},
	} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
