package authority_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"safemode/engine/authority"
	"safemode/engine/authority/authoritytest"
	"safemode/engine/direction"
	"safemode/engine/record"
)

// Every order that a journal can record, and every purpose of an approval, stands in the
// table of acts.
func TestEveryActIsInTheTable(t *testing.T) {
	names := map[string]authority.Act{}
	for _, a := range authority.Acts {
		if _, twice := names[a.Name]; twice || a.Records == "" || a.Alone == "" && a.Second == "" {
			t.Errorf("%+v", a)
		}
		names[a.Name] = a
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../record/body.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	orders := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Order") {
			return true
		}
		action, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if _, listed := names[action]; err != nil || !listed {
			t.Errorf("order %s is not in the table", action)
		}
		orders++
		return true
	})
	if orders < 10 {
		t.Errorf("%d orders were found", orders)
	}
	if names[record.OrderResume].Second != "" || !strings.Contains(names[record.OrderResume].Records, "never a halt") {
		t.Error("what resume is")
	}
}

// An act that needs a second person by the table is refused with one, and an act that one
// person may do alone needs no approval.
func TestActsThatNeedASecond(t *testing.T) {
	o := authoritytest.New(t)
	occasions := map[string]func() (*authority.Case, direction.Occasion){
		"sweep: begin": func() (*authority.Case, direction.Occasion) { c := o.First(t); return c, c.Occasion() },
		"sweep: go on after a stop": func() (*authority.Case, direction.Occasion) {
			c := begunBy(t, o, 0)
			return c, c.Occasion()
		},
		"sweep: go on after a halt": func() (*authority.Case, direction.Occasion) {
			c := begun(t, o)
			c.Journal.Stop = authority.Stop{Seq: 42, Halted: true}
			return c, c.Occasion()
		},
		"accept": func() (*authority.Case, direction.Occasion) {
			return begun(t, o), direction.Occasion{Purpose: direction.Accept, Subject: "this"}
		},
	}
	for _, a := range authority.Acts {
		if occasions[a.Name] == nil {
			if strings.Contains(a.Name, "sweep") {
				t.Errorf("%s is held to nothing", a.Name)
			}
			continue
		}
		if a.Second == "" {
			t.Errorf("%s needs no second by the table", a.Name)
		}
		for approvers := range 3 {
			c, on := occasions[a.Name]()
			c.Approvals = nil
			for _, name := range []string{"alice", "bob"}[:approvers] {
				c.Approvals = append(c.Approvals, o.Approve(t, c.Plan, on, name, authoritytest.Night, nil))
			}
			var err error
			if a.Name == "accept" {
				_, err = c.DecideAcceptance("this")
			} else {
				_, err = c.Decide()
			}
			if (err == nil) != (approvers == 2) {
				t.Errorf("%s by %d: %v", a.Name, approvers, err)
			}
		}
	}
	// The configuration: narrower needs nobody, wider is refused whoever has approved.
	c := o.First(t)
	c.MaxValidity = 25 * time.Hour
	if _, err := c.Decide(); err != nil {
		t.Errorf("narrower: %v", err)
	}
}
