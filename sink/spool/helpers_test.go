package spool_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(t testing.TB, cfg spool.Config) *spool.Buffer {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	b, err := spool.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// records makes a batch of numbered records.
func records(from, to int) *bridge.Batch {
	b := new(bridge.Batch)
	for i := from; i < to; i++ {
		b.Add(bridge.Record{Key: fmt.Appendf(nil, "k%d", i%7), Data: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", i%300)), Topic: "t"})
	}
	return b
}

func number(t testing.TB, m *bridge.Message) int {
	t.Helper()
	text, _, _ := strings.Cut(string(m.Payload), " ")
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// take reads n messages.
func take(t testing.TB, s *spool.Source, n int) []bridge.Message {
	t.Helper()
	var list []bridge.Message
	for len(list) < n {
		msgs := make([]bridge.Message, min(100, n-len(list)))
		got, err := s.Read(t.Context(), msgs)
		require.NoError(t, err)
		list = append(list, msgs[:got]...)
	}
	return list
}

// takeAll reads what there is.
func takeAll(t testing.TB, s *spool.Source) []bridge.Message {
	t.Helper()
	var list []bridge.Message
	for {
		msgs := make([]bridge.Message, 64)
		got, err := s.Read(unwilling{t.Context()}, msgs)
		require.NoError(t, err)
		if got == 0 {
			return list
		}
		list = append(list, msgs[:got]...)
	}
}

// unwilling is a context that ends every wait at once, but is not cancelled: a
// Read with it returns nothing when there is nothing.
type unwilling struct{ context.Context }

func (unwilling) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}
