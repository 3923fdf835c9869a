package strictyaml_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"safemode/servicerequests"
	"safemode/servicerequests/strictyaml"
)

type file struct {
	Text    string                             `koanf:"text"`
	Yes     bool                               `koanf:"yes"`
	Whole   int                                `koanf:"whole"`
	Natural uint64                             `koanf:"natural"`
	Number  float64                            `koanf:"number"`
	Wait    time.Duration                      `koanf:"wait"`
	At      time.Time                          `koanf:"at"`
	Day     time.Time                          `koanf:"day" when:"day"`
	Money   servicerequests.Millipence         `koanf:"money"`
	EUI     servicerequests.EUI                `koanf:"eui"`
	SRVs    []servicerequests.Service          `koanf:"srvs"`
	Counts  map[servicerequests.Service]int    `koanf:"counts"`
	Nested  map[servicerequests.Region]section `koanf:"nested"`
	Maybe   *section                           `koanf:"maybe"`
	List    []section                          `koanf:"list"`
	Ends    []time.Time                        `koanf:"ends"`
	Beside  `koanf:",squash"`
}

type Beside struct {
	Inside int `koanf:"inside"`
}

type section struct {
	N  int       `koanf:"n"`
	At time.Time `koanf:"at"`
}

func (f *file) Validate() error {
	if f.Whole < 0 {
		return errors.Join(strictyaml.Faultf("whole", "%d: want 0 or more", f.Whole))
	}
	return nil
}

func TestEveryKind(t *testing.T) {
	var got file
	err := strictyaml.Unmarshal([]byte(`
text: "1"
yes: true
whole: 7
natural: 18446744073709551615
number: 3
wait: 1h30m
at: 2026-11-23T19:00:00+01:00
day: 2026-11-23
money: "-1.5"
eui: 90b3d51f30010000
srvs: ["1.6", "6.2.9"]
counts: {1.6: 1, "7.4": 2}
nested: {4G North: {n: 1}}
maybe: {n: 2}
list: [{n: 3}, {n: 4}]
inside: 5
`), &got)
	want := file{
		Text: "1", Yes: true, Whole: 7, Natural: 1<<64 - 1, Number: 3, Wait: 90 * time.Minute,
		At: time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC), Day: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Money: -150_000, EUI: 0x90B3D51F30010000,
		SRVs:   []servicerequests.Service{servicerequests.SwitchToCredit, servicerequests.ReadPaymentMode},
		Counts: map[servicerequests.Service]int{servicerequests.SwitchToCredit: 1, servicerequests.ReadSupplyStatus: 2},
		Nested: map[servicerequests.Region]section{servicerequests.North4G: {N: 1}},
		Maybe:  &section{N: 2}, List: []section{{N: 3}, {N: 4}}, Beside: Beside{5},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s%v", diff, err)
	}
}

func TestNothingIsConverted(t *testing.T) {
	for text, want := range map[string]string{
		"text: 1":          "text: 1: want text: put it in quotes",
		"text: 2026-11-23": "text: 2026-11-23 00:00:00 +0000 UTC: want text: put it in quotes",
		`yes: "true"`:      "yes: true: want true or false",
		"yes: 1":           "yes: 1: want true or false",
		"whole: 1.0":       "whole: 1: want a whole number",
		`whole: "1"`:       "whole: 1: want a whole number",
		"natural: -1":      "natural: -1: want a whole number, 0 or more",
		`number: "1"`:      "number: 1: want a number",
		"wait: 60":         "wait: 60: want a duration, like 90s or 24h",
		"at: 7":            "at: 7: want an instant with its zone, like 2026-11-23T18:00:00Z",
		// Nobody knows what was meant.
		"at: 2026-06-21 23:59:59":      "at: 2026-06-21 23:59:59: want an instant with its zone: 2026-06-21T23:59:59+01:00, if that is British time",
		`at: "2026-06-21T23:59:59"`:    "at: 2026-06-21T23:59:59: want an instant with its zone: 2026-06-21T23:59:59+01:00, if that is British time",
		"at: 2026-06-21":               "at: 2026-06-21: want an instant with its zone: 2026-06-21T00:00:00+01:00 is the beginning of that day in Britain, 2026-06-21T23:59:59+01:00 its end",
		`at: "2026-12-21"`:             "at: 2026-12-21: want an instant with its zone: 2026-12-21T00:00:00Z is the beginning of that day in Britain, 2026-12-21T23:59:59Z its end",
		"day: 2026-06-21 23:59:59":     "day: 2026-06-21 23:59:59: want an instant with its zone: 2026-06-21T23:59:59+01:00, if that is British time",
		"ends: [2026-06-21 23:59:59]":  "ends[0]: 2026-06-21 23:59:59: want an instant with its zone: 2026-06-21T23:59:59+01:00, if that is British time",
		"list: [{at: 2026-6-1}]":       "list[0].at: 2026-6-1: want an instant with its zone, like 2026-11-23T18:00:00Z",
		"nested: {North: {at: 20:00}}": "nested.North.at: 20:00: want an instant with its zone, like 2026-11-23T18:00:00Z",
		"whole: 0100000":               "whole: 0100000: want a whole number in decimal digits, without zeros before it",
		"whole: 0x10":                  "whole: 0x10: want a whole number in decimal digits, without zeros before it",
		"whole: 0b11":                  "whole: 0b11: want a whole number in decimal digits, without zeros before it",
		"whole: 1_000":                 "whole: 1_000: want a whole number in decimal digits, without zeros before it",
		"whole: +1":                    "whole: +1: want a whole number in decimal digits, without zeros before it",
		"natural: 010":                 "natural: 010: want a whole number in decimal digits, without zeros before it",
		"number: 010":                  "number: 010: want a number in decimal digits, without zeros before it",
		"number: .inf":                 "number: .inf: want a number in decimal digits, without zeros before it",
		"number: .nan":                 "number: .nan: want a number in decimal digits, without zeros before it",
		"counts: {1.6: 010}":           "counts.1.6: 010: want a whole number in decimal digits, without zeros before it",
		"list: [{n: 1}, {n: 07}]":      "list[1].n: 07: want a whole number in decimal digits, without zeros before it",
		"maybe: {n: !!int \"010\"}":    "maybe.n: 010: want a whole number in decimal digits, without zeros before it",
		"money: 2":                     `money: 2: want pounds in quotes, like "2.00"`,
		"eui: 1234567890123456":        "eui: 1234567890123456: want text: put it in quotes",
		"srvs: [1.6]":                  `srvs[0]: 1.6: want an SRV in quotes, like "1.6"`,
		`srvs: ["7.2"]`:                "srvs[0]: SRV 7.2 (Disable Supply): not in the permitted set",
		`srvs: "1.6"`:                  "srvs: 1.6: want a list",
		"counts: {7.1: 1}":             "counts.7.1: SRV 7.1 (Enable Supply): not in the permitted set",
		"counts: {1.6: x}":             "counts.1.6: x: want a whole number",
		"nested: {North: 1}":           "nested.North: 1: want keys and values",
		"nested: [1]":                  "nested: [1]: want keys and values",
		"list: [{n: 1}, {m: 1}]":       "list[1].m: unknown key",
		"list: [null]":                 "list[0]: no value: give it one or remove the key",
		"maybe: {m: 1}":                "maybe.m: unknown key",
		"inside: x":                    "inside: x: want a whole number",
		"maybe:":                       "maybe: no value: give it one or remove the key",
		"Text: x":                      "Text: unknown key",
		"text.x: 1":                    "text.x: unknown key",
		// A value that could not be read is not judged by the rules as well.
		"whole: -1.5": "whole: -1.5: want a whole number",
		"whole: -1":   "whole: -1: want 0 or more",
	} {
		var f file
		err := strictyaml.Unmarshal([]byte(text), &f)
		if fault, ok := errors.AsType[*strictyaml.Fault](err); !ok || err.Error() != want {
			t.Errorf("%s: %v (%v); want %q", text, err, fault, want)
		}
	}
}

func TestNotADocument(t *testing.T) {
	for text, want := range map[string]string{
		"- a":            "not a YAML mapping: want keys and values",
		"a: 1\n---\nb":   "more than one YAML document: want one",
		"a: *b":          "not YAML: yaml: unknown anchor 'b' referenced",
		"a: &b 1\nc: *b": "line 2: *b is a YAML alias: write the value out",
	} {
		err := strictyaml.Unmarshal([]byte(text), &file{})
		if _, ok := errors.AsType[*strictyaml.SyntaxError](err); !ok || err.Error() != want {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	if err := strictyaml.Unmarshal(nil, &file{}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}
