package kinesis

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/bridge/bridgetest"
)

// channels answers for a stream with delivery channels of the kinds.
func channels(may bool, kinds ...string) func(op string) answer {
	return func(op string) answer {
		switch {
		case op == "DescribeStreamSummary":
			return answer{body: fmt.Sprintf(`{"StreamDescriptionSummary":{"StreamName":"s","StreamARN":"arn:aws:kinesis:us-east-1:123456789012:stream/s",`+
				`"StreamStatus":"ACTIVE","OpenShardCount":1,"ChannelCount":%d}}`, len(kinds))}
		case op == "ListChannels" && !may:
			return fail(400, "AccessDeniedException", "no")
		case op == "ListChannels":
			body := ""
			for i, kind := range kinds {
				body += fmt.Sprintf(`,{"ChannelName":"channel-%d","ChannelDestinationType":%q,"ChannelStatus":"ACTIVE"}`, i, kind)
			}
			return answer{body: `{"ChannelSummaries":[` + body[1:] + `]}`}
		}
		return answer{}
	}
}

func TestDeliveryChannels(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cfg    Config
		kind   string
		may    bool
		refuse string
	}{
		{Config{}, "S3_TABLES", true, ""},
		{Config{Aggregate: true}, "S3_TABLES", true, `channel "channel-0" cannot read aggregates`},
		{Config{Aggregate: true}, "S3", true, `channel "channel-0" cannot read aggregates`},
		{Config{Aggregate: true}, "S3", false, `a delivery channel cannot read aggregates`},
		{Config{Aggregate: true, IgnoreChannels: true}, "S3", true, ""},
		{Config{Compression: Gzip}, "S3_TABLES", true, `cannot read compressed records`},
		{Config{Compression: Gzip}, "S3_TABLES", false, `cannot read compressed records`},
		{Config{Compression: Gzip}, "S3", true, ""},
		{Config{Pack: Lines}, "S3_TABLES", true, `cannot read packed records`},
		{Config{Pack: Lines}, "S3_TABLES", false, ""},
		{Config{Pack: Lines}, "S3", true, ""},
	} {
		f := &fake{call: channels(tc.may, tc.kind)}
		cfg := quiet(tc.cfg)
		cfg.Stream = "s"
		s := f.sink(t, cfg)
		open, check, write := s.Open(t.Context()), s.Check(t.Context()), bridgetest.Write(t.Context(), s, batchOf(s, "a=1"))
		for _, err := range []error{open, check, write} {
			if tc.refuse == "" {
				require.NoError(t, err, "%+v", tc)
				continue
			}
			require.ErrorIs(t, err, ErrDeliveryChannel, "%+v", tc)
			require.ErrorContains(t, err, tc.refuse)
		}
		if tc.refuse != "" {
			require.ErrorIs(t, write, bridge.ErrUnavailable)
			require.Empty(t, f.stored)
		}
	}
}

// TestDeliveryChannelMadeLater stops no flow that others read, but is not silent.
func TestDeliveryChannelMadeLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		s := f.sink(t, quiet(Config{Stream: "s", Aggregate: true}))
		require.NoError(t, s.Open(t.Context()))
		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=1")))
		f.call = channels(true, "S3_TABLES")
		time.Sleep(s.cfg.RefreshInterval + time.Second)
		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=2")))
		time.Sleep(time.Second)
		require.NoError(t, bridgetest.Write(t.Context(), s, batchOf(s, "a=3")))
		require.Len(t, f.stored, 3)
		require.ErrorIs(t, s.Check(t.Context()), ErrDeliveryChannel)
	})
}
