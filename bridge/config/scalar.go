package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time as people write it: "5s", "1m30s", "100ms", and "infinity"
// for none, which is 0.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	if s := string(text); s != "infinity" {
		v, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 5s, 1m30s or 100ms", s)
		}
		*d = Duration(v)
		return nil
	}
	*d = 0
	return nil
}

// Size is a number of bytes as people write it: "25KB", "256MB", "1GB", with a
// kilobyte of 1024 bytes as in EMQX, or a plain number.
type Size int

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	t := strings.ToUpper(strings.TrimSpace(string(text)))
	unit := 1
	for i, suffix := range []string{"KB", "MB", "GB"} {
		if rest, ok := strings.CutSuffix(t, suffix); ok {
			t, unit = strings.TrimSpace(rest), 1<<(10*(i+1))
		}
	}
	n, err := strconv.Atoi(strings.TrimSuffix(t, "B"))
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size such as 25KB, 256MB or a number of bytes", text)
	}
	*s = Size(n * unit)
	return nil
}

// Texts is one text or a list of them.
type Texts []string
