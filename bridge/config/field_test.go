package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
	"github.com/sluiceio/sluice/sink/file"
	"github.com/sluiceio/sluice/sink/firehose"
	httpsink "github.com/sluiceio/sluice/sink/http"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/sink/spool"
	"github.com/sluiceio/sluice/source"
	"github.com/sluiceio/sluice/source/broker"
	"github.com/sluiceio/sluice/source/mqtt"
	"github.com/sluiceio/sluice/source/replay"
)

// Every mistake in a configuration is a FieldError whose path leads to a field.
func TestMistakesNameTheirFields(t *testing.T) {
	t.Parallel()
	for _, cfg := range []interface{ Validate() error }{
		mqtt.Config{Brokers: []string{"x"}, Filters: []mqtt.Subscription{{Filter: "#/x", QoS: 3}}, Will: &mqtt.Will{QoS: 3}, ClientIDFrom: mqtt.Origin{TopicLevel: -1}},
		broker.Config{QueueBytes: -1, Events: []string{"nosuch"}, Listeners: []broker.Listener{{}}, Limits: broker.Limits{Clients: -1, MessageRate: -1}},
		replay.Config{Speed: -1},
		source.TickerConfig{Count: -1},
		file.Config{MaxAge: -1, Format: 9},
		httpsink.Config{Mode: 9, Timeout: -1},
		spool.Config{MaxBytes: 1, Mode: 9},
		firehose.Config{Timeout: -1, Stream: "/"},
		kinesis.Config{Slots: 3, Stream: "/", Pack: 9, Endpoint: "x"},
		republish.Config{Timeout: -1},
		republish.ClientConfig{KeepAlive: -time.Second},
		republish.ClientConfig{Brokers: []string{"x"}},
		rule.EngineConfig{Limits: rule.Limits{Rows: -1, Time: -1}, Functions: []rule.Function{{}}},
	} {
		list := leaves(cfg.Validate())
		require.NotEmpty(t, list, "%T", cfg)
		for _, err := range list {
			field, ok := errors.AsType[*bridge.FieldError](err)
			require.True(t, ok, "%T: %v", cfg, err)
			at := reflect.TypeOf(cfg)
			for step := range strings.SplitSeq(field.Path, ".") {
				name, _, _ := strings.Cut(step, "[")
				for at.Kind() == reflect.Slice || at.Kind() == reflect.Pointer {
					at = at.Elem()
				}
				f, ok := at.FieldByName(name)
				require.True(t, ok, "%T has no field %s", cfg, field.Path)
				at = f.Type
			}
		}
	}
}
