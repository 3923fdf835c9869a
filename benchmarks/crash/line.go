package main

import (
	"context"
	"net"
	"sync"
)

// line is a node's way to the database, which can be broken and held.
type line struct {
	address  string
	to       string // path of the server's socket
	listener net.Listener
	carries  sync.RWMutex // held for writing: nothing goes either way

	mu    sync.Mutex
	conns map[net.Conn]bool
	held  bool
}

func newLine(ctx context.Context, to string) (*line, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &line{address: l.Addr().String(), to: to, listener: l, conns: map[net.Conn]bool{}}
	go n.accept()
	return n, nil
}

// accept takes connections until the line is closed.
func (l *line) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		var d net.Dialer
		out, err := d.DialContext(context.Background(), "unix", l.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		l.mu.Lock()
		l.conns[in], l.conns[out] = true, true
		l.mu.Unlock()
		go l.carry(in, out)
		go l.carry(out, in)
	}
}

// carry copies one way, and ends both when it ends.
func (l *line) carry(from, to net.Conn) {
	defer func() {
		_, _ = from.Close(), to.Close()
		l.mu.Lock()
		delete(l.conns, from)
		delete(l.conns, to)
		l.mu.Unlock()
	}()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		l.carries.RLock()
		_, err = to.Write(buffer[:n])
		l.carries.RUnlock()
		if err != nil {
			return
		}
	}
}

// cut breaks all connections: queries under way may be carried out, and their answers are lost.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

// hold has nothing go either way, and no end of it be seen, until release.
func (l *line) hold() {
	l.carries.Lock()
	l.held = true
}

func (l *line) release() {
	if l.held {
		l.held = false
		l.carries.Unlock()
	}
}

func (l *line) close() {
	if l == nil {
		return
	}
	_ = l.listener.Close()
	l.release()
	l.cut()
}
