package spool_test

import (
	"context"
	"fmt"
	"os"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/spool"
)

// A buffer between a rule and the sink that it is for.
func Example() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	buffer, err := spool.Open(spool.Config{Dir: dir, MaxBytes: 1 << 30})
	if err != nil {
		panic(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	devices := new(bridgetest.Source)
	devices.Publish(bridge.Message{Topic: "t/1", Payload: []byte("20.5")})
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"mqtt": devices, "buffered": buffer.Source()},
		Rules: map[string]bridge.Rule{
			"temps": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
				out.Add(bridge.Record{Sink: "buffer", Dest: "stream", Data: m.Payload})
				return nil
			}, "t/#"),
			"forward": buffer.Forward("kinesis"),
		},
		Sinks: map[string]bridge.Sink{
			"buffer": buffer.Sink(),
			"kinesis": bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
				for _, r := range b.Records {
					fmt.Printf("%s: %s\n", r.Dest, r.Data)
				}
				cancel()
				return nil
			}),
		},
		Logger: quiet(),
	})
	if err != nil {
		panic(err)
	}
	if err := p.Run(ctx); err != nil {
		panic(err)
	}
	// Output: stream: 20.5
}
