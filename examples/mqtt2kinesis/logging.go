package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// The environment's names for the log.
const (
	envLogFormat = "SLUICE_LOG_FORMAT"
	envLogLevel  = "SLUICE_LOG_LEVEL"
)

// newLogger returns a log that writes to w as the environment says: text or json,
// from a level on.
func newLogger(w io.Writer, lookup func(string) (string, bool)) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	if v, ok := lookup(envLogLevel); ok && v != "" {
		var level slog.Level
		if level.UnmarshalText([]byte(v)) != nil {
			return nil, fmt.Errorf("%s: %q is not debug, info, warn or error", envLogLevel, v)
		}
		opts.Level = level
	}
	v, _ := lookup(envLogFormat)
	switch strings.ToLower(v) {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &opts)), nil
	default:
		return nil, fmt.Errorf("%s: %q is not text or json", envLogFormat, v)
	}
}
