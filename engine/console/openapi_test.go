package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"maps"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"safemode/engine/record"
)

var update = flag.Bool("update", false, "write openapi.json again")

// object is a value of JSON.
type object = map[string]any

// document makes the document of the operations API, of the types and their comments.
type document struct {
	schemas  object
	comments map[string]string // by type and field, like Task.Says
}

// read takes the comments of a file's fields in.
func (d *document) read(t *testing.T, file string) {
	t.Helper()
	f, err := parser.ParseFile(gotoken.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, is := n.(*ast.TypeSpec)
		if !is {
			return true
		}
		if s, is := spec.Type.(*ast.StructType); is {
			for _, field := range s.Fields.List {
				text := field.Doc.Text() + " " + field.Comment.Text()
				for _, name := range field.Names {
					d.comments[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(text), " ")
				}
			}
		}
		return true
	})
}

// schema is the JSON schema of a type.
func (d *document) schema(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return object{"oneOf": []any{d.schema(t.Elem()), object{"type": "null"}}}
	case t.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice:
		return object{"type": []string{"array", "null"}, "items": d.schema(t.Elem())}
	case reflect.Array:
		return object{"type": "array", "items": d.schema(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Map:
		return object{"type": []string{"object", "null"}, "additionalProperties": d.schema(t.Elem())}
	case reflect.Struct:
		if d.schemas[t.Name()] == nil {
			is := object{"type": "object", "properties": object{}, "required": []string{}, "additionalProperties": false}
			d.schemas[t.Name()] = is
			d.fields(t, is)
			slices.Sort(is["required"].([]string))
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	panic(fmt.Sprintf("%v has no schema", t))
}

func (d *document) fields(t reflect.Type, into object) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			d.fields(f.Type, into)
			continue
		case name == "" || name == "-":
			continue
		}
		s := d.schema(f.Type)
		if text := d.comments[t.Name()+"."+f.Name]; text != "" {
			s = maps.Clone(s)
			s["description"] = text
		}
		into["properties"].(object)[name] = s
		if options == "" {
			into["required"] = append(into["required"].([]string), name)
		}
	}
}

// of is a response.
func of(says, kind string, schema object) object {
	return object{"description": says, "content": object{kind: object{"schema": schema}}}
}

// make makes the whole document.
func (d *document) make() object {
	text := func(says string) object { return of(says, "text/plain", object{"type": "string"}) }
	page := of("A page for people.", "text/html", object{"type": "string"})
	needs := func(role Role) []any { // and none, where there are no tokens
		return []any{object{}, object{"token": []Role{role}}}
	}
	get := func(what string, responses object, parameters ...object) object {
		return object{"get": object{"summary": what, "security": needs(Looks), "parameters": append([]object{}, parameters...), "responses": responses}}
	}
	query := func(name, says string) object {
		return object{"name": name, "in": "query", "description": says, "schema": object{"type": "string"}}
	}
	paths := object{
		"/":       get("The sweep's page", object{"200": page}),
		"/live":   get("The page's middle, again every second", object{"200": of("Server-sent events.", "text/event-stream", object{"type": "string"})}),
		"/note":   get("What one shift tells the next", object{"200": text("Plain text.")}),
		"/meters": get("Lists of meters, and the way to one", object{"200": page, "303": object{"description": "To the one meter that was looked for."}, "404": page, "422": page}, query("list", "the name of a list, like not_safe or stuck"), query("find", "a device id, an MPAN or an MPRN; where the page is redacted a place of the plan")),
		"/meter/{place}": get("One meter's story", object{"200": page, "404": text("There is none.")},
			object{"name": "place", "in": "path", "required": true, "description": "in the plan, from 1", "schema": object{"type": "integer", "minimum": 1}}),
		"/incident/{name}": get("What an incident means, and what to do", object{"200": text("Plain text."), "404": text("There is none.")},
			object{"name": "name", "in": "path", "required": true, "description": "as a task of the status names it", "schema": object{"type": "string"}}),
		"/metrics":             get("Prometheus metrics", object{"200": text("Prometheus text format.")}),
		"/healthz":             get("Whether the process can work", object{"200": text("It can."), "503": text("Why it cannot.")}),
		"/readyz":              get("Whether the sweep takes new work", object{"200": text("It does."), "503": text("Why it does not; without a token only that it does not, or stands by.")}),
		"/api/v1/openapi.json": get("This document", object{"200": of("OpenAPI 3.1.", "application/json", object{"type": "object"})}),
		"/api/v1/sweep":        get("Where the sweep stands, and what there is to do", object{"200": of("The status.", "application/json", d.schema(reflect.TypeFor[record.Status]()))}),
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		paths[path].(object)["get"].(object)["security"] = []any{}
	}
	order := d.schema(reflect.TypeFor[Order]())
	for _, action := range actions {
		paths["/api/v1/sweep/"+action] = object{"post": object{
			"summary":     "An order: " + strings.ReplaceAll(action, "_", " "),
			"security":    needs(Orders),
			"parameters":  []object{{"name": PersonHeader, "in": "header", "schema": object{"type": "string"}, "description": "who orders it, where no token says so: a claim, and recorded as one"}},
			"requestBody": object{"required": false, "content": object{"application/json": object{"schema": order}}},
			"responses": object{
				"204": object{"description": "The order holds and is journalled."}, "400": text("It cannot be read."),
				"403": text("Who asks may give no orders, and who may."), "409": text("The sweep takes no orders any more."),
				"422": text("It makes no sense as it stands, or cannot be undone and is not confirmed."),
			},
		}}
	}
	return object{
		"openapi": "3.1.0",
		"info": object{"title": "safemode operations", "version": "1", "description": "The operations address of a running sweep. Where no tokens are configured it answers on the loopback alone, whoever asks. " +
			"Else every address but /healthz and /readyz wants one, as a bearer token or as a browser's Basic password, and answers 401 without. " +
			"The roles are look, order, which may look, too, and approve, which may look: nothing is approved here. Who lacks the role gets 403 and is told who has it. " +
			"A page of another origin and a foreign host name get 403, who asks too often 429."},
		"paths":      paths,
		"components": object{"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}, "schemas": d.schemas},
	}
}

// laid lays a document out with a line for each path and each schema.
func laid(t *testing.T, doc object) []byte {
	t.Helper()
	line := func(value any) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(value); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(b.String())
	}
	each := func(of object) string {
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(of)) {
			lines = append(lines, line(name)+":"+line(of[name]))
		}
		return "{\n" + strings.Join(lines, ",\n") + "\n}"
	}
	components := doc["components"].(object)
	return fmt.Appendf(nil, "{\"openapi\":%s,\n\"info\":%s,\n\"paths\":%s,\n\"components\":{\"securitySchemes\":%s,\n\"schemas\":%s}}\n",
		line(doc["openapi"]), line(doc["info"]), each(doc["paths"].(object)), line(components["securitySchemes"]), each(components["schemas"].(object)))
}

// The document says what there is: every address and no other, with what it answers, and
// every key of status and orders with what its comment says.
func TestOpenAPI(t *testing.T) {
	d := &document{object{}, map[string]string{}}
	for _, file := range []string{"../record/status.go", "../record/radius.go", "../record/body.go", "order.go"} {
		d.read(t, file)
	}
	want := laid(t, d.make())
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h := newConsole(t, &fakeSweep{status: troubled()}, withStories(&fakeStories{}, false))
	served := ask(h, "GET", "/api/v1/openapi.json")
	if !bytes.Equal(served.Body.Bytes(), want) && !*update {
		t.Error("openapi.json is not what the types say: go test ./engine/console -run OpenAPI -update writes it again")
	}
	if kind := served.Header().Get("Content-Type"); kind != "application/json" {
		t.Errorf("it comes as %q", kind)
	}
	var doc struct {
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(want, &doc); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("console.go")
	if err != nil {
		t.Fatal(err)
	}
	routes := map[string]bool{}
	for _, m := range regexp.MustCompile(`serve\([A-Za-z]+, "(GET|POST) ([^"]*)"`).FindAllStringSubmatch(string(source), -1) {
		if m[2] == "/api/v1/sweep/" { // and an action
			for _, action := range actions {
				routes["post /api/v1/sweep/"+action] = true
			}
			continue
		}
		routes[strings.ToLower(m[1])+" "+strings.TrimSuffix(m[2], "{$}")] = true
	}
	for path, methods := range doc.Paths {
		for method, is := range methods {
			if !routes[method+" "+path] {
				t.Errorf("there is no %s %s", method, path)
			}
			delete(routes, method+" "+path)
			if path == "/live" { // which does not end
				continue
			}
			asked := strings.NewReplacer("{place}", "17").Replace(path)
			if w := ask(h, strings.ToUpper(method), asked); is.Responses[fmt.Sprint(w.Code)] == nil || w.Code == http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d is not among its answers", method, path, w.Code)
			}
		}
	}
	for route := range routes {
		t.Errorf("%s is not in the document", route)
	}
}
