package journal

import (
	"context"
	"errors"
	"io"
	"testing"

	"safemode/engine/journal/store"
)

// away is a store whose server ends a hundred snapshots, and then gives one that has time.
type away struct {
	store.Store
	tries int
}

var errRead = errors.New("it was read")

func (a *away) Held() error { return nil }

func (a *away) Snapshot(ctx context.Context) (store.Reader, error) {
	switch a.tries++; {
	case a.tries > 200:
		return nil, errors.New("no try had any time")
	case a.tries < 100:
		return nil, io.EOF
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, errRead
}

// The state is read again however many tries were in vain: the time of a try does not grow without
// end.
func TestStateIsReadAfterManyTries(t *testing.T) {
	j := &Journal{at: "postgres://safemode@/safemode", packer: new(packer), store: &away{}}
	if _, _, err := j.readState(t.Context()); !errors.Is(err, errRead) {
		t.Error(err)
	}
}
