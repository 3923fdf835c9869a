package engine

// SetPassing has f called before and after every durable step, until the function that it
// returns is called. No engine may be open at either time.
func SetPassing(f func(point string)) (reset func()) {
	before := passing
	passing = f
	return func() { passing = before }
}
