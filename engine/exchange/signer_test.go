package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"safemode/engine/exchange"
	"safemode/engine/gateway"
	"safemode/engine/signer"
)

// A half waits for keys that cannot be used just now, for as long as it may go.
func TestWaitsForTheKeys(t *testing.T) {
	down := fmt.Errorf("%w: the socket is gone", signer.ErrUnavailable)
	for name, test := range map[string]struct {
		sign func(asked int, l *exchange.Half, stop func()) error
		want error // nil: it goes
	}{
		"they come back":                 {func(asked int, _ *exchange.Half, _ func()) error { return when(asked < 3, down) }, nil},
		"the home is excluded meanwhile": {func(_ int, l *exchange.Half, _ func()) error { l.Permit.Recall(); return down }, exchange.ErrRecalled},
		"the sweep is stopped meanwhile": {func(_ int, _ *exchange.Half, stop func()) error { stop(); return down }, gateway.ErrNotAdmitted},
		"whoever has them is frozen":     {func(int, *exchange.Half, func()) error { return signer.ErrStopped }, exchange.ErrGate},
		"they are broken":                {func(int, *exchange.Half, func()) error { return errors.New("no such key") }, exchange.ErrKey},
		"it was gone, and then is frozen": {func(asked int, _ *exchange.Half, _ func()) error {
			return errors.Join(when(asked < 2, down), when(asked >= 2, signer.ErrStopped))
		}, exchange.ErrGate},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t)
			l := half()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			asked := 0
			d.sign = func() error {
				asked++
				return test.sign(asked, &l, stop)
			}
			res := exchange.New(d.o).Do(ctx, t.Context(), l)
			if !errors.Is(res.Err, test.want) || (test.want != nil) == (res.Signed != nil) {
				t.Errorf("%s: got %v after %v, want %v", name, res.Err, res.Took, test.want)
			}
		})
	}
}

func when(is bool, err error) error {
	if is {
		return err
	}
	return nil
}
