package bridge_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

type typed struct{ bridgetest.Source }

func (*typed) Type() string { return "mqtt" }

// TestRouting checks which rules get which messages, whichever way they ask.
func TestRouting(t *testing.T) {
	t.Parallel()
	plain, mqtt, sink := new(bridgetest.Source), new(typed), new(bridgetest.Sink)
	filters := map[string][]string{
		"a-topic":   {"t/+", "t/#", "t/1"},
		"b-all":     {"#"},
		"c-event":   {"$events/client/#"},
		"d-source":  {"$sources/plain"},
		"e-typed":   {"$sources/mqtt:north"},
		"f-bridges": {"$bridges/mqtt:north", "t/1"},
	}
	rules := map[string]bridge.Rule{}
	for name, f := range filters {
		rules[name] = bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Key: []byte("k"), Data: m.Payload})
			return nil
		}, f...)
	}
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"plain": plain, "north": mqtt},
		Rules:   rules,
		Sinks:   map[string]bridge.Sink{"mem": sink},
		Logger:  quiet,
	})
	require.NoError(t, err)
	plain.Publish(
		bridge.Message{Topic: "t/1", Payload: []byte("plain t/1")},
		bridge.Message{Topic: "$SYS/x", Payload: []byte("plain sys")},
		bridge.Message{Topic: "$events/client/connected", Payload: []byte("forged")},
		bridge.Message{Event: "$events/client/connected", Topic: "t/1", Payload: []byte("event")},
	)
	mqtt.Publish(bridge.Message{Topic: "t/1", Payload: []byte("north t/1")})
	plain.End()
	mqtt.End()
	require.NoError(t, p.Run(t.Context()))
	got := map[string][]string{}
	for _, r := range sink.Records() {
		got[r.Data] = append(got[r.Data], r.Rule)
	}
	require.Equal(t, map[string][]string{
		"plain t/1": {"a-topic", "b-all", "d-source", "f-bridges"},
		"plain sys": {"d-source"},
		"forged":    {"d-source"},
		"event":     {"c-event", "d-source"},
		"north t/1": {"a-topic", "b-all", "e-typed", "f-bridges"},
	}, got)
}
