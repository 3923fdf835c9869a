package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"safemode/devicesim/meter"
)

// pressFlag is which share of consumers press the button of an armed supply, and after
// how long half of those have: a value like 0.9,40m.
type pressFlag struct{ meter.Habit }

// addPress adds --press, which begins with the default of a fleet that lives.
func addPress(f *pflag.FlagSet, p *pressFlag, dry string) {
	p.Habit = meter.Lived().Press
	f.Var(p, "press", dry+"which share of consumers press the button of an armed supply, and after how long half of those have (ASSUMPTION)")
}

func (p *pressFlag) String() string {
	return strconv.FormatFloat(p.Share, 'g', -1, 64) + "," + short(p.After)
}

// Type is what help calls the value.
func (p *pressFlag) Type() string { return "share,delay" }

// Set reads a value.
func (p *pressFlag) Set(text string) error {
	share, after, found := strings.Cut(text, ",")
	s, err := strconv.ParseFloat(share, 64)
	d, unread := time.ParseDuration(after)
	if !found || err != nil || unread != nil || !(s >= 0 && s <= 1) || d <= 0 {
		return errors.New("want a share from 0 to 1 and a median delay, like 0.9,40m")
	}
	p.Share, p.After = s, d
	return nil
}

var errPressLives = errors.New("--press: nobody presses in a fleet that does not live: give --living as well, or --dark-hours where there is that flag")

// pressLives refuses a habit of consumers in a fleet in which nothing happens.
func (f rehearsalFlags) pressLives(given *pflag.FlagSet) error {
	if given.Changed("press") && !f.living && f.dark.over == 0 {
		return failWith(exitUsage, errPressLives)
	}
	return nil
}

// short writes a duration without the zeros at its end.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// decimal is a flag's whole number as people write it. The flag's own reading takes 0100
// for 64 and 0x10 for 16.
type decimal struct{ pflag.Value }

func (d decimal) Set(text string) error {
	digits := strings.TrimLeft(text, "+-")
	if len(digits) > 1 && digits[0] == '0' || strings.Contains(digits, "_") {
		return errors.New("want a whole number in decimal digits, without zeros before it")
	}
	return d.Value.Set(text)
}

// inDecimal has every whole number on the command lines of c read as one.
func inDecimal(c *cobra.Command) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		switch f.Value.Type() {
		case "int", "int64", "uint", "uint64", "uint16":
			f.Value = decimal{f.Value}
		}
	})
	for _, inner := range c.Commands() {
		inDecimal(inner)
	}
}
