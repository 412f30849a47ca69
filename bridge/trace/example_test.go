package trace_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/bridge/trace"
	"github.com/sluiceio/sluice/rule"
)

// Follow the messages of one client through rules and sinks.
func ExampleMessages() {
	hot, err := rule.New(rule.Config{
		Name:    "hot",
		SQL:     `SELECT clientid, payload.temp AS temp FROM "plant/+" WHERE payload.temp > 30`,
		Actions: []rule.Action{{Sink: "memory", Key: "${clientid}", Data: "${temp} degrees"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	src := new(bridgetest.Source)
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"in": src},
		Rules:   map[string]bridge.Rule{"hot": hot},
		Sinks:   map[string]bridge.Sink{"memory": new(bridgetest.Sink)},
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	events, err := trace.Messages(ctx, p, trace.Filter{ClientID: "oven"})
	if err != nil {
		fmt.Println(err)
		return
	}
	src.Publish(
		bridge.Message{Topic: "plant/a", ClientID: "oven", Payload: []byte(`{"temp":41}`)},
		bridge.Message{Topic: "plant/b", ClientID: "door", Payload: []byte(`{"temp":42}`)},
	)
	src.End()
	if err := p.Run(ctx); err != nil {
		fmt.Println(err)
	}
	for e := range events { // ends because the pipeline has ended
		switch {
		case e.Message != nil:
			fmt.Println("message", e.Message.Topic, e.Message.Payload.Text)
		case e.Rule != nil:
			for _, s := range e.Rule.Steps {
				if s.Name != "columns" {
					fmt.Println("  "+s.Name, s.Text, "=>", s.Result)
				}
			}
		case e.Write != nil:
			fmt.Println("write", e.Write.Attempt, "to", e.Write.Sink)
		case e.End != nil:
			fmt.Println("record", e.End.Record, e.End.Outcome)
		case e.Settled != nil:
			fmt.Println("settled:", e.Settled.Outcome)
		}
	}
	// Output:
	// message plant/a {"temp":41}
	//   SELECT payload.temp AS temp => 41
	//   WHERE payload.temp > 30 => true
	//   row  => {"clientid":"oven","temp":41}
	//   action  => sink "memory"
	//   key ${clientid} => oven
	//   data ${temp} degrees => 41 degrees
	// write 1 to memory
	// record 1 stored
	// settled: stored
}
