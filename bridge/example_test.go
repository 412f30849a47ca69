package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// A pipeline from a source in memory to a sink that prints.
func Example() {
	src := new(bridgetest.Source)
	src.Publish(
		bridge.Message{Topic: "plant/oven", Payload: []byte("231")},
		bridge.Message{Topic: "plant/door", Payload: []byte("open")},
		bridge.Message{Topic: "office/door", Payload: []byte("shut")},
	)
	src.End()

	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"memory": src},
		Rules: map[string]bridge.Rule{
			"plant": bridge.RuleFunc(func(out *bridge.Batch, m *bridge.Message) error {
				out.Add(bridge.Record{Key: []byte(m.Topic), Data: m.Payload})
				return nil
			}, "plant/#"),
		},
		Sinks: map[string]bridge.Sink{
			"print": bridge.SinkFunc(func(_ context.Context, b *bridge.Batch) error {
				for _, r := range b.Records {
					fmt.Printf("%s: %s\n", r.Key, r.Data)
				}
				return nil
			}),
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := p.Run(context.Background()); err != nil {
		fmt.Println(err)
	}
	fmt.Println(p.Stats().Sinks["print"].Success, "stored")
	// Unordered output:
	// plant/oven: 231
	// plant/door: open
	// 2 stored
}

// A sink that can fail single records reports each one with a BatchError.
func ExampleBatchError() {
	tooLarge := errors.New("larger than 1 MiB")
	write := func(_ context.Context, b *bridge.Batch) error {
		var failed bridge.BatchError
		for i, r := range b.Records {
			if len(r.Data) > 1<<20 {
				failed.Fail(i, bridge.Permanent(tooLarge))
			}
		}
		return failed.ErrorOrNil()
	}
	b := &bridge.Batch{Records: []bridge.Record{{Data: []byte("small")}, {Data: make([]byte, 2<<20)}}}
	err := write(context.Background(), b)
	fmt.Println(err)
	fmt.Println(errors.Is(err, bridge.ErrPermanent), errors.Is(err, tooLarge))
	// Output:
	// 1 records failed; record 1: larger than 1 MiB
	// true true
}

// A rule renders text into the batch's own memory, which costs no allocation.
func ExampleBatch_Keep() {
	var out bridge.Batch
	device := 42
	key := out.Keep(fmt.Appendf(out.AvailableBuffer(), "device-%d", device))
	data := out.Keep(fmt.Appendf(out.AvailableBuffer(), `{"device":%d}`, device))
	out.Add(bridge.Record{Key: key, Data: data})
	fmt.Printf("%s %s\n", out.Records[0].Key, out.Records[0].Data)
	// Output: device-42 {"device":42}
}

// A message with several records is settled when the last of them is.
func ExampleDelivery_Split() {
	d := bridge.NewDelivery(printAcks{}, 7).Split(2)
	d.Done(nil)
	fmt.Println("one record stored")
	d.Done(nil)
	// Output:
	// one record stored
	// message 7 settled: <nil>
}

type printAcks struct{}

func (printAcks) Done(seq uint64, err error) { fmt.Printf("message %d settled: %v\n", seq, err) }
