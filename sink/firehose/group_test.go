package firehose_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
	"github.com/sluiceio/sluice/sink/firehose"
)

// A stream that is not there, because a device has named it, holds up no other.
func TestStreamThatADeviceHasNamedHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	service, s := sink(t, firehose.Config{Stream: "readings"})
	missed := make(chan struct{})
	refused, stored := 0, 0
	service.refuse = func(w http.ResponseWriter, r *request) bool {
		if r.DeliveryStreamName == "nobody" {
			if refused++; refused == 1 {
				close(missed)
			}
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ResourceNotFoundException","message":"no such stream"}`)
			return true
		}
		if stored += len(r.Records); stored == 20 {
			cancel()
		}
		return false
	}
	src := new(bridgetest.Source)
	src.Publish(bridge.Message{Topic: "nobody"})
	p, err := bridge.New(bridge.Config{
		Sources: map[string]bridge.Source{"s": src},
		Rules: map[string]bridge.Rule{"r": bridge.RuleFunc(func(out *bridge.Out, m *bridge.Message) error {
			out.Add(bridge.Record{Dest: m.Topic, Key: m.Payload, Data: []byte("1")})
			return nil
		}, "#")},
		Sinks:         map[string]bridge.Sink{"f": s},
		CheckInterval: -1,
		DrainTimeout:  1,
	})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	<-missed
	for i := range 20 {
		src.Publish(bridge.Message{Topic: "readings", Payload: fmt.Append(nil, i)})
	}
	require.Error(t, <-ended) // one is left
	require.Equal(t, 1, refused, "it is tried again after a pause")
}
