package spool_test

import (
	"context"
	"testing"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/stretchr/testify/require"
)

// wholeSink closes the buffer behind a side, which the suites do not know of.
type wholeSink struct {
	*spool.Sink
	buf *spool.Buffer
	dir string
}

func (w wholeSink) Close(ctx context.Context) error {
	if err := w.Sink.Close(ctx); err != nil {
		return err
	}
	return w.buf.Close()
}

func TestSinkSuite(t *testing.T) {
	bridgetest.TestSink(t, bridgetest.SinkSuite{
		New: func(t *testing.T) bridge.Sink {
			dir := t.TempDir()
			buf, err := spool.Open(spool.Config{Dir: dir, Logger: quiet()})
			require.NoError(t, err)
			return wholeSink{buf.Sink(), buf, dir}
		},
		Stored: func(t *testing.T, s bridge.Sink) []bridgetest.Stored {
			w := s.(wholeSink)
			require.NoError(t, w.buf.Close())
			buf := open(t, spool.Config{Dir: w.dir})
			defer buf.Close()
			var list []bridgetest.Stored
			for _, m := range takeAll(t, buf.Source()) {
				key, _ := m.Columns[spool.ColumnKey].([]byte)
				list = append(list, bridgetest.Stored{Key: string(key), Data: string(m.Payload)})
			}
			return list
		},
	})
}

// wholeSource closes the buffer behind a side, too.
type wholeSource struct {
	*spool.Source
	buf *spool.Buffer
}

// Read makes plain messages, because the suite's rule is not for events.
func (w wholeSource) Read(ctx context.Context, dst []bridge.Message) (int, error) {
	n, err := w.Source.Read(ctx, dst)
	for i := range dst[:n] {
		dst[i].Event = ""
	}
	return n, err
}

func (w wholeSource) Close(ctx context.Context) error {
	if err := w.Source.Close(ctx); err != nil {
		return err
	}
	return w.buf.Close()
}

func TestSourceSuite(t *testing.T) {
	bridgetest.TestSource(t, bridgetest.SourceSuite{
		New: func(t *testing.T) bridge.Source {
			buf, err := spool.Open(spool.Config{Dir: t.TempDir(), Logger: quiet()})
			require.NoError(t, err)
			return wholeSource{buf.Source(), buf}
		},
		Publish: func(t *testing.T, s bridge.Source, msgs []bridge.Message) {
			var b bridge.Batch
			for _, m := range msgs {
				b.Add(bridge.Record{Topic: m.Topic, Data: m.Payload})
			}
			sink := s.(wholeSource).buf.Sink()
			require.NoError(t, sink.Write(t.Context(), &b))
			require.NoError(t, sink.Close(t.Context()))
		},
		Acked: func(_ *testing.T, s bridge.Source) int { return int(s.(wholeSource).buf.Stats().Settled) },
	})
}

func TestForwardSuite(t *testing.T) {
	t.Parallel()
	buf := open(t, spool.Config{Dir: t.TempDir()})
	bridgetest.TestRule(t, buf.Forward("real"), bridge.Message{
		Topic: "t", Payload: []byte("data"), Event: spool.Event,
		Columns: map[string]any{spool.ColumnKey: []byte("k"), spool.ColumnDest: "d"},
	}, bridge.Message{Topic: "u"})
}
