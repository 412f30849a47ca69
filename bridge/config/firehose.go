package config

import (
	"errors"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/firehose"
)

// firehoseSink is Amazon Data Firehose.
type firehoseSink struct {
	StreamName string     `yaml:"stream_name" field:"Stream" doc:"Name of the delivery stream of actions that name none."`
	Region     string     `yaml:"region" doc:"AWS region. Default: that of the AWS configuration, which also has the credentials."`
	Endpoint   string     `yaml:"endpoint" doc:"URL of the service where it is not AWS's own."`
	Profile    string     `yaml:"profile" doc:"Profile of the shared AWS configuration. Default: AWS_PROFILE, or default."`
	RoleARN    string     `yaml:"role_arn" doc:"ARN of a role to assume with the credentials."`
	ExternalID string     `yaml:"external_id" doc:"What the trust policy of role_arn asks for."`
	FIPS       bool       `yaml:"fips" doc:"Use AWS's endpoint with validated cryptography. Default false."`
	DualStack  bool       `yaml:"dual_stack" doc:"Use AWS's endpoint that has IPv6, too. Default false."`
	TLS        tlsOptions `yaml:"ssl" doc:"For an endpoint, or a proxy, with a certificate of your own authority."`
	Delimiter  string     `yaml:"delimiter" doc:"Appended to the data of each record, such as a newline. Default: none."`
	Timeout    Duration   `yaml:"request_timeout" field:"Timeout" doc:"Of a request. Default 10s."`
}

func (f *firehoseSink) config(c Context) (firehose.Config, error) {
	base, err := f.TLS.base()
	return firehose.Config{
		Stream: f.StreamName, Region: f.Region, Endpoint: f.Endpoint, Delimiter: f.Delimiter, Timeout: time.Duration(f.Timeout),
		Profile: f.Profile, RoleARN: f.RoleARN, ExternalID: f.ExternalID, FIPS: f.FIPS, DualStack: f.DualStack,
		CAFile: f.TLS.CACertFile, CertFile: f.TLS.CertFile, KeyFile: f.TLS.KeyFile, TLS: base, Logger: c.Logger,
	}, err
}

// Validate implements Validator.
func (f *firehoseSink) Validate(c Context) error {
	cfg, err := f.config(c)
	return errors.Join(err, cfg.Validate())
}

// Sink implements SinkDefinition.
func (f *firehoseSink) Sink(c Context) (bridge.Sink, error) {
	cfg, err := f.config(c)
	if err != nil {
		return nil, err
	}
	return firehose.New(cfg)
}
