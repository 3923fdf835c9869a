// Package strictyaml reads the YAML files that people write for this module,
// the configuration and the direction, into structs of plain values.
//
// The dialect: one document, a mapping at the top; keys are the fields' koanf
// tags, compared exactly. What each kind of field takes:
//
//	string          text; a number or a date must be in quotes
//	bool, integer   as YAML has them; an integer takes no fraction
//	float           any number
//	time.Duration   text as time.ParseDuration reads it: 90s, 24h
//	time.Time       RFC 3339 with its zone, or a date, which is midnight UTC; a field
//	                whose tag "when" is instant takes no date, and no time without a zone
//	Millipence      pounds in quotes, like "2.00"
//	Service         a Service Reference Variant in quotes, like "1.6"; 1.6 is
//	                the switch to Credit
//	TextUnmarshaler text
//
// A document has at most [MaxBytes] bytes, values within values [MaxDepth] deep, and
// [MaxKeys] keys in a mapping.
//
// It refuses unknown keys, keys without a value, second documents, aliases and
// values of another kind: nothing is converted, guessed or left out in silence. It
// reports every fault of the file at once, each with its path.
package strictyaml
