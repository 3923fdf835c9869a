package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"

	"safemode/servicerequests"
)

// Parse reads and validates the text of a configuration file. What it does not
// name keeps its default; a named list or map replaces the default as a whole.
func Parse(text []byte) (*Config, error) {
	k := koanf.NewWithConf(koanf.Conf{Delim: "\x00"})
	if err := k.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		return nil, err
	}
	c := Default()
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		TagName:     "koanf",
		Result:      &c,
		ErrorUnused: true,
		ZeroFields:  true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			pounds, mapstructure.StringToTimeDurationHookFunc(), mapstructure.TextUnmarshallerHookFunc(),
		),
	})
	if err != nil {
		return nil, err
	}
	if err := decoder.Decode(k.Raw()); err != nil {
		return nil, flatten(err)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// pounds reads an amount. A YAML float is refused: it may have lost digits.
func pounds(from, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[servicerequests.Millipence]() {
		return value, nil
	}
	switch v := value.(type) {
	case string:
		return servicerequests.ParsePounds(v)
	case int:
		return servicerequests.Millipence(v) * servicerequests.Pound, nil
	default:
		return nil, fmt.Errorf("amount %v: write pounds in quotes, like \"2.00\"", v)
	}
}

// flatten turns the decoder's nested errors into one line each, in a fixed order.
func flatten(err error) error {
	var lines []string
	var walk func(error)
	walk = func(err error) {
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				walk(e)
			}
			return
		}
		lines = append(lines, err.Error())
	}
	walk(err)
	slices.Sort(lines)
	faults := make([]error, len(lines))
	for i, line := range lines {
		faults[i] = errors.New(line)
	}
	return errors.Join(faults...)
}
