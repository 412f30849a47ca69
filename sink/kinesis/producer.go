package kinesis

import (
	"context"

	"github.com/sluiceio/sluice/bridge"
)

// NewProducer returns a producer for Kinesis Data Streams by itself, without a
// pipeline: New and bridge.NewProducer in one. A Receipt's Shard is the shard's ID,
// its Sequence the sequence number; records of an aggregate, or of packed lines,
// share one and differ in SubSequence. With opts.IDs the sink stores the IDs, as with
// Config.IDs.
func NewProducer(ctx context.Context, cfg Config, opts bridge.ProducerConfig) (*bridge.Producer, error) {
	cfg.IDs = cfg.IDs || opts.IDs
	s, err := New(cfg)
	if err != nil {
		return nil, err
	}
	if opts.Name == "" {
		opts.Name = "kinesis"
	}
	return bridge.NewProducer(ctx, s, opts)
}
