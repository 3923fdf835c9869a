// Package schedule is the simulator's agenda: everything that must happen at some instant of
// the simulator's clock waits in one heap, and one goroutine runs what is due. A million
// sleeping meters need no timer and no goroutine.
//
// It refuses nothing and knows nothing of meters. Functions run on the agenda's own goroutine,
// one after another, so they must be short. Work that computes must go to a pool.
package schedule
