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
			"plant": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
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
	fmt.Println(p.Stats().Sinks["print"].Ended[bridge.Stored], "stored")
	// Unordered output:
	// plant/oven: 231
	// plant/door: open
	// 2 stored
}

// A sink that can fail single records fails each one with a reason.
func ExampleBatch_Fail() {
	tooLarge := errors.New("larger than 1 MiB")
	write := func(_ context.Context, b *bridge.Batch) error {
		for i := range b.Records {
			if r := &b.Records[i]; len(r.Data) > 1<<20 {
				b.Fail(r, bridge.Permanent(tooLarge))
			}
		}
		return nil // all others are stored
	}
	b := &bridge.Batch{Records: []bridge.Record{{Data: []byte("small")}, {Data: make([]byte, 2<<20)}}}
	err := write(context.Background(), b)
	fmt.Println(err, b.Failed())
	fmt.Println(b.Err(&b.Records[0]))
	fmt.Println(b.Err(&b.Records[1]), errors.Is(b.Err(&b.Records[1]), bridge.ErrPermanent))
	// Output:
	// <nil> 1
	// <nil>
	// larger than 1 MiB true
}

// A rule renders text into the Out's own memory, which costs no allocation.
func ExampleOut_Keep() {
	var out bridge.Out
	device := 42
	key := out.Keep(fmt.Appendf(out.AvailableBuffer(), "device-%d", device))
	data := out.Keep(fmt.Appendf(out.AvailableBuffer(), `{"device":%d}`, device))
	out.Add(bridge.Record{Key: key, Data: data})
	fmt.Printf("%s %s\n", out.Records()[0].Key, out.Records()[0].Data)
	// Output: device-42 {"device":42}
}

// A message with several records is settled when the last of them is.
func ExampleDelivery_Split() {
	d := bridge.NewDelivery(printAcks{}, 7).Split(2)
	d.Done(bridge.Stored, nil)
	fmt.Println("one record stored")
	d.Done(bridge.Stored, nil)
	// Output:
	// one record stored
	// message 7: stored
}

type printAcks struct{}

func (printAcks) Done(seq uint64, o bridge.Outcome, _ error) { fmt.Printf("message %d: %v\n", seq, o) }
