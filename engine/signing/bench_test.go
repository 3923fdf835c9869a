package signing

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"safemode/engine/signer"
	"safemode/servicerequests"
	"safemode/servicerequests/duis"
	"safemode/servicerequests/gbcs"
)

// BenchmarkCriticalRequest measures both halves of a critical request: three signatures. The
// gate alone is what the keys in the sweep's own process cost; the socket adds the way, the
// rules and the durable log.
func BenchmarkCriticalRequest(b *testing.B) {
	const meters = 100 // as many as the test's direction names
	s := newScene(b, meters, func(o *Options) { o.Limits.Commands = 255 }).open()
	l, err := ListenUnix(b.Context(), filepath.Join(b.TempDir(), "s"), []int{os.Getuid()})
	must(b, err)
	server := s.service.Server()
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	}()
	defer server.Close()
	client := NewClient(ClientOptions{Socket: l.Addr().String()})
	defer client.Close()

	type signs interface {
		SignRequest(ctx context.Context, meter servicerequests.EUI, r duis.Request) ([]byte, error)
		Sign(ctx context.Context, meter servicerequests.EUI, t *signer.Token) ([]byte, error)
	}
	var mu sync.Mutex
	next := 0
	both := func(by signs) error {
		mu.Lock()
		next++
		id := s.id(firstMeter + servicerequests.EUI(next%(meters-1)))
		mu.Unlock()
		e := gbcs.Expected{Service: toCredit, Device: servicerequests.ESME, ID: id}
		preCommand, err := gbcs.AppendPreCommand(nil, e, s.now)
		if err != nil {
			return err
		}
		if _, err := by.SignRequest(b.Context(), id.Target, duis.Request{ID: id, Service: toCredit}); err != nil {
			return err
		}
		token, err := signer.Prepare(e, preCommand)
		if err == nil {
			_, err = by.Sign(b.Context(), id.Target, token)
		}
		return err
	}
	for name, by := range map[string]signs{"gate": s.o.Gate, "socket": client} {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := both(by); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(3*float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
		})
	}
}
