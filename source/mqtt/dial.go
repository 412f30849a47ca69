package mqtt

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/sluiceio/sluice/internal/certs"
	"github.com/sluiceio/sluice/internal/redact"
)

// dialer makes the network connection to a broker.
type dialer struct{ cfg *Config }

// Default ports of the schemes.
var ports = map[string]string{"mqtt": "1883", "mqtts": "8883", "ws": "80", "wss": "443"}

// parseBroker reads a broker's URL; the result's scheme is mqtt, mqtts, ws, wss
// or unix, and its host has a port.
func parseBroker(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL") // the reason repeats a part of it, which may be a secret
	}
	shown := redact.Parsed(u)
	switch u.Scheme = strings.ToLower(u.Scheme); u.Scheme {
	case "tcp":
		u.Scheme = "mqtt"
	case "ssl", "tls":
		u.Scheme = "mqtts"
	}
	switch {
	case u.User != nil:
		return nil, errors.New("a URL must not hold a user or password; set Username and Password")
	case u.Scheme == "unix":
		if u.Host != "" || u.Path == "" {
			return nil, fmt.Errorf("%q: want unix:///path", shown)
		}
		return u, nil
	case ports[u.Scheme] == "":
		return nil, fmt.Errorf("%q: the scheme is not one of mqtt, mqtts, ws, wss, unix", shown)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%q: the host is missing", shown)
	case (u.Path != "" && u.Path != "/" || u.RawQuery != "") && strings.HasPrefix(u.Scheme, "mqtt"):
		return nil, fmt.Errorf("%q: a path is for ws and wss only", shown)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), ports[u.Scheme])
	}
	return u, nil
}

func (d dialer) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	switch u.Scheme {
	case "unix":
		return d.network(ctx, "unix", u.Path)
	case "mqtts":
		cfg, err := d.tls(u)
		if err != nil {
			return nil, err
		}
		raw, err := d.network(ctx, "tcp", u.Host)
		if err != nil {
			return nil, err
		}
		return handshake(ctx, raw, cfg)
	case "ws", "wss":
		return d.webSocket(ctx, u)
	}
	return d.network(ctx, "tcp", u.Host)
}

func handshake(ctx context.Context, raw net.Conn, cfg *tls.Config) (net.Conn, error) {
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		if closedEarly(err) {
			err = fmt.Errorf("%w: %w", errNoTLS, err)
		}
		return nil, err
	}
	return c, nil
}

// network connects to addr, through the proxy if there is one.
func (d dialer) network(ctx context.Context, network, addr string) (net.Conn, error) {
	direct := &net.Dialer{}
	switch {
	case d.cfg.Dial != nil:
		return d.cfg.Dial(ctx, network, addr)
	case d.cfg.Proxy == "" || network == "unix":
		return direct.DialContext(ctx, network, addr)
	}
	u, err := parseProxy(d.cfg.Proxy)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "socks5" {
		p, err := proxy.FromURL(u, direct)
		if err != nil {
			return nil, err
		}
		raw, err := p.(proxy.ContextDialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		return raw, nil
	}
	raw, err := direct.DialContext(ctx, network, u.Host)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if u.Scheme == "https" {
		if raw, err = handshake(ctx, raw, &tls.Config{ServerName: u.Hostname()}); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
	}
	return tunnel(ctx, raw, u, addr)
}

func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("want http://host:port, https://host:port or socks5://host:port")
	}
	defaults := map[string]string{"http": "80", "https": "443", "socks5": "1080"}
	if defaults[u.Scheme] == "" {
		return nil, errors.New("the scheme is not one of http, https, socks5")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaults[u.Scheme])
	}
	return u, nil
}

// tunnel asks an HTTP proxy for a connection to addr (RFC 9110, section 9.3.6).
func tunnel(ctx context.Context, raw net.Conn, u *url.URL, addr string) (_ net.Conn, err error) {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() {
		if !stop() && err == nil {
			err = ctx.Err()
		}
		if err != nil {
			_ = raw.Close()
			err = fmt.Errorf("proxy: %w", err)
		}
	}()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if u.User != nil {
		password, _ := u.User.Password()
		token := base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))
		req.Header.Set("Proxy-Authorization", "Basic "+token)
	}
	if err := req.Write(raw); err != nil {
		return nil, err
	}
	// The broker speaks second, so nothing is read past the proxy's answer.
	resp, err := http.ReadResponse(bufio.NewReaderSize(io.LimitReader(raw, maxHandshake), 16), req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %q", short(redact.Of(u.String()).Text(resp.Status)))
	}
	return raw, nil
}

// tls builds the TLS configuration, reading the files anew.
func (d dialer) tls(u *url.URL) (*tls.Config, error) {
	cfg, err := certs.Files{CA: d.cfg.CAFile, Cert: d.cfg.CertFile, Key: d.cfg.KeyFile}.Client(d.cfg.TLS)
	if e, ok := errors.AsType[*certs.Error](err); ok {
		return nil, &fieldError{e.Field, e.Err}
	}
	if t := d.cfg.TLS; t != nil && t.MinVersion != 0 {
		cfg.MinVersion = t.MinVersion // old brokers have nothing else
	}
	if cfg.ServerName == "" {
		cfg.ServerName = u.Hostname()
	}
	return cfg, nil
}
