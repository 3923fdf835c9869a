// Package recent is a bounded map: it keeps the keys that were used last and drops
// the others. It has no clock: a key is recent if few other keys were used since.
//
// It promises only that the last Limit keys are there and that there are no more
// than twice as many. When exactly a key is dropped is not defined.
package recent

import "sync"

// Map remembers at least the last Limit keys that were put or got, and at most
// twice as many. It keeps two generations and drops the older one when the
// younger is full, so that no operation walks a list. All methods
// may be called from any goroutine. Its zero value is not usable.
type Map[K comparable, V any] struct {
	limit int

	mu           sync.Mutex
	young, older map[K]V
}

// New returns an empty map that remembers at least limit keys, one or more.
func New[K comparable, V any](limit int) *Map[K, V] {
	return &Map[K, V]{limit: max(1, limit), young: map[K]V{}}
}

// Get returns what was put under the key, and counts as a use of it.
func (m *Map[K, V]) Get(key K) (value V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value, ok = m.young[key]; ok {
		return value, true
	}
	if value, ok = m.older[key]; ok {
		m.put(key, value)
	}
	return value, ok
}

// Put remembers value under key in the place of what was there.
func (m *Map[K, V]) Put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(key, value)
}

// PutNew remembers value under key unless there is something already, which it
// then returns with false.
func (m *Map[K, V]) PutNew(key K, value V) (there V, put bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.young[key]; ok {
		return there, false
	}
	if there, ok := m.older[key]; ok {
		m.put(key, there)
		return there, false
	}
	m.put(key, value)
	return value, true
}

// put writes to the young generation. A key that is in both is found in the
// young one first, and the older copy goes with its generation.
func (m *Map[K, V]) put(key K, value V) {
	if _, there := m.young[key]; !there && len(m.young) >= m.limit {
		m.older, m.young = m.young, make(map[K]V, m.limit)
	}
	m.young[key] = value
}
