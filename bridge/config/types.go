package config

import (
	"crypto/tls"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis"
	"github.com/sluiceio/sluice/source/broker"
	"github.com/sluiceio/sluice/source/mqtt"
)

// SourceDefinition is the options of a type of source: a pointer to a struct
// whose fields have yaml tags. A definition's entry is decoded into it, and
// Source makes the source.
type SourceDefinition interface {
	Source(Context) (bridge.Source, error)
}

// SinkDefinition is the same for a type of sink.
type SinkDefinition interface {
	Sink(Context) (bridge.Sink, error)
}

// Context is what a source or sink may want to know when it is made.
type Context struct {
	Name   string
	Logger *slog.Logger
	// Filters are the topic filters of all rules, without repeats, and Events
	// those that are of events.
	Filters, Events []string
}

// Types are the types of sources and sinks by the name that definitions use.
// Add your own to those of DefaultTypes.
type Types struct {
	Sources map[string]func() SourceDefinition
	Sinks   map[string]func() SinkDefinition
}

// DefaultTypes returns the types that come with Sluice.
func DefaultTypes() *Types {
	return &Types{
		Sources: maps.Clone(map[string]func() SourceDefinition{
			"mqtt":   func() SourceDefinition { return new(mqttSource) },
			"broker": func() SourceDefinition { return new(brokerSource) },
		}),
		Sinks: maps.Clone(map[string]func() SinkDefinition{
			"kinesis": func() SinkDefinition { return new(kinesisSink) },
		}),
	}
}

// mqttSource is a client of an MQTT broker.
type mqttSource struct {
	Servers        Texts          `yaml:"servers"`
	ClientID       string         `yaml:"client_id"`
	Username       string         `yaml:"username"`
	Password       string         `yaml:"password"`
	Filters        []subscription `yaml:"filters"` // default: those of the rules, with QoS 1
	CleanStart     bool           `yaml:"clean_start"`
	SessionExpiry  Duration       `yaml:"session_expiry"`
	ReceiveMaximum int            `yaml:"receive_maximum"`
	KeepAlive      Duration       `yaml:"keepalive"`
	Connections    int            `yaml:"connections"`
	StartTimeout   Duration       `yaml:"start_timeout"`
	Proxy          string         `yaml:"proxy"`
	TLS            tlsOptions     `yaml:"ssl"`
}

type subscription struct {
	Topic string `yaml:"topic"`
	QoS   uint8  `yaml:"qos"`
}

type tlsOptions struct {
	CACertFile string   `yaml:"cacertfile"`
	CertFile   string   `yaml:"certfile"`
	KeyFile    string   `yaml:"keyfile"`
	ServerName string   `yaml:"server_name_indication"`
	ALPN       []string `yaml:"alpn"`
}

// Source implements SourceDefinition.
func (m *mqttSource) Source(c Context) (bridge.Source, error) {
	cfg := mqtt.Config{
		Brokers: m.Servers, ClientID: m.ClientID, Username: m.Username, Password: m.Password,
		CleanStart: m.CleanStart, SessionExpiry: time.Duration(m.SessionExpiry), ReceiveMaximum: m.ReceiveMaximum,
		KeepAlive: time.Duration(m.KeepAlive), Connections: m.Connections, StartTimeout: time.Duration(m.StartTimeout),
		Proxy: m.Proxy, CAFile: m.TLS.CACertFile, CertFile: m.TLS.CertFile, KeyFile: m.TLS.KeyFile, Logger: c.Logger,
	}
	if m.TLS.ServerName != "" || len(m.TLS.ALPN) > 0 {
		cfg.TLS = &tls.Config{ServerName: m.TLS.ServerName, NextProtos: m.TLS.ALPN, MinVersion: tls.VersionTLS12}
	}
	for _, f := range m.Filters {
		cfg.Filters = append(cfg.Filters, mqtt.Subscription{Filter: f.Topic, QoS: f.QoS})
	}
	if len(m.Filters) == 0 {
		for _, f := range c.Filters {
			cfg.Filters = append(cfg.Filters, mqtt.Subscription{Filter: f, QoS: 1})
		}
	}
	return mqtt.New(cfg)
}

// brokerSource is a broker in the process.
type brokerSource struct {
	Listeners Texts `yaml:"listeners"` // URLs
	EarlyAck  bool  `yaml:"early_ack"`
}

// Source implements SourceDefinition.
func (b *brokerSource) Source(c Context) (bridge.Source, error) {
	cfg := broker.Config{Events: c.Events, EarlyAck: b.EarlyAck, Logger: c.Logger}
	for _, l := range b.Listeners {
		cfg.Listeners = append(cfg.Listeners, broker.Listener{URL: l})
	}
	return broker.New(cfg)
}

// kinesisSink is Amazon Kinesis Data Streams.
type kinesisSink struct {
	StreamName      string              `yaml:"stream_name"`
	Region          string              `yaml:"region"`
	Endpoint        string              `yaml:"endpoint"`
	AccessKeyID     string              `yaml:"aws_access_key_id"`
	SecretAccessKey string              `yaml:"aws_secret_access_key"`
	SessionToken    string              `yaml:"aws_session_token"`
	Aggregate       bool                `yaml:"aggregate"`
	AggregateBytes  Size                `yaml:"aggregate_bytes"`
	Slots           int                 `yaml:"slots"`
	Ordering        kinesis.Ordering    `yaml:"ordering"`
	Compression     kinesis.Compression `yaml:"compression"`
	MaxRequestBytes Size                `yaml:"max_request_bytes"`
	RequestTimeout  Duration            `yaml:"request_timeout"`
	DryRun          bool                `yaml:"dry_run"`
}

// Sink implements SinkDefinition.
func (k *kinesisSink) Sink(c Context) (bridge.Sink, error) {
	return kinesis.New(kinesis.Config{
		Stream: k.StreamName, Region: k.Region, Endpoint: k.Endpoint,
		AccessKeyID: k.AccessKeyID, SecretAccessKey: k.SecretAccessKey, SessionToken: k.SessionToken,
		Aggregate: k.Aggregate, AggregateBytes: int(k.AggregateBytes), Slots: k.Slots,
		Ordering: k.Ordering, Compression: k.Compression, MaxRequestBytes: int(k.MaxRequestBytes),
		RequestTimeout: time.Duration(k.RequestTimeout), DryRun: k.DryRun, Logger: c.Logger,
	})
}

// split divides filters into those of published messages and those of events.
func split(filters []string) (topics, events []string) {
	for _, f := range filters {
		switch {
		case strings.HasPrefix(f, "$events/"):
			events = append(events, f)
		case strings.HasPrefix(f, "$sources/"), strings.HasPrefix(f, "$bridges/"):
		default:
			topics = append(topics, f)
		}
	}
	return topics, events
}
