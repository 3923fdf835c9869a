package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	node "go.yaml.in/yaml/v3"
)

// Fault is one thing that is wrong with a file.
type Fault struct {
	Path   string // of the key, like limits.regions.North.burst or identities[0].eui
	Reason string
}

func (f *Fault) Error() string { return f.Path + ": " + f.Reason }

// SyntaxError means that a file is not one document of the YAML that is read here.
// It is reported without other faults.
type SyntaxError struct {
	Reason string
	Err    error // what the YAML reader says, or nil
}

func (e *SyntaxError) Error() string {
	if e.Err != nil {
		return e.Reason + ": " + e.Err.Error()
	}
	return e.Reason
}

// Unwrap returns Err.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Faultf makes a Fault.
func Faultf(path, format string, args ...any) error {
	return &Fault{Path: path, Reason: fmt.Sprintf(format, args...)}
}

// Faults are the faults that a Validate has found so far.
type Faults []error

// Check notes a fault unless ok.
func (f *Faults) Check(ok bool, path, format string, args ...any) {
	if !ok {
		*f = append(*f, Faultf(path, format, args...))
	}
}

// The limits of a document. They are far above any file of this module.
const (
	MaxBytes = 256 << 10
	MaxDepth = 16   // of values within values; the document's own mapping is 1
	MaxKeys  = 1000 // of one mapping
)

// tag is the struct tag that names a field's key. The keys of a field with the tag squash
// are beside those of its struct.
const (
	tag    = "koanf"
	squash = ",squash"
)

// Unmarshal reads a document into the struct that into points to, and then
// validates it. Fields that the document does not name keep their values:
// those are the defaults. Maps are merged key by key; lists are replaced.
//
// The error joins all faults, those of the reading and those that Validate
// joins; of two with the same path the reading's is kept. A text that is not YAML
// at all gives only a [*SyntaxError].
func Unmarshal(b []byte, into interface{ Validate() error }) error {
	document, err := oneDocument(b)
	if err != nil {
		return err
	}
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(b), yaml.Parser()); err != nil {
		return &SyntaxError{"not YAML that can be read", err}
	}
	faults := unread("", k.Raw(), reflect.TypeOf(into).Elem())
	for _, top := range document.Content {
		faults = append(faults, asWritten("", top, reflect.TypeOf(into).Elem(), false)...)
	}
	err = k.UnmarshalWithConf("", into, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		DecodeHook: mapstructure.DecodeHookFuncType(value),
		MatchName:  func(key, field string) bool { return key == field },
	}})
	faults = besides(faults, decodeFaults(err))
	return join(besides(faults, leaves(into.Validate())))
}

// oneDocument refuses a second document, which koanf would ignore, aliases, and what is over
// the limits. The node of an empty file has no content. The tree of nodes takes memory in
// proportion to the file; values made of it may take its square, so they are made after.
func oneDocument(b []byte) (*node.Node, error) {
	if len(b) > MaxBytes {
		return nil, &SyntaxError{Reason: fmt.Sprintf("longer than %d bytes", MaxBytes)}
	}
	d := node.NewDecoder(bytes.NewReader(b))
	var first, second node.Node
	switch err := d.Decode(&first); {
	case errors.Is(err, io.EOF):
		return &first, nil
	case err != nil:
		return nil, &SyntaxError{"not YAML", err}
	case first.Content[0].Kind != node.MappingNode:
		return nil, &SyntaxError{Reason: "not a YAML mapping: want keys and values"}
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, &SyntaxError{Reason: "more than one YAML document: want one"}
	}
	return &first, within(&first, 0)
}

// asWritten finds the values that are not written as their field wants them. A decoded value
// no longer shows how it was written: a date is midnight, a time without a zone is UTC, and
// 0100 is 64.
func asWritten(path string, n *node.Node, t reflect.Type, day bool) (faults []error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.Kind {
	case node.ScalarNode:
		if err := written(n, t, day); err != nil {
			faults = append(faults, Faultf(path, "%s: %v", n.Value, err))
		}
	case node.SequenceNode:
		for i, v := range n.Content {
			if t.Kind() == reflect.Slice {
				faults = append(faults, asWritten(fmt.Sprintf("%s[%d]", path, i), v, t.Elem(), false)...)
			}
		}
	case node.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, v := n.Content[i].Value, n.Content[i+1]
			at := strings.TrimPrefix(path+"."+key, ".")
			if t.Kind() == reflect.Map {
				faults = append(faults, asWritten(at, v, t.Elem(), false)...)
			} else if t.Kind() != reflect.Struct {
				continue
			} else if field, ok := fieldOf(t, key); ok {
				faults = append(faults, asWritten(at, v, field.Type, field.Tag.Get("when") == "day")...)
			}
		}
	}
	return faults
}

// within refuses what is over the limits, at a depth of values, and references: a few lines
// of them can make an endless file.
func within(n *node.Node, depth int) error {
	switch {
	case depth > MaxDepth:
		return &SyntaxError{Reason: fmt.Sprintf("line %d: values within values, more than %d deep", n.Line, MaxDepth)}
	case n.Kind == node.MappingNode && len(n.Content) > 2*MaxKeys:
		return &SyntaxError{Reason: fmt.Sprintf("line %d: more than %d keys", n.Line, MaxKeys)}
	case n.Kind == node.AliasNode:
		return &SyntaxError{Reason: fmt.Sprintf("line %d: *%s is a YAML alias: write the value out", n.Line, n.Value)}
	}
	for _, inner := range n.Content {
		if err := within(inner, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// unread finds the keys that no field of t reads, and those without a value.
func unread(path string, raw any, t reflect.Type) (faults []error) {
	if raw == nil {
		return []error{Faultf(path, "no value: give it one or remove the key")}
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch raw := raw.(type) {
	case map[string]any:
		for key, v := range raw {
			name := key
			if name == "" {
				name = `""` // else the fault would have no path
			}
			at := strings.TrimPrefix(path+"."+name, ".")
			switch t.Kind() {
			case reflect.Struct:
				if field, ok := fieldOf(t, key); ok {
					faults = append(faults, unread(at, v, field.Type)...)
				} else {
					faults = append(faults, Faultf(at, "unknown key"))
				}
			case reflect.Map:
				faults = append(faults, unread(at, v, t.Elem())...)
			}
		}
	case []any:
		if t.Kind() == reflect.Slice {
			for i, v := range raw {
				faults = append(faults, unread(fmt.Sprintf("%s[%d]", path, i), v, t.Elem())...)
			}
		}
	}
	return faults
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for field := range t.Fields() {
		switch field.Tag.Get(tag) {
		case key:
			return field, true
		case squash:
			if inner, ok := fieldOf(field.Type, key); ok {
				return inner, true
			}
		}
	}
	return reflect.StructField{}, false
}

// decodeFaults gives mapstructure's errors the paths of the file.
func decodeFaults(err error) (faults []error) {
	for _, leaf := range leaves(err) {
		if e, ok := errors.AsType[*mapstructure.DecodeError](leaf); ok {
			leaf = Faultf(dotted(e.Name()), "%v", e.Unwrap())
		}
		faults = append(faults, leaf)
	}
	return faults
}

// dotted turns mapstructure's name of a map's element, regions[North], into a
// path, regions.North. Indexes of lists stay.
func dotted(name string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(name, "[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		key, after, _ := strings.Cut(rest, "]")
		if strings.Trim(key, "0123456789") == "" {
			b.WriteString("[" + key + "]")
		} else {
			b.WriteString("." + key)
		}
		name = after
	}
}

// leaves lists the errors that were joined.
func leaves(err error) []error {
	switch e := err.(type) { //nolint:errorlint // it unwraps by itself, every branch
	case nil:
		return nil
	case *mapstructure.DecodeError, *Fault:
		return []error{err}
	case interface{ Unwrap() []error }:
		var list []error
		for _, inner := range e.Unwrap() {
			list = append(list, leaves(inner)...)
		}
		return list
	case interface{ Unwrap() error }:
		if inner := leaves(e.Unwrap()); len(inner) > 0 {
			return inner
		}
	}
	return []error{err}
}

// besides adds later faults to earlier ones, except those about values that could not be
// read.
func besides(earlier, later []error) []error {
	said := map[string]bool{}
	for _, err := range earlier {
		if f, ok := errors.AsType[*Fault](err); ok {
			said[f.Path] = true
		}
	}
	for _, err := range later {
		if f, ok := errors.AsType[*Fault](err); !ok || !said[f.Path] {
			earlier = append(earlier, err)
		}
	}
	return earlier
}

// join sorts the faults by text, which is by path.
func join(all []error) error {
	slices.SortStableFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(all...)
}
