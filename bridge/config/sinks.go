package config

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/certs"
	"github.com/sluiceio/sluice/sink/file"
	httpsink "github.com/sluiceio/sluice/sink/http"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/source/mqtt"
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
		return &bridge.FieldError{Path: "Path", Err: errors.New("name the file to write to")}
	}
	return f.config().Validate()
}

// ask reports whether the file could be written, and does not touch it.
func (f *fileSink) ask(context.Context, Context) error {
	file, err := os.OpenFile(f.Path, os.O_WRONLY, 0)
	if err == nil {
		return file.Close()
	}
	for dir := filepath.Dir(f.Path); errors.Is(err, os.ErrNotExist); dir = filepath.Dir(dir) { // it will be made, and its directory
		var info os.FileInfo
		switch info, err = os.Stat(dir); {
		case err != nil:
		case !info.IsDir():
			return fmt.Errorf("%s is no directory", dir)
		default:
			return mayWrite(dir)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return err
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
	TLS         tlsOptions        `yaml:"ssl" doc:"For https."`
}

type httpMode httpsink.Mode

var httpModes = map[string]httpMode{"one": httpMode(httpsink.One), "array": httpMode(httpsink.Array)}

// UnmarshalText reads a name.
func (m *httpMode) UnmarshalText(text []byte) error { return choice(m, text, httpModes) }

func (h *httpSink) config(c Context) (httpsink.Config, error) {
	base, err := h.TLS.base()
	cfg := httpsink.Config{
		URL: h.URL, Method: h.Method, ContentType: h.ContentType, Mode: httpsink.Mode(h.Mode),
		Timeout: time.Duration(h.Timeout), Header: http.Header{}, Logger: c.Logger, TLS: base,
		CAFile: h.TLS.CACertFile, CertFile: h.TLS.CertFile, KeyFile: h.TLS.KeyFile,
	}
	for name, value := range h.Headers {
		cfg.Header.Set(name, value)
	}
	return cfg, err
}

// Validate implements Validator.
func (h *httpSink) Validate(c Context) error {
	cfg, err := h.config(c)
	return errors.Join(err, cfg.Validate())
}

// Sink implements SinkDefinition.
func (h *httpSink) Sink(c Context) (bridge.Sink, error) {
	cfg, err := h.config(c)
	if err != nil {
		return nil, err
	}
	return httpsink.New(cfg)
}

// mqttSink publishes to an MQTT broker.
type mqttSink struct {
	Servers     Texts      `yaml:"servers" field:"Brokers" doc:"URLs of the broker or of the nodes of its cluster: mqtt, mqtts, ws or wss."`
	ClientID    string     `yaml:"client_id" doc:"Name of the connection at the broker. Default: the broker chooses one."`
	Username    string     `yaml:"username" doc:"User name at the broker."`
	Password    string     `yaml:"password" doc:"Password at the broker; better given as ${env:NAME} or ${file:PATH}."`
	KeepAlive   Duration   `yaml:"keepalive" doc:"Interval of pings. Default 30s."`
	Concurrency Count      `yaml:"concurrency" doc:"Messages of different keys that are published at once. Default 64."`
	Timeout     Duration   `yaml:"request_timeout" doc:"Of one message. Default 10s."`
	MaxHops     Count      `yaml:"max_hops" doc:"How often a message, and those made from it, may be published, so that rules which feed themselves come to an end; the record fails beyond. Default 4."`
	MaxGrowth   Size       `yaml:"max_growth" doc:"Size of a message that was made from a published one; the record fails beyond. Default 1MB."`
	Unmarked    bool       `yaml:"unmarked" doc:"Leave out the user properties by which loops are found. Default false."`
	TLS         tlsOptions `yaml:"ssl" doc:"For mqtts and wss."`
}

func (m *mqttSink) client(c Context) (republish.ClientConfig, error) {
	base, err := m.TLS.base()
	return republish.ClientConfig{
		Brokers: m.Servers, ClientID: m.ClientID, Username: m.Username, Password: m.Password,
		KeepAlive: time.Duration(m.KeepAlive), Logger: c.Logger, TLS: base,
		CAFile: m.TLS.CACertFile, CertFile: m.TLS.CertFile, KeyFile: m.TLS.KeyFile,
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
	return republish.Config{
		Publisher: p, Concurrency: int(m.Concurrency), Timeout: time.Duration(m.Timeout),
		MaxHops: int(m.MaxHops), MaxGrowth: int(m.MaxGrowth), Unmarked: m.Unmarked,
	}
}

// ask asks the broker whether it lets the client in. It publishes nothing.
func (m *mqttSink) ask(ctx context.Context, c Context) error {
	cfg := mqtt.Config{
		Brokers: m.Servers, ClientID: m.ClientID, Username: m.Username, Password: m.Password,
		CAFile: m.TLS.CACertFile, CertFile: m.TLS.CertFile, KeyFile: m.TLS.KeyFile, Logger: c.Logger,
	}
	var err error
	if cfg.TLS, err = m.TLS.base(); err != nil {
		return err
	}
	return mqtt.Ask(ctx, cfg)
}

// base is the configuration without the files, for a client that reads them by
// itself, and again when their contents change. The error says early that they are
// no good.
func (o *tlsOptions) base() (*tls.Config, error) {
	_, err := certs.Files{CA: o.CACertFile, Cert: o.CertFile, Key: o.KeyFile}.Client(nil)
	if e, ok := errors.AsType[*certs.Error](err); ok {
		err = &bridge.FieldError{Path: e.Field, Err: e.Err}
	}
	if o.ServerName == "" && len(o.ALPN) == 0 {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: o.ServerName, NextProtos: o.ALPN}, err
}
