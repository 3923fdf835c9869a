package fault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"safemode/servicerequests"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// ErrProfile marks a profile that is not known or not valid.
var ErrProfile = errors.New("fault profile")

// Builtin returns a built-in profile. An unknown name wraps [ErrProfile] and
// lists those that exist.
func Builtin(name string) (Profile, error) {
	all := builtin()
	names := make([]string, len(all))
	for i, p := range all {
		if p.Name == name {
			return p, nil
		}
		names[i] = p.Name
	}
	return Profile{}, fmt.Errorf("%w %q: not built in; there are %s", ErrProfile, name, strings.Join(names, ", "))
}

// Parse reads a profile file. It reports every fault with its path; errors
// wrap [ErrProfile].
func Parse(text []byte) (Profile, error) {
	k := koanf.New(".")
	if err := k.Load(rawbytes.Provider(text), yaml.Parser()); err != nil {
		return Profile{}, fmt.Errorf("%w: %w", ErrProfile, err)
	}
	p := builtin()[0]
	p.Name = "custom"
	settings := p.settings()
	var faults []error
	for _, path := range k.Keys() {
		set, known := settings[path]
		if !known {
			faults = append(faults, fmt.Errorf("%s: unknown key", path))
			continue
		}
		if err := set(k.Get(path)); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
		}
	}
	if p.LatencyTail < p.LatencyMedian {
		faults = append(faults, fmt.Errorf("latency.tail: %v is under the median, %v", p.LatencyTail, p.LatencyMedian))
	}
	if (p.Outage.Lasts > 0) != (p.Outage.Region != servicerequests.UnknownRegion) {
		faults = append(faults, errors.New("outage: want region and lasts, or neither"))
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return Profile{}, fmt.Errorf("%w: %w", ErrProfile, errors.Join(faults...))
	}
	return p, nil
}

// settings returns what each key of a profile file sets.
func (p *Profile) settings() map[string]func(any) error {
	settings := map[string]func(any) error{
		"name":           func(v any) error { return setText(&p.Name, v) },
		"delay":          func(v any) error { return setSpan(&p.Delay, v) },
		"latency.median": func(v any) error { return setSpan(&p.LatencyMedian, v) },
		"latency.tail":   func(v any) error { return setSpan(&p.LatencyTail, v) },
		"outage.after":   func(v any) error { return setSpan(&p.Outage.After, v) },
		"outage.lasts":   func(v any) error { return setSpan(&p.Outage.Lasts, v) },
		"outage.region": func(v any) error {
			var name string
			if err := setText(&name, v); err != nil {
				return err
			}
			return p.Outage.Region.UnmarshalText([]byte(name))
		},
	}
	for kind, name := range kindNames {
		settings[name] = func(v any) error { return setShare(&p.shares[kind], v) }
	}
	settings["lies.attempts"] = func(v any) error { return setCount(&p.LyingAttempts, v) }
	for l := Truth + 1; l < lieCount; l++ {
		settings["lies."+lieNames[l]] = func(v any) error { return setShare(&p.lies[l], v) }
	}
	return settings
}

func setText(to *string, v any) error {
	text, ok := v.(string)
	if !ok || text == "" {
		return fmt.Errorf("%v: want text", v)
	}
	*to = text
	return nil
}

func setSpan(to *time.Duration, v any) error {
	text, _ := v.(string)
	span, err := time.ParseDuration(text)
	if err != nil || span < 0 {
		return fmt.Errorf("%v: want a span of time, like 90s", v)
	}
	*to = span
	return nil
}

func setCount(to *uint64, v any) error {
	n, ok := v.(int)
	if !ok || n < 0 {
		return fmt.Errorf("%v: want a whole number, 0 or more", v)
	}
	*to = uint64(n)
	return nil
}

func setShare(to *float64, v any) error {
	var share float64
	switch n := v.(type) {
	case float64:
		share = n
	case int:
		share = float64(n)
	default:
		return fmt.Errorf("%v: want a share from 0 to 1", v)
	}
	if !(share >= 0 && share <= 1) { // NaN fails both
		return fmt.Errorf("%v: want a share from 0 to 1", v)
	}
	*to = share
	return nil
}
