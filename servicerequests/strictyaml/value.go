package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"time"

	node "go.yaml.in/yaml/v3"

	"safemode/servicerequests"
	"safemode/servicerequests/clock"
)

var (
	durationType   = reflect.TypeFor[time.Duration]()
	timeType       = reflect.TypeFor[time.Time]()
	millipenceType = reflect.TypeFor[servicerequests.Millipence]()
	serviceType    = reflect.TypeFor[servicerequests.Service]()
	textType       = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value converts one value of the document for a field of type to, or says what the
// field wants instead.
func value(_, to reflect.Type, data any) (any, error) {
	text, isText := data.(string)
	switch to {
	case durationType:
		d, err := time.ParseDuration(text)
		if !isText || err != nil {
			return nil, fmt.Errorf("%v: want a duration, like 90s or 24h", data)
		}
		return d, nil
	case timeType:
		return instant(data)
	case millipenceType:
		if !isText {
			return nil, fmt.Errorf("%v: want pounds in quotes, like \"2.00\"", data)
		}
		return servicerequests.ParsePounds(text)
	case serviceType:
		if !isText {
			return nil, fmt.Errorf("%v: want an SRV in quotes, like \"1.6\"", data)
		}
		return service(text)
	}
	if reflect.PointerTo(to).Implements(textType) {
		if !isText {
			return nil, fmt.Errorf("%v: want text: put it in quotes", data)
		}
		v := reflect.New(to)
		err := v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
		return v.Elem().Interface(), err
	}
	return data, kind(to, data)
}

// kind refuses what mapstructure would convert, and gives a clearer error where
// mapstructure would refuse.
func kind(to reflect.Type, data any) error {
	var ok bool
	var want string
	switch from := reflect.TypeOf(data).Kind(); to.Kind() {
	case reflect.Bool:
		ok, want = from == reflect.Bool, "true or false"
	case reflect.Int, reflect.Int64:
		ok, want = from == reflect.Int || from == reflect.Int64, "a whole number"
	case reflect.Uint64:
		n := reflect.ValueOf(data)
		ok, want = n.CanUint() || n.CanInt() && n.Int() >= 0, "a whole number, 0 or more"
	case reflect.Float64:
		n := reflect.ValueOf(data)
		ok, want = n.CanFloat() || n.CanInt() || n.CanUint(), "a number"
	case reflect.String:
		ok, want = from == reflect.String, "text: put it in quotes"
	case reflect.Slice:
		ok, want = from == reflect.Slice, "a list"
	default:
		ok, want = from == reflect.Map, "keys and values"
	}
	if !ok {
		return fmt.Errorf("%v: want %s", data, want)
	}
	return nil
}

// instant converts what [written] has accepted: YAML recognises dates and times by their
// form.
func instant(data any) (time.Time, error) {
	if t, ok := data.(time.Time); ok {
		return t.UTC(), nil
	}
	text, _ := data.(string)
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	return clock.ParseInstant(text)
}

var (
	wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	number      = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

// written says how a scalar for a field of type t must be written. One in quotes is text,
// which [value] checks.
func written(n *node.Node, t reflect.Type, day bool) error {
	if t == timeType {
		if _, err := time.Parse(time.DateOnly, n.Value); day && err == nil {
			return nil
		}
		_, err := clock.ParseInstant(n.Value)
		return err
	}
	text := n.ShortTag() != "!!int" && n.ShortTag() != "!!float"
	if text || t == durationType || t == millipenceType || t == serviceType || reflect.PointerTo(t).Implements(textType) {
		return nil
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64:
		if n.ShortTag() == "!!int" && !wholeNumber.MatchString(n.Value) {
			return errors.New("want a whole number in decimal digits, without zeros before it")
		}
	case reflect.Float64:
		if !number.MatchString(n.Value) {
			return errors.New("want a number in decimal digits, without zeros before it")
		}
	}
	return nil
}

func service(srv string) (servicerequests.Service, error) {
	if srv == "1.6" {
		return servicerequests.SwitchToCredit, nil
	}
	return servicerequests.ParseService(srv, "")
}
