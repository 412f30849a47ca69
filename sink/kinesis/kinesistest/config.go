package kinesistest

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Config says how a Server behaves. The zero value is a server on a free port
// of the loopback interface that accepts everything the service would accept,
// at any rate, and whose streams are ready as soon as they are created.
type Config struct {
	// AccountID is part of ARNs and messages. Default "123456789012".
	AccountID string

	// Addr is the TCP address to listen on. Default "127.0.0.1:0".
	Addr string

	// CreateDelay is how long a new stream is CREATING. Default 0.
	CreateDelay time.Duration

	// DeleteDelay is how long a deleted stream is DELETING. Default 0.
	DeleteDelay time.Duration

	// Dir is a folder that keeps streams and records over restarts, for one
	// server at a time. What was put before the process ended, in whatever
	// way, is there again; counters are not. Default none.
	Dir string

	// Faults are in force from the start; see Server.SetFaults.
	Faults Plan

	// Limits are enforced limits. Default none.
	Limits Limits

	// Logger gets a debug line per call and a warning when Dir cannot be
	// written. Default slog.Default().
	Logger *slog.Logger

	// MaxShardBytes bounds keys and data kept per shard: the oldest records go
	// first. Default 0, no bound.
	MaxShardBytes int64

	// MaxShardRecords bounds the records kept per shard. Default 0, no bound.
	MaxShardRecords int

	// NoSocket opens no socket: only Client, HTTPClient, ServeHTTP and the
	// methods of Server reach it. It suits testing/synctest, and is faster.
	NoSocket bool

	// Now is the clock of limits, retention, states and iterators. Default
	// time.Now, which follows the bubble of testing/synctest.
	Now func() time.Time

	// Region is part of ARNs and of AWSConfig. Default "us-east-1".
	Region string

	// ShardLimit is the account's quota of open shards. Default 20,000.
	ShardLimit int

	// Streams exist from the start, unless Dir holds them already.
	Streams []StreamConfig

	// TLS serves HTTPS with a certificate that HTTPClient trusts.
	TLS bool

	// UpdateDelay is how long a stream is UPDATING after a split, a merge or a
	// change of its settings. Default 0.
	UpdateDelay time.Duration
}

// StreamConfig is a stream to create with a server.
type StreamConfig struct {
	// Auto chooses the AUTO record distribution, which ignores keys. Only
	// on-demand streams may have it.
	Auto bool

	// MaxRecordSizeInKiB is 1024 (the default) to 10240.
	MaxRecordSizeInKiB int32

	// Name of the stream, required.
	Name string

	// OnDemand chooses the on-demand capacity mode.
	OnDemand bool

	// Shards is how many shards there are. Default 1, or 4 when OnDemand.
	Shards int
}

// DefaultAccountID is the account of a server that was not told another.
const DefaultAccountID = "123456789012"

// DefaultRegion is the region of a server that was not told another.
const DefaultRegion = "us-east-1"

const (
	defaultAddr       = "127.0.0.1:0"
	defaultShardLimit = 20_000
	maxShards         = 100_000
)

var streamNamePattern = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// Validate reports everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{field}, args...)...))
	}
	if c.NoSocket && (c.Addr != "" || c.TLS) {
		bad("NoSocket", "excludes Addr and TLS")
	}
	if c.MaxShardBytes < 0 {
		bad("MaxShardBytes", "%d is negative", c.MaxShardBytes)
	}
	if c.MaxShardRecords < 0 {
		bad("MaxShardRecords", "%d is negative", c.MaxShardRecords)
	}
	if c.ShardLimit < 0 {
		bad("ShardLimit", "%d is negative", c.ShardLimit)
	}
	for i, s := range c.Streams {
		s.validate(func(field, format string, args ...any) {
			bad(fmt.Sprintf("Streams[%d].%s", i, field), format, args...)
		})
	}
	errs = append(errs, c.Faults.Validate())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("kinesistest: invalid config: %w", err)
	}
	return nil
}

func (c StreamConfig) validate(bad func(field, format string, args ...any)) {
	if !streamNamePattern.MatchString(c.Name) {
		bad("Name", "%q is not 1 to 128 of a-z, A-Z, 0-9, _, . and -", c.Name)
	}
	if c.Shards < 0 || c.Shards > maxShards {
		bad("Shards", "%d is not in 0 to %d", c.Shards, maxShards)
	}
	if c.MaxRecordSizeInKiB != 0 && (c.MaxRecordSizeInKiB < 1024 || c.MaxRecordSizeInKiB > 10240) {
		bad("MaxRecordSizeInKiB", "%d is not in 1024 to 10240", c.MaxRecordSizeInKiB)
	}
	if c.Auto && !c.OnDemand {
		bad("Auto", "needs OnDemand")
	}
}

func (c Config) withDefaults() Config {
	if c.AccountID == "" {
		c.AccountID = DefaultAccountID
	}
	if c.Addr == "" {
		c.Addr = defaultAddr
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Region == "" {
		c.Region = DefaultRegion
	}
	if c.ShardLimit == 0 {
		c.ShardLimit = defaultShardLimit
	}
	return c
}

func (c StreamConfig) mode() types.StreamMode {
	if c.OnDemand {
		return types.StreamModeOnDemand
	}
	return types.StreamModeProvisioned
}

func (c StreamConfig) distribution() types.RecordDistributionStrategy {
	if c.Auto {
		return types.RecordDistributionStrategyAuto
	}
	return types.RecordDistributionStrategyUserPartitionKey
}
