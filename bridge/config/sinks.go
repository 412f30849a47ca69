package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/file"
	httpsink "github.com/sluiceio/sluice/sink/http"
	"github.com/sluiceio/sluice/sink/republish"
)

// fileSink appends lines to a file.
type fileSink struct {
	Path       string     `yaml:"path" doc:"The file, which is created and appended to."`
	Format     fileFormat `yaml:"format" doc:"json, an object with all of a record, or raw, its data. Default json."`
	MaxSize    Count      `yaml:"max_size_mb" doc:"Size in megabytes at which the file is rotated. Default 100."`
	MaxBackups Count      `yaml:"max_backups" doc:"How many rotated files are kept. Default: all."`
	MaxAge     Count      `yaml:"max_age_days" doc:"How many days rotated files are kept. Default: for ever."`
	Compress   bool       `yaml:"compress" doc:"Compress rotated files. Default false."`
	Sync       bool       `yaml:"sync" doc:"Sync the file to the disk before a message is acknowledged. Default false."`
}

type fileFormat file.Format

var fileFormats = map[string]fileFormat{"json": fileFormat(file.JSON), "raw": fileFormat(file.Raw)}

// UnmarshalText reads a name.
func (f *fileFormat) UnmarshalText(text []byte) error { return choice(f, text, fileFormats) }

func (f *fileSink) config() file.Config {
	return file.Config{
		Path: f.Path, Format: file.Format(f.Format), MaxSize: int(f.MaxSize), MaxBackups: int(f.MaxBackups),
		MaxAge: int(f.MaxAge), Compress: f.Compress, Sync: f.Sync,
	}
}

// Validate implements Validator.
func (f *fileSink) Validate(Context) error {
	if f.Path == "" {
		return errors.New("file: Path: name the file to write to")
	}
	return f.config().Validate()
}

// Sink implements SinkDefinition.
func (f *fileSink) Sink(Context) (bridge.Sink, error) { return file.New(f.config()) }

// httpSink sends requests to a web service.
type httpSink struct {
	URL         string            `yaml:"url" doc:"Where requests go; an action's dest is a path below it."`
	Method      string            `yaml:"method" doc:"Default POST."`
	Headers     map[string]string `yaml:"headers" doc:"Sent with every request; secrets are better given as ${env:NAME} or ${file:PATH}."`
	ContentType string            `yaml:"content_type" doc:"Default application/json."`
	Mode        httpMode          `yaml:"mode" doc:"one request for each record, or many records as a JSON array. Default one."`
	Timeout     Duration          `yaml:"request_timeout" field:"Timeout" doc:"Of a request. Default 10s."`
}

type httpMode httpsink.Mode

var httpModes = map[string]httpMode{"one": httpMode(httpsink.One), "array": httpMode(httpsink.Array)}

// UnmarshalText reads a name.
func (m *httpMode) UnmarshalText(text []byte) error { return choice(m, text, httpModes) }

func (h *httpSink) config() httpsink.Config {
	cfg := httpsink.Config{
		URL: h.URL, Method: h.Method, ContentType: h.ContentType, Mode: httpsink.Mode(h.Mode),
		Timeout: time.Duration(h.Timeout), Header: http.Header{},
	}
	for name, value := range h.Headers {
		cfg.Header.Set(name, value)
	}
	return cfg
}

// Validate implements Validator.
func (h *httpSink) Validate(Context) error { return h.config().Validate() }

// Sink implements SinkDefinition.
func (h *httpSink) Sink(Context) (bridge.Sink, error) { return httpsink.New(h.config()) }

// mqttSink publishes to an MQTT broker.
type mqttSink struct {
	Servers     Texts      `yaml:"servers" field:"Brokers" doc:"URLs of the broker or of the nodes of its cluster: mqtt, mqtts, ws or wss."`
	ClientID    string     `yaml:"client_id" doc:"Name of the connection at the broker. Default: the broker chooses one."`
	Username    string     `yaml:"username" doc:"User name at the broker."`
	Password    string     `yaml:"password" doc:"Password at the broker; better given as ${env:NAME} or ${file:PATH}."`
	KeepAlive   Duration   `yaml:"keepalive" doc:"Interval of pings. Default 30s."`
	Concurrency Count      `yaml:"concurrency" doc:"Messages of different keys that are published at once. Default 64."`
	Timeout     Duration   `yaml:"request_timeout" doc:"Of one message. Default 10s."`
	Unmarked    bool       `yaml:"unmarked" doc:"Leave out the user property by which a rule knows what it published itself. Default false."`
	TLS         tlsOptions `yaml:"ssl" doc:"For mqtts and wss."`
}

func (m *mqttSink) client(c Context) (republish.ClientConfig, error) {
	certificates, err := m.TLS.client()
	return republish.ClientConfig{
		Brokers: m.Servers, ClientID: m.ClientID, Username: m.Username, Password: m.Password,
		KeepAlive: time.Duration(m.KeepAlive), TLS: certificates, Logger: c.Logger,
	}, err
}

// Validate implements Validator.
func (m *mqttSink) Validate(c Context) error {
	cfg, err := m.client(c)
	return errors.Join(err, cfg.Validate())
}

// Sink implements SinkDefinition.
func (m *mqttSink) Sink(c Context) (bridge.Sink, error) {
	cfg, err := m.client(c)
	if err != nil {
		return nil, err
	}
	publisher, err := republish.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	return republish.New(m.sink(publisher))
}

func (m *mqttSink) sink(p republish.Publisher) republish.Config {
	return republish.Config{Publisher: p, Concurrency: int(m.Concurrency), Timeout: time.Duration(m.Timeout), Unmarked: m.Unmarked}
}

func (o *tlsOptions) given() bool {
	return o.CACertFile != "" || o.CertFile != "" || o.KeyFile != "" || o.ServerName != "" || len(o.ALPN) > 0
}

// client returns the configuration of a client with these files.
func (o *tlsOptions) client() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName, NextProtos: o.ALPN}
	if o.CACertFile != "" {
		pem, err := os.ReadFile(o.CACertFile)
		if err != nil {
			return nil, fmt.Errorf("CAFile: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CAFile: %s holds no certificate", o.CACertFile)
		}
	}
	if o.CertFile == "" && o.KeyFile == "" {
		return cfg, nil
	}
	pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("CertFile: %w", err)
	}
	cfg.Certificates = []tls.Certificate{pair}
	return cfg, nil
}
