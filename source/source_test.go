package source_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source"
)

func TestTicker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src, err := source.NewTicker(source.TickerConfig{
			Count: 3, Interval: time.Minute,
			Message: func(m *bridge.Message, n int) { m.Topic = fmt.Sprint("tick/", n) },
		})
		require.NoError(t, err)
		start := time.Now()
		buf := make([]bridge.Message, 10)
		for i := range 3 {
			n, err := src.Read(t.Context(), buf)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.Equal(t, fmt.Sprint("tick/", i), buf[0].Topic)
			require.Equal(t, time.Duration(i+1)*time.Minute, buf[0].Received.Sub(start))
		}
		_, err = src.Read(t.Context(), buf)
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, src.Close(t.Context()))
	})
}

func TestTickerEndsWithContext(t *testing.T) {
	t.Parallel()
	src, err := source.NewTicker(source.TickerConfig{Interval: time.Hour, Message: func(*bridge.Message, int) {}})
	require.NoError(t, err)
	defer src.Close(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = src.Read(ctx, make([]bridge.Message, 1))
	require.ErrorIs(t, err, context.Canceled)
}

func TestTickerConfig(t *testing.T) {
	t.Parallel()
	_, err := source.NewTicker(source.TickerConfig{Count: -1})
	for _, field := range []string{"Interval", "Message", "Count"} {
		require.ErrorContains(t, err, field)
	}
}

func ExampleFunc() {
	left := 2
	src := source.Func(func(_ context.Context, dst []bridge.Message) (int, error) {
		if left == 0 {
			return 0, io.EOF
		}
		left--
		dst[0] = bridge.Message{Topic: fmt.Sprint("countdown/", left)}
		return 1, nil
	})
	buf := make([]bridge.Message, 1)
	for {
		if _, err := src.Read(context.Background(), buf); err != nil {
			break
		}
		fmt.Println(buf[0].Topic)
	}
	// Output:
	// countdown/1
	// countdown/0
}

func ExampleNewTicker() {
	src, err := source.NewTicker(source.TickerConfig{
		Interval: time.Millisecond,
		Message:  func(m *bridge.Message, n int) { m.Topic, m.Payload = "heartbeat", fmt.Append(nil, n) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer src.Close(context.Background())
	buf := make([]bridge.Message, 1)
	if _, err := src.Read(context.Background(), buf); err == nil {
		fmt.Printf("%s %s\n", buf[0].Topic, buf[0].Payload)
	}
	// Output: heartbeat 0
}
