package kinesis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// ErrDeliveryChannel is why a stream is not written to: what the Config makes of
// records would arrive unreadable where a delivery channel takes them.
var ErrDeliveryChannel = errors.New("the stream has a delivery channel to Amazon S3 or S3 Tables, " +
	"which takes each Kinesis record as it is: turn off what it cannot read, or set IgnoreChannels if nobody minds")

// readChannels finds the delivery channel that cannot read what we write, nil for
// none. Without permission to list them that there are any is all that is known.
func (s *Sink) readChannels(ctx context.Context, d *types.StreamDescriptionSummary) error {
	if aws.ToInt32(d.ChannelCount) == 0 || !s.cfg.packs() && s.cfg.Compression == None {
		return nil
	}
	if err := s.quota.wait(ctx); err != nil {
		return err
	}
	in := &sdk.ListChannelsInput{StreamFilter: []types.StreamFilter{{StreamARN: d.StreamARN}}}
	out, err := s.client.ListChannels(ctx, in, once)
	if err != nil {
		s.log.Debug("the stream's delivery channels are not known",
			slog.String("stream", aws.ToString(d.StreamName)), slog.Any("error", err))
		return s.unreadable(&types.ChannelSummary{})
	}
	for i := range out.ChannelSummaries {
		if err := s.unreadable(&out.ChannelSummaries[i]); err != nil {
			return err
		}
	}
	return nil
}

// unreadable says what a channel cannot read of what we write. In objects of S3
// compressed records stand one behind the other, which is what gunzip and zstd
// read; rows of tables are made of one JSON document each.
func (s *Sink) unreadable(c *types.ChannelSummary) error {
	if c.ChannelStatus == types.ChannelStatusDeleting {
		return nil
	}
	toS3 := c.ChannelDestinationType == types.ChannelDestinationTypeS3
	toTables := c.ChannelDestinationType == types.ChannelDestinationTypeS3Tables
	var what string
	switch {
	case s.cfg.Aggregate:
		what = "aggregates"
	case s.cfg.Compression != None && !toS3:
		what = "compressed records"
	case s.cfg.Pack == Lines && toTables:
		what = "packed records"
	default:
		return nil
	}
	name := "a delivery channel"
	if c.ChannelName != nil {
		name = fmt.Sprintf("the delivery channel %.128q", *c.ChannelName)
	}
	return fmt.Errorf("%w (%s cannot read %s)", ErrDeliveryChannel, name, what)
}
