package prover

import (
	"fmt"
	"testing"
	"testing/synctest"

	"safemode/engine/proof"
)

// The User's other traffic is told of and not tried again. It takes nothing of the limit,
// and is no warning: much of it may come.
func TestOtherTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(o *Options) { o.Limit = 5 * cost(3) })
		defer b.run()()
		var told []string
		for i := range 50 {
			body := fmt.Sprintf("a.%d", i%10)
			b.set(fault(proof.ErrOther), body)
			b.receive(body)
			synctest.Wait()
			told = append(told, "no "+body)
		}
		b.want("all told", nil, told)
		if n := b.metric("safemode_prover_unproven_bytes"); n != 0 {
			t.Errorf("%v bytes are unproven", n)
		}
		if n := b.logs.Len(); n != 0 {
			t.Errorf("%d lines: %v", n, b.logs.All()[0])
		}
	})
}
