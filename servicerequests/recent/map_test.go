package recent_test

import (
	"testing"

	"safemode/servicerequests/recent"
)

func TestRemembersTheLastLimitKeys(t *testing.T) {
	const limit = 8
	for n := limit; n < 10*limit; n++ {
		m := recent.New[int, int](limit)
		for key := range n {
			m.Put(key, -key)
		}
		for key := n - limit; key < n; key++ {
			if v, ok := m.Get(key); !ok || v != -key {
				t.Errorf("key %d is forgotten when %d were put", key, n)
			}
		}
		for key := range n - 2*limit {
			if _, ok := m.Get(key); ok {
				t.Errorf("key %d is still there when %d were put", key, n)
			}
		}
	}
}

func TestUseKeeps(t *testing.T) {
	m := recent.New[int, string](4)
	m.Put(-1, "kept")
	for key := range 100 {
		m.Put(key, "")
		if v, ok := m.Get(-1); !ok || v != "kept" {
			t.Fatalf("forgotten after %d others though it was used", key+1)
		}
	}
}

func TestPutNewKeepsTheFirst(t *testing.T) {
	m := recent.New[int, string](1)
	if _, put := m.PutNew(1, "first"); !put {
		t.Error("first: not put")
	}
	if there, put := m.PutNew(1, "second"); put || there != "first" {
		t.Errorf("second: %q, %v", there, put)
	}
	m.PutNew(2, "other") // moves 1 to the older generation
	if there, put := m.PutNew(1, "third"); put || there != "first" {
		t.Errorf("third: %q, %v", there, put)
	}
	m.Put(1, "replaced")
	if v, _ := m.Get(1); v != "replaced" {
		t.Errorf("after Put: %q", v)
	}
}
