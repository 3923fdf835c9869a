package loadtest

import "math"

// Search finds the highest rate that passes, between low and high. It doubles the
// rate until one fails, then halves the gap until it is within precision (0.05 is
// 5 per cent) of the rate that passed. probe tries a rate. The result is 0 if low
// itself fails; failed is the lowest rate that did, 0 if none did.
func Search(low, high, precision float64, probe func(rate float64) (bool, error)) (passed, failed float64, err error) {
	for rate := low; ; rate = math.Min(2*rate, high) {
		ok, err := probe(rate)
		if err != nil {
			return passed, failed, err
		}
		if !ok {
			failed = rate
			break
		}
		if passed = rate; rate >= high {
			return passed, 0, nil
		}
	}
	for passed > 0 && failed-passed > precision*passed {
		rate := (passed + failed) / 2
		ok, err := probe(rate)
		switch {
		case err != nil:
			return passed, failed, err
		case ok:
			passed = rate
		default:
			failed = rate
		}
	}
	return passed, failed, nil
}
