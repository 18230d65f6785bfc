package driver

import (
	"context"
	"fmt"
	"log/slog"
)

// logger gives raft's lines to slog, one level down: what raft calls a warning
// is the life of a cluster. A panic of raft's is a broken invariant.
type logger struct{ log *slog.Logger }

func (l logger) write(level slog.Level, format string, v []any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	if format == "" {
		l.log.Log(context.Background(), level, fmt.Sprint(v...))
		return
	}
	l.log.Log(context.Background(), level, fmt.Sprintf(format, v...))
}

func (l logger) Debug(v ...any)                   { l.write(slog.LevelDebug-4, "", v) }
func (l logger) Debugf(format string, v ...any)   { l.write(slog.LevelDebug-4, format, v) }
func (l logger) Info(v ...any)                    { l.write(slog.LevelDebug, "", v) }
func (l logger) Infof(format string, v ...any)    { l.write(slog.LevelDebug, format, v) }
func (l logger) Warning(v ...any)                 { l.write(slog.LevelInfo, "", v) }
func (l logger) Warningf(format string, v ...any) { l.write(slog.LevelInfo, format, v) }
func (l logger) Error(v ...any)                   { l.write(slog.LevelError, "", v) }
func (l logger) Errorf(format string, v ...any)   { l.write(slog.LevelError, format, v) }
func (l logger) Fatal(v ...any)                   { panic("BUG: raft: " + fmt.Sprint(v...)) }
func (l logger) Fatalf(format string, v ...any)   { panic("BUG: raft: " + fmt.Sprintf(format, v...)) }
func (l logger) Panic(v ...any)                   { panic("BUG: raft: " + fmt.Sprint(v...)) }
func (l logger) Panicf(format string, v ...any)   { panic("BUG: raft: " + fmt.Sprintf(format, v...)) }
