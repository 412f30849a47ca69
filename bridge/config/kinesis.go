package config

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

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
	Profile         string      `yaml:"profile" doc:"Profile of the shared AWS configuration. Default: AWS_PROFILE, or default."`
	RoleARN         string      `yaml:"role_arn" doc:"ARN of a role to assume with the credentials."`
	ExternalID      string      `yaml:"external_id" doc:"What the trust policy of role_arn asks for."`
	FIPS            bool        `yaml:"fips" doc:"Use AWS's endpoint with validated cryptography. Default false."`
	DualStack       bool        `yaml:"dual_stack" doc:"Use AWS's endpoint that has IPv6, too. Default false."`
	Aggregate       bool        `yaml:"aggregate" doc:"Pack many messages into one Kinesis record, as the Kinesis Producer Library does. Default false."`
	Pack            packing     `yaml:"pack" doc:"none, or lines to join messages of one key into one Kinesis record, divided by newlines. Default none."`
	IDs             bool        `yaml:"ids" doc:"Store the attribute sluice-id of each record with it, for consumers that drop duplicates (docs/producer.md). Default false."`
	AggregateBytes  Size        `yaml:"aggregate_bytes" doc:"Size that an aggregate or packed record is filled up to, 1KB to 1MB. Default 25KB."`
	Slots           Count       `yaml:"slots" doc:"Hash slots by which keys are aggregated, a power of two. Default 64."`
	Ordering        ordering    `yaml:"ordering" doc:"strict, or relaxed for the throughput of single keys. Default strict."`
	Compression     compression `yaml:"compression" doc:"Of each record's data: none, gzip or zstd. Default none."`
	IgnoreChannels  bool        `yaml:"ignore_channels" doc:"Write also what the stream's delivery channels to S3 and S3 Tables cannot read. Default false."`
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

type packing kinesis.Packing

var packings = map[string]packing{"none": packing(kinesis.NoPacking), "lines": packing(kinesis.Lines)}

// UnmarshalText reads a name.
func (p *packing) UnmarshalText(text []byte) error { return choice(p, text, packings) }

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
		Profile: k.Profile, RoleARN: k.RoleARN, ExternalID: k.ExternalID, FIPS: k.FIPS, DualStack: k.DualStack,
		CAFile: k.TLS.CACertFile, CertFile: k.TLS.CertFile, KeyFile: k.TLS.KeyFile,
		Aggregate: k.Aggregate, IDs: k.IDs, Pack: kinesis.Packing(k.Pack), IgnoreChannels: k.IgnoreChannels, AggregateBytes: int(k.AggregateBytes), Slots: int(k.Slots),
		Ordering: kinesis.Ordering(k.Ordering), Compression: kinesis.Compression(k.Compression),
		MaxRecordBytes: int(k.MaxRecordBytes), MaxRequestBytes: int(k.MaxRequestBytes),
		RequestTimeout: time.Duration(k.RequestTimeout), RefreshInterval: time.Duration(k.RefreshInterval),
		DryRun: k.DryRun, Logger: c.Logger,
	}
	var err error
	cfg.TLS, err = k.TLS.base()
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

// Stream returns the stream of a sink of type kinesis, by name or ARN, and a client of
// the service, to read what the sink has written.
func (def *Definition) Stream(sink string, log *slog.Logger) (stream string, client *sdk.Client, err error) {
	p := def.sinks[sink]
	if p == nil {
		return "", nil, fmt.Errorf("there is no sink %q%s", sink, didYouMean(sink, sortedKeys(def.sinks)))
	}
	k, ok := p.def.(*kinesisSink)
	switch {
	case !ok:
		return "", nil, fmt.Errorf("%s is not of type kinesis", p.path)
	case k.StreamName == "":
		return "", nil, fmt.Errorf("%s has no stream_name", p.path)
	case k.Compression != 0 || k.Pack != 0:
		return "", nil, fmt.Errorf("%s: records that are compressed or packed as lines cannot be read", p.path)
	}
	cfg, err := k.config(def.context(sink, log))
	if err == nil {
		client, err = kinesis.NewClient(cfg)
	}
	return k.StreamName, client, redact(def.values, err)
}
