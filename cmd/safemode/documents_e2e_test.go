package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"mvdan.cc/sh/v3/syntax"

	"safemode/engine/journal/store/pgtest"
	"safemode/servicerequests/outside"
)

// The start of each script: go works in the tree, and a block that runs in the background
// has started when its address answers or its file is there.
const prelude = `set -euo pipefail
go() {
	if [ -n "$PROGRAM" ] && [ "$1 ${2:-}" = "run ./cmd/safemode" ]; then
		(cd "$TREE" && "$PROGRAM" "${@:3}")
	elif [ -n "$PROGRAM" ] && [ "$1 $2 ${4:-}" = "build -o ./cmd/safemode" ]; then
		cp "$PROGRAM" "$3"
	elif [ "$1 $2" = "build -o" ]; then
		local out
		out="$(realpath -m "$3")"
		(cd "$TREE" && command go build -o "$out" "${@:4}")
	else
		(cd "$TREE" && command go "$@")
	fi
}
until_started() { # PID LOG COMMAND...
	local pid="$1" log="$2"
	for ((i = 0; i < 600; i++)); do
		if "${@:3}" 2>/dev/null; then return 0; fi
		kill -0 "$pid" || break
		sleep 0.1
	done
	cat "$log" >&2
	return 1
}
answers() { (exec 3<>"/dev/tcp/${1/:/\/}"); }
at=
trap 'code=$?; [ $code = 0 ] || echo "$at: exit $code" >&2' EXIT
`

// TestDocumentsRun runs the shell blocks of each document, one after another as one
// script, in a new folder beside a copy of config. Addresses are free ones. What a document
// has run in the background is a scene of a minute: without -whole TestDocuments alone
// looks at such documents, and the program under test stands for what go would build.
func TestDocumentsRun(t *testing.T) {
	long(t)
	outside.Program(t, "bash", "bash")
	for _, path := range documents(t) {
		blocks, _ := readDocument(t, path)
		script, scene := "", false
		addresses := map[string]string{}
		for _, port := range []int{8079, 8083, 8088, 8089, 8090, 8091, 8092} {
			addresses[fmt.Sprintf("127.0.0.1:%d", port)] = freeAddress(t)
		}
		database := false
		for _, b := range blocks {
			if b.notRun == "" {
				script += b.script(t, addresses)
				scene = scene || b.name != ""
				database = database || b.needs == postgreSQL
			}
		}
		if script != "" {
			t.Run(path, func(t *testing.T) {
				if scene {
					onlyWhole(t)
				}
				t.Parallel()
				var settings []string
				if database && pgtest.Installed() {
					c := pgtest.Start(t)
					c.MakeDatabase(t, "sweeps")
					settings = []string{"PGHOST=" + c.Dir, "PGUSER=safemode"}
				}
				runScript(t, prelude+script, settings...)
			})
		}
	}
}

// postgreSQL is what a block needs that needs a server.
const postgreSQL = "PostgreSQL"

// script is what runs a block, with other addresses than the documented ones.
func (b shellBlock) script(t *testing.T, addresses map[string]string) string {
	t.Helper()
	switch b.needs {
	case "":
	case postgreSQL:
		if !pgtest.Installed() {
			t.Logf("%v is left out: PostgreSQL is not installed", b)
			return ""
		}
	default:
		if _, err := exec.LookPath(b.needs); err != nil {
			t.Logf("%v is left out: %s is not there", b, b.needs)
			return ""
		}
	}
	for _, text := range []*string{&b.text, &b.answers} {
		for documented, free := range addresses {
			*text = strings.ReplaceAll(*text, documented, free)
		}
	}
	parsed, err := b.parse()
	if err != nil {
		t.Fatalf("%v: %v", b, err)
	}
	nodes, lines := calls(parsed)
	for i, words := range lines {
		if words[0] != "./safemode" {
			continue
		}
		named, err := lookUpCommand(words[1:])
		if err != nil {
			t.Fatalf("%v: %v", b, err)
		}
		named.Flags().VisitAll(func(flag *pflag.Flag) { // defaults are addresses, too
			found := addressOf.FindString(flag.DefValue + " " + flag.Usage)
			for documented, free := range addresses {
				if strings.Contains(found, documented) && !strings.Contains(strings.Join(words, " "), "--"+flag.Name+" ") {
					for _, word := range []string{"--" + flag.Name, strings.Replace(found, documented, free, 1)} {
						nodes[i].Args = append(nodes[i].Args, &syntax.Word{Parts: []syntax.WordPart{&syntax.SglQuoted{Value: word}}})
					}
				}
			}
		})
	}
	var text strings.Builder
	if err := syntax.NewPrinter().Print(&text, parsed); err != nil {
		t.Fatalf("%v: %v", b, err)
	}
	script := fmt.Sprintf("at=%v\n", b)
	if b.after != "" {
		script += fmt.Sprintf("wait \"$%s\" || { cat %[1]s.log >&2; exit 1; }\n", b.after)
	}
	if b.name == "" {
		return script + text.String()
	}
	started := "answers " + b.answers
	if b.makes != "" {
		started = "[ -e " + b.makes + " ]"
	}
	return script + fmt.Sprintf("{\n%s} >%s.log 2>&1 &\n%[2]s=$!\nuntil_started $%[2]s %[2]s.log %[3]s\n", text.String(), b.name, started)
}

var addressOf = regexp.MustCompile(`(https?://)?127\.0\.0\.1:\d+(/[\w/]*)?`)

// runScript runs a script in a folder beside a copy of config, and ends what it leaves
// running.
func runScript(t *testing.T, script string, settings ...string) {
	t.Helper()
	dir := t.TempDir()
	clone := filepath.Join(dir, "clone")
	if err := os.CopyFS(filepath.Join(clone, "config"), os.DirFS(filepath.Join(tree, "config"))); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(tree)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*longest)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash", putFile(t, filepath.Join(dir, "script"), []byte(script)))
	bash.Dir = clone
	built, err := program()
	if err != nil {
		t.Fatal(err)
	}
	if *whole {
		built = ""
	}
	bash.Env = append(append(os.Environ(), "TREE="+root, "PROGRAM="+built), settings...)
	bash.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	group := func() error { return syscall.Kill(-bash.Process.Pid, syscall.SIGKILL) }
	bash.Cancel = group
	log, err := os.Create(filepath.Join(dir, "log")) // a file: what goes on running holds no pipe open
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	bash.Stdout, bash.Stderr = log, log
	begun := time.Now()
	err = bash.Run()
	_ = group() // nothing is left as a rule
	out, readErr := os.ReadFile(log.Name())
	if err != nil || readErr != nil {
		t.Fatalf("%v %v after %v:\n%s", err, readErr, time.Since(begun), out[max(0, len(out)-6000):])
	}
	t.Logf("%v", time.Since(begun).Round(time.Second))
}
