package main

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the scripts of testdata/scripts: what commands do with their flags and
// files. They run in the test's own process, so a script names files with $WORK before them.
//
//	safemode ARGS...               must end with exit code 0; stdout and stderr see what it said
//	refuses CODE TEXT ARGS...      must end with the code, print nothing, and say in one line
//	                               something with the text
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/scripts",
		Cmds: commands{
			"safemode": func(ts *testscript.TestScript, _ bool, args []string) {
				if code := run(t.Context(), args, stdio{strings.NewReader(""), ts.Stdout(), ts.Stderr()}); code != exitDone {
					ts.Fatalf("exit %d", code)
				}
			},
			"refuses": func(ts *testscript.TestScript, _ bool, args []string) {
				want, err := strconv.Atoi(args[0])
				ts.Check(err)
				var out, said bytes.Buffer
				code := run(t.Context(), args[2:], stdio{strings.NewReader(""), &out, &said})
				if code != want || out.Len() > 0 || strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), args[1]) {
					ts.Fatalf("exit %d, printed %q, said %q", code, &out, &said)
				}
			},
		}.notNegated(),
	})
}

// commands are those of scripts, by their names.
type commands map[string]func(*testscript.TestScript, bool, []string)

// notNegated has a script fail that says ! before one: what each must say or exit with is part
// of it.
func (c commands) notNegated() commands {
	for name, do := range c {
		c[name] = func(ts *testscript.TestScript, negated bool, args []string) {
			if negated {
				ts.Fatalf("! %s means nothing", name)
			}
			do(ts, false, args)
		}
	}
	return c
}
