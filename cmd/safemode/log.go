package main

import (
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// countDropped has a registry tell how much talk was lost, where some may be.
func countDropped(w io.Writer, registry prometheus.Registerer) {
	dropped := droppedBy(w)
	if dropped == nil {
		dropped = func() uint64 { return 0 }
	}
	registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "safemode_log_dropped_total",
		Help: "Writes to standard error that were dropped because nobody read it.",
	}, func() float64 { return float64(dropped()) }))
}

// newLogger writes one JSON object a line: warnings and worse, or everything
// where verbose. Otherwise, of lines that say the same, ten a minute and every
// thousandth are written. Logs are talk; the record is the journal.
func newLogger(w io.Writer, verbose bool) *zap.Logger {
	level := zapcore.WarnLevel
	if verbose {
		level = zapcore.DebugLevel
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(config), zapcore.Lock(zapcore.AddSync(w)), level)
	if !verbose {
		// A thousand meters with the same trouble are not a thousand lines.
		core = zapcore.NewSamplerWithOptions(core, time.Minute, 10, 1000)
	}
	return zap.New(core)
}
