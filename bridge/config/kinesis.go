package config

import (
	"errors"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
)

// kinesisSink is Amazon Kinesis Data Streams.
type kinesisSink struct {
	StreamName      string      `yaml:"stream_name" field:"Stream" doc:"Name or ARN of the stream of actions that name none."`
	Region          string      `yaml:"region" doc:"AWS region. Default: that of the ARN or of the AWS configuration."`
	Endpoint        string      `yaml:"endpoint" doc:"URL of the service where it is not AWS's own."`
	AccessKeyID     string      `yaml:"aws_access_key_id" doc:"Fixed credentials. Default: what every AWS program finds (environment, files, roles)."`
	SecretAccessKey string      `yaml:"aws_secret_access_key" doc:"Belongs to aws_access_key_id; better given as ${env:NAME} or ${file:PATH}."`
	SessionToken    string      `yaml:"aws_session_token" doc:"Belongs to temporary credentials."`
	Aggregate       bool        `yaml:"aggregate" doc:"Pack many messages into one Kinesis record, as the Kinesis Producer Library does. Default false."`
	AggregateBytes  Size        `yaml:"aggregate_bytes" doc:"Size that an aggregate is filled up to, 1KB to 1MB. Default 25KB."`
	Slots           Count       `yaml:"slots" doc:"Hash slots by which keys are aggregated, a power of two. Default 64."`
	Ordering        ordering    `yaml:"ordering" doc:"strict, or relaxed for the throughput of single keys. Default strict."`
	Compression     compression `yaml:"compression" doc:"Of each record's data: none, gzip or zstd. Default none."`
	MaxRecordBytes  Size        `yaml:"max_record_bytes" doc:"Highest size of a Kinesis record, up to 10MB. Default: what the stream is set to."`
	MaxRequestBytes Size        `yaml:"max_request_bytes" doc:"Highest size of a request, 1MB to 10MB. Default 10MB."`
	RequestTimeout  Duration    `yaml:"request_timeout" doc:"Of one request. Default 10s."`
	RefreshInterval Duration    `yaml:"refresh_interval" doc:"How often a stream's settings and shards are read again. Default 5m."`
	TLS             tlsOptions  `yaml:"ssl" doc:"For an endpoint with a certificate of your own authority."`
	DryRun          bool        `yaml:"dry_run" doc:"Let health checks also ask whether a put would be allowed. Default false."`
}

type ordering kinesis.Ordering

var orderings = map[string]ordering{"strict": ordering(kinesis.Strict), "relaxed": ordering(kinesis.Relaxed)}

// UnmarshalText reads a name.
func (o *ordering) UnmarshalText(text []byte) error { return choice(o, text, orderings) }

type compression kinesis.Compression

var compressions = map[string]compression{
	"none": compression(kinesis.None), "gzip": compression(kinesis.Gzip), "zstd": compression(kinesis.Zstd),
}

// UnmarshalText reads a name.
func (c *compression) UnmarshalText(text []byte) error { return choice(c, text, compressions) }

func (k *kinesisSink) config(c Context) (kinesis.Config, error) {
	cfg := kinesis.Config{
		Stream: k.StreamName, Region: k.Region, Endpoint: k.Endpoint,
		AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
		Aggregate: k.Aggregate, AggregateBytes: int(k.AggregateBytes), Slots: int(k.Slots),
		Ordering: kinesis.Ordering(k.Ordering), Compression: kinesis.Compression(k.Compression),
		MaxRecordBytes: int(k.MaxRecordBytes), MaxRequestBytes: int(k.MaxRequestBytes),
		RequestTimeout: time.Duration(k.RequestTimeout), RefreshInterval: time.Duration(k.RefreshInterval),
		DryRun: k.DryRun, Logger: c.Logger,
	}
	if !k.TLS.given() {
		return cfg, nil
	}
	var err error
	cfg.TLS, err = k.TLS.client()
	return cfg, err
}

// Validate implements Validator.
func (k *kinesisSink) Validate(c Context) error {
	cfg, err := k.config(c)
	return errors.Join(err, cfg.Validate())
}

// Sink implements SinkDefinition.
func (k *kinesisSink) Sink(c Context) (bridge.Sink, error) {
	cfg, err := k.config(c)
	if err != nil {
		return nil, err
	}
	return kinesis.New(cfg)
}
