package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"safemode/devicesim/fleet"
	"safemode/servicerequests"
)

func newFleet(io stdio) *cobra.Command {
	return group("fleet", "Simulated meters", newFleetGenerate(io))
}

func newFleetGenerate(io stdio) *cobra.Command {
	var options fleet.Options
	var out, portfolio, supplier string
	var asJSON bool
	c := &cobra.Command{
		Use:   "generate --meters N --seed S --out FILE --portfolio FILE",
		Short: "Make a fleet and the portfolio that a provider would hold of it",
		Long: `Writes two files. The fleet is the truth, for the simulator: every meter with its
state. The portfolio is what a Shared Resource Provider would hold of it: claims,
some of them stale or wrong. The same seed makes the same files.`,
		Example: `  safemode fleet generate --meters 1000 --seed 1 --out fleet.csv --portfolio portfolio.csv`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if supplier != "" {
				var err error
				if options.Supplier, err = servicerequests.ParseEUI(supplier); err != nil {
					return failWith(exitUsage, fmt.Errorf("--supplier: %w", err))
				}
			}
			if filepath.Clean(out) == filepath.Clean(portfolio) {
				return failWith(exitUsage, errors.New("--out and --portfolio name the same file"))
			}
			f, err := fleet.Generate(options)
			if err != nil {
				return failWith(exitUsage, err)
			}
			if err := writeFleet(f, out, portfolio); err != nil {
				return err
			}
			return printResult(io.out, asJSON, map[string]any{"meters": f.Len(), "seed": f.Seed, "fleet": out, "portfolio": portfolio},
				"%d meters in %s, claims about them in %s\n", f.Len(), out, portfolio)
		},
	}
	flags := c.Flags()
	flags.IntVar(&options.Meters, "meters", 0, fmt.Sprintf("how many electricity and gas meters, 1 to %d", fleet.MaxMeters))
	flags.Uint64Var(&options.Seed, "seed", 1, "number that decides everything random")
	flags.StringVar(&out, "out", "", "fleet file to write")
	flags.StringVar(&portfolio, "portfolio", "", "portfolio file to write")
	flags.Float64Var(&options.OtherModels, "other-models", 0, "share of meters with other disablement thresholds and debt settings (ASSUMPTION)")
	flags.StringVar(&supplier, "supplier", "", "EUI of the failed supplier (default that of the test PKI)")
	flags.BoolVar(&asJSON, "json", false, "one line of JSON")
	required(c, "meters", "out", "portfolio")
	return c
}

// writeFleet writes the truth and the claims about it.
func writeFleet(f *fleet.Fleet, out, portfolio string) error {
	if err := writeFile(out, 0o600, f.WriteCSV); err != nil {
		return err
	}
	return writeFile(portfolio, 0o600, f.WritePortfolio)
}
