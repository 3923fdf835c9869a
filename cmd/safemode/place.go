package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"safemode/engine/advice"
	"safemode/engine/record"
)

// placeOf is what advised commands name: files as they were named, and the folder that they
// are relative to, so that they can be pasted anywhere on this machine.
func placeOf(configPath, planDir, journalPath string) advice.Place {
	folder, _ := os.Getwd() // a folder that is gone: the reader knows where they are
	return advice.Place{Program: program0(), Folder: folder, Config: configPath, Plan: planDir, Journal: journalPath, Approvers: approversHere(planDir)}
}

// program0 is how this program is called again: by its file, unless it was found by PATH or
// its file is a temporary one (go run).
func program0() string {
	const name = "safemode"
	path, err := os.Executable()
	if err != nil || filepath.Base(path) != name || !strings.Contains(os.Args[0], string(filepath.Separator)) || strings.Contains(path, "go-build") {
		return name
	}
	return path
}

// printIdentity says which sweep it is, and first of all whether it is real.
func printIdentity(w io.Writer, st *record.Status) {
	fmt.Fprintln(w, st.Banner())
	line := "sweep " + st.SweepID
	if st.Direction != "" {
		line += fmt.Sprintf(", direction %s until %s, supplier %s", quoted(st.Direction), st.Deadline.UTC().Format("2006-01-02 15:04 UTC"), st.Supplier)
	}
	fmt.Fprintln(w, line)
}

// toDoLines are the tasks, as every reader gets them.
func toDoLines(st *record.Status) (lines []string) {
	for _, t := range st.ToDo {
		for i, line := range t.Lines() {
			lines = append(lines, [...]string{"- ", "  "}[min(i, 1)]+line)
		}
	}
	return lines
}

// printToDo writes what there is to do, before the last line says how a command ended.
func printToDo(w io.Writer, st *record.Status) {
	if len(st.ToDo) > 0 {
		fmt.Fprintf(w, "to do:\n%s\n", strings.Join(toDoLines(st), "\n"))
	}
}

// mostQuoted is how much of a text that others have written is shown, in characters.
const mostQuoted = 120

// quoted shows text that somebody else has written: in quotes, with everything that is not
// printed escaped, and cut where it is long. Nothing of it can move a cursor, end a line or
// pass for what the program says.
func quoted(text string) string {
	n := 0
	for end := range text {
		if n == mostQuoted {
			return strconv.Quote(text[:end]) + " (cut: " + strconv.Itoa(len(text)) + " bytes)"
		}
		n++
	}
	return strconv.Quote(text)
}
