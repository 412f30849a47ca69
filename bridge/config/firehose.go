package config

import (
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/firehose"
)

// firehoseSink is Amazon Data Firehose.
type firehoseSink struct {
	StreamName string   `yaml:"stream_name" field:"Stream" doc:"Name of the delivery stream of actions that name none."`
	Region     string   `yaml:"region" doc:"AWS region. Default: that of the AWS configuration, which also has the credentials."`
	Endpoint   string   `yaml:"endpoint" doc:"URL of the service where it is not AWS's own."`
	Delimiter  string   `yaml:"delimiter" doc:"Appended to the data of each record, such as a newline. Default: none."`
	Timeout    Duration `yaml:"request_timeout" field:"Timeout" doc:"Of a request. Default 10s."`
}

func (f *firehoseSink) config() firehose.Config {
	return firehose.Config{
		Stream: f.StreamName, Region: f.Region, Endpoint: f.Endpoint, Delimiter: f.Delimiter, Timeout: time.Duration(f.Timeout),
	}
}

// Validate implements Validator.
func (f *firehoseSink) Validate(Context) error { return f.config().Validate() }

// Sink implements SinkDefinition.
func (f *firehoseSink) Sink(Context) (bridge.Sink, error) { return firehose.New(f.config()) }
