package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

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
