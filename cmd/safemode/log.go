package main

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

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
