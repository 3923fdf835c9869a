package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// sheetAge is how long one status of the sweep is shown to all readers; real time.
const sheetAge = time.Second

// board has what all readers see: one status of the sweep a second, and each form of it made
// once, however many ask. An order discards the sheet, so that the person who gave it sees the
// effect.
type board struct {
	look   func(time.Time) *sheet
	ending <-chan struct{} // closed when the address is about to answer no more

	mu  sync.Mutex
	top *sheet // nil: none is up
}

// sheet is one look at the sweep.
type sheet struct {
	made   time.Time
	last   bool   // made after the end was known
	status []byte // JSON
	view   view
	fault  error // why there is no status
	broken error // why there is no view

	mu    sync.Mutex
	forms map[any][]byte // made of the view, by what asks for them
}

// read returns the sheet that is up, or puts a new one up.
func (b *board) read() *sheet {
	b.mu.Lock()
	defer b.mu.Unlock()
	ended := false
	select {
	case <-b.ending: // nil: never
		ended = true
	default:
	}
	if now := time.Now(); b.top == nil || now.Sub(b.top.made) >= sheetAge || ended && !b.top.last {
		b.top = b.look(now)
		b.top.made, b.top.last = now, ended
	}
	return b.top
}

// takeDown has the next reader look again.
func (b *board) takeDown() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.top = nil
}

// as returns the sheet in a form, which make makes if nobody has asked for it yet.
func (s *sheet) as(form any, make func(view) ([]byte, error)) ([]byte, error) {
	if s.broken != nil {
		return nil, s.broken
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, made := s.forms[form]; made {
		return b, nil
	}
	b, err := make(s.view)
	if err == nil {
		s.forms[form] = b
	}
	return b, err
}

// form is what a template makes, for one kind of reader.
type form struct {
	name   string
	reader reader
}

// reader has what makes one reader's page different from another's.
type reader struct {
	Person   string // empty: nobody in particular
	Refusal  string // why they may give no orders; empty: they may
	Redacted bool
}

// fill makes a form by its template.
func (f form) fill(v view) ([]byte, error) {
	v.reader = f.reader
	var b bytes.Buffer
	err := pageTemplate.ExecuteTemplate(&b, f.name, v)
	return b.Bytes(), err
}

// sheet looks at the sweep.
func (c console) sheet(now time.Time) *sheet {
	s := &sheet{forms: map[any][]byte{}}
	if s.status, s.fault = json.Marshal(c.o.Sweep.Status()); s.fault != nil {
		s.broken = s.fault
		return s
	}
	s.status = append(s.status, '\n')
	if s.view, s.broken = c.look(now, s.status); s.broken != nil {
		s.broken = fmt.Errorf("state of the sweep: %w", s.broken)
	}
	return s
}
