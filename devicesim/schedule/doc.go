// Package schedule is the simulator's agenda: everything that shall happen at
// some instant of the simulator's clock waits in one heap, and one goroutine
// does what is due. A million sleeping meters cost no timer and no goroutine.
//
// It refuses nothing and knows nothing of meters. What is due runs on the
// agenda's own goroutine, one after another, so it must be short: work that
// computes hands itself to a pool.
package schedule
