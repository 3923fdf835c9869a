package report

import "time"

// runs tells the runs in which messages were proven before they were written from those in
// which they are judged afterwards: the latter begin with the first run that gives a
// message's number anywhere. In the former a message counts by coming, in the latter only
// if a record rests on it.
type runs struct {
	now    int // the run that is read
	judges int // the first that judges afterwards
	shown  bool
}

// rests takes in that a record rests on the message of this number, 0 if on none.
func (r *runs) rests(of uint64) {
	if of != 0 && !r.shown {
		r.judges, r.shown = r.now, true
	}
}

// tally is what came in runs that did not judge afterwards.
type tally struct {
	run       int // the last one that added to it
	at, older time.Time
	n, past   int
}

// add counts a message. The messages of a run count when the run is over and has not
// shown that it judges them afterwards.
func (t *tally) add(at time.Time, r *runs) {
	if r.shown {
		return
	}
	if t.run != r.now {
		*t = tally{run: r.now, older: t.at, past: t.past + t.n}
	}
	t.at = at
	t.n++
}

// sum is when the last one came that counts, and how many did.
func (t *tally) sum(r *runs) (last time.Time, n int) {
	if r.shown && t.run >= r.judges {
		return t.older, t.past
	}
	return t.at, t.past + t.n
}

// answer is a response as it came, until an outcome says that it counts.
type answer struct {
	seq uint64
	at  time.Time
	raw []byte // nil: its outcome says all
}

// rest takes the answer that an outcome rests on, and drops those before it. An outcome of
// older journals gives no number: it rests on the last one, if it tells of an answer at all.
func (r *request) rest(of uint64, answered bool) (rests answer, ok bool) {
	if of == 0 {
		if !answered || len(r.answers) == 0 {
			return answer{}, false
		}
		rests = r.answers[len(r.answers)-1]
		r.answers = nil
		return rests, true
	}
	for i, a := range r.answers {
		if a.seq == of {
			r.answers = r.answers[i+1:]
			return a, true
		}
	}
	return answer{}, false
}
