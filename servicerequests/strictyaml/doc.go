// Package strictyaml reads the YAML files that people write for this module,
// the configuration and the direction, into structs of plain values.
//
// The dialect: one document, a mapping at the top; keys are the fields' koanf
// tags, compared exactly. What each kind of field takes:
//
//	string          text; a number or a date must be in quotes
//	bool            as YAML has it
//	integer, float  decimal digits; 0100, 0x40 and 1_000 are refused, an integer
//	                takes no fraction
//	time.Duration   text as time.ParseDuration reads it: 90s, 24h
//	time.Time       RFC 3339 with its zone; a field whose tag "when" is day takes a
//	                date as well, which is midnight UTC
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
