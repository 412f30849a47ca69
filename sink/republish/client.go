package republish

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/internal/certs"
	"github.com/sluiceio/sluice/internal/redact"
)

// ClientConfig describes a Client.
type ClientConfig struct {
	// Brokers are the URLs of one broker or of the nodes of one cluster:
	// mqtt://host:1883, mqtts://host:8883, ws://host/path, wss://host/path.
	// Required.
	Brokers []string
	// CAFile, CertFile and KeyFile are PEM files: the authorities that the
	// broker's certificate is from, and the certificate of the client. They are
	// read again when a connection is lost or cannot be made. Default: the
	// system's authorities, and no certificate.
	CAFile, CertFile, KeyFile string
	// ClientID names the connection at the broker; two running clients must
	// not share it. Default: the broker chooses one.
	ClientID string
	// Dial, when set, makes the network connections, without TLS.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// KeepAlive is the interval of pings. Default 30 s.
	KeepAlive time.Duration
	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// Password and Username are what the broker asks for.
	Password string
	// TLS is the base of the configuration for mqtts and wss. Default: TLS 1.2
	// and above.
	TLS      *tls.Config
	Username string
}

// Validate reports everything that is wrong with the configuration.
func (c ClientConfig) Validate() error {
	_, err := c.urls()
	if c.KeepAlive < 0 || c.KeepAlive > 65535*time.Second {
		err = errors.Join(err, &bridge.FieldError{Path: "KeepAlive", Err: fmt.Errorf("%v is not within 0 and 65535 s", c.KeepAlive)})
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		err = errors.Join(err, errors.New("CertFile: it and KeyFile are needed together"))
	}
	return err
}

func (c ClientConfig) urls() ([]*url.URL, error) {
	var list []*url.URL
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &bridge.FieldError{Path: field, Err: fmt.Errorf(format, args...)})
	}
	if len(c.Brokers) == 0 {
		bad("Brokers", "at least one URL is needed")
	}
	for i, text := range c.Brokers {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "":
			bad(fmt.Sprintf("Brokers[%d]", i), "not a URL of a broker") // it may hold a secret
		case u.User != nil:
			bad(fmt.Sprintf("Brokers[%d]", i), "must not hold a user or password; set Username and Password")
		default:
			list = append(list, u)
		}
	}
	return list, errors.Join(errs...)
}

var errLost = errors.New("the connection to the broker was lost")

// Client is a Publisher that publishes to an MQTT 5 broker. It connects, and
// connects again, by itself.
type Client struct {
	cfg     ClientConfig
	urls    []*url.URL
	secrets redact.Secrets
	tls     certs.Client

	mu     sync.Mutex
	conn   *autopaho.ConnectionManager
	with   *tls.Config // what conn connects with
	cancel context.CancelFunc
	down   error           // why there is no connection
	online context.Context // ends with the connection
	lose   context.CancelFunc
}

var (
	_ Publisher      = (*Client)(nil)
	_ bridge.Opener  = (*Client)(nil)
	_ bridge.Checker = (*Client)(nil)
)

// NewClient makes a client; Open connects it.
func NewClient(cfg ClientConfig) (*Client, error) {
	urls, _ := cfg.urls()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("republish client: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = 30 * time.Second
	}
	files := certs.Files{CA: cfg.CAFile, Cert: cfg.CertFile, Key: cfg.KeyFile}
	followed, err := certs.NewClient(cfg.TLS, files, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("republish client: %w", err)
	}
	return &Client{
		cfg: cfg, urls: urls, tls: followed, down: errors.New("not connected to a broker yet"),
		secrets: redact.Of(cfg.Brokers...).And(cfg.Password),
	}, nil
}

// Open begins to connect; it does not wait for the connection.
func (c *Client) Open(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return nil
	}
	return c.connect()
}

// connect begins to connect with the certificates as they are. The lock is held.
func (c *Client) connect() error {
	with := c.tls.Config()
	ctx, cancel := context.WithCancel(context.Background())
	cfg := autopaho.ClientConfig{
		ServerUrls:                    c.urls,
		TlsCfg:                        with,
		KeepAlive:                     uint16(c.cfg.KeepAlive / time.Second),
		CleanStartOnInitialConnection: true,
		ConnectUsername:               c.cfg.Username,
		ConnectPassword:               []byte(c.cfg.Password),
		ReconnectBackoff:              autopaho.NewExponentialBackoff(100*time.Millisecond, 10*time.Second, time.Second, 2),
		OnConnectionUp:                func(*autopaho.ConnectionManager, *paho.Connack) { c.note(nil) },
		OnConnectionDown: func() bool {
			c.note(errLost)
			return !c.renew(with)
		},
		OnConnectError: func(err error) {
			c.note(err)
			c.renew(with)
		},
		ClientConfig: paho.ClientConfig{ClientID: c.cfg.ClientID},
	}
	if dial := c.cfg.Dial; dial != nil {
		cfg.AttemptConnection = func(ctx context.Context, _ autopaho.ClientConfig, u *url.URL) (net.Conn, error) {
			nc, err := dial(ctx, "tcp", u.Host)
			if err != nil {
				return nil, err
			}
			return packets.NewThreadSafeConn(nc), nil
		}
	}
	conn, err := autopaho.NewConnection(ctx, cfg)
	if err != nil {
		cancel()
		return fmt.Errorf("republish client: %w", err)
	}
	c.conn, c.with, c.cancel = conn, with, cancel
	return nil
}

// renew connects anew if the certificates are others than those that a connection
// was tried with, and reports whether they are: the library keeps what it began
// with.
func (c *Client) renew(with *tls.Config) bool {
	if c.tls.Config() == with {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || c.with != with { // closed, or done already
		return true
	}
	c.cancel()
	if err := c.connect(); err != nil {
		c.down = err
	}
	return true
}

// note remembers and logs whether there is a connection.
func (c *Client) note(err error) {
	err = c.secrets.Error(err)
	c.mu.Lock()
	changed := (c.down == nil) != (err == nil)
	c.down = err
	if changed && err == nil {
		c.online, c.lose = context.WithCancel(context.Background())
	} else if changed {
		c.lose()
	}
	c.mu.Unlock()
	switch {
	case err == nil:
		c.cfg.Logger.Info("republish client is connected")
	case changed:
		c.cfg.Logger.Warn("republish client is not connected", slog.Any("error", err))
	}
}

// Check returns why there is no connection, or nil.
func (c *Client) Check(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down
}

// Publish implements Publisher.
func (c *Client) Publish(ctx context.Context, m *Message) error {
	c.mu.Lock()
	conn, down, online := c.conn, c.down, c.online
	c.mu.Unlock()
	if down != nil || conn == nil {
		return fmt.Errorf("republish client: %w", down)
	}
	// The library would wait for the answer of a connection that is gone.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(online, cancel)()
	resp, err := conn.Publish(ctx, &paho.Publish{
		Topic: m.Topic, Payload: m.Payload, QoS: m.QoS, Retain: m.Retain, Properties: properties(m.Props),
	})
	if err != nil && online.Err() != nil {
		err = errLost
	}
	return classify(m.Topic, resp, c.secrets.Error(err))
}

// Close disconnects.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	conn, cancel := c.conn, c.cancel
	if c.down == nil {
		c.lose()
	}
	c.conn, c.down = nil, errors.New("the client is closed")
	c.mu.Unlock()
	if conn == nil {
		return nil
	}
	defer cancel()
	if err := conn.Disconnect(ctx); err != nil && ctx.Err() == nil {
		cancel() // it was not connected
		<-conn.Done()
	}
	return nil
}

func properties(p *bridge.Properties) *paho.PublishProperties {
	if p == nil {
		return nil
	}
	props := &paho.PublishProperties{
		PayloadFormat: p.PayloadFormat, MessageExpiry: p.MessageExpiry,
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData,
	}
	for _, u := range p.User {
		props.User.Add(u.Key, u.Value)
	}
	return props
}

// refusals are the reason codes of a broker that does not take a message (MQTT
// 5.0, section 3.4.2.1), in words.
var refusals = map[byte]string{
	packets.PubackUnspecifiedError:            "an unspecified error",
	packets.PubackImplementationSpecificError: "an error of the broker's own",
	packets.PubackNotAuthorized:               "not authorized: the broker's rules do not let this client publish there",
	packets.PubackTopicNameInvalid:            "the topic name is not accepted",
	packets.PubackPacketIdentifierInUse:       "the packet identifier is in use",
	packets.PubackQuotaExceeded:               "a quota is exceeded",
	packets.PubackPayloadFormatInvalid:        "the payload format is not what payload_format says",
}

// classify says what the outcome of a publish means.
func classify(name string, resp *paho.PublishResponse, err error) error {
	if resp != nil && resp.ReasonCode >= 0x80 {
		err = fmt.Errorf("republish client: the broker refused the message to %q: %s (reason code 0x%02x)",
			name, cmp.Or(refusals[resp.ReasonCode], "an unknown reason"), resp.ReasonCode)
		switch resp.ReasonCode {
		case packets.PubackQuotaExceeded:
			return bridge.Throttled(err, 0)
		case packets.PubackNotAuthorized, packets.PubackTopicNameInvalid, packets.PubackPayloadFormatInvalid:
			return bridge.Permanent(err)
		}
		return err
	}
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("republish client: %w", err)
	switch {
	case errors.Is(err, autopaho.ConnectionDownError):
		return wrapped
	case errors.Is(err, paho.ErrInvalidArguments):
		return bridge.Permanent(wrapped)
	default:
		return bridge.Ambiguous(wrapped)
	}
}
