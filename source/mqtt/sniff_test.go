package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWrongPorts connects with each scheme to servers of the other three kinds.
func TestWrongPorts(t *testing.T) {
	ca := newAuthority(t, "ca")
	plain, port := listen(t)
	serve(t, plain)
	secure, securePort := listen(t)
	serveTLS(t, secure, ca.serverTLS())
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	ln, webPort := listen(t)
	secureWeb := httptest.NewUnstartedServer(http.NotFoundHandler())
	secureWeb.Listener, secureWeb.TLS = ln, ca.serverTLS()
	secureWeb.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // it is asked odd things
	secureWeb.StartTLS()
	t.Cleanup(secureWeb.Close)
	// A server that hangs up on whatever it does not like, without a word.
	mute, mutePort := listen(t)
	t.Cleanup(func() { _ = mute.Close() })
	go hangUp(mute)

	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	for _, tt := range []struct{ url, want string }{
		{"mqtt://127.0.0.1:" + securePort, "speaks TLS on this port, for which the scheme is mqtts or wss"},
		{"mqtt://127.0.0.1:" + webPort, "speaks TLS on this port"},
		{"mqtt" + strings.TrimPrefix(web.URL, "http"), "speaks HTTP on this port; for MQTT over WebSocket the scheme is ws or wss"},
		{"mqtt://127.0.0.1:" + mutePort, "closed the connection without an answer, as ports for TLS or WebSocket may do"},
		{"mqtts://127.0.0.1:" + port, "as a port without TLS does"},
		{"mqtts://127.0.0.1:" + webPort, "speaks HTTP on this port; for MQTT over WebSocket the scheme is ws or wss"},
		{"mqtts" + strings.TrimPrefix(web.URL, "http"), "does not speak TLS on this port"},
		{"mqtts://127.0.0.1:" + mutePort, "as a port without TLS does"},
		{"ws://127.0.0.1:" + port, "for MQTT without WebSocket the scheme is mqtt or mqtts"},
		{"ws://127.0.0.1:" + securePort, "speaks TLS on this port"},
		{"ws://127.0.0.1:" + webPort, "speaks TLS on this port"},
		{"ws://127.0.0.1:" + mutePort, "for MQTT without WebSocket the scheme is mqtt or mqtts"},
		{"wss://127.0.0.1:" + port, "as a port without TLS does"},
		{"wss://127.0.0.1:" + securePort, "for MQTT without WebSocket the scheme is mqtt or mqtts"},
		{"wss" + strings.TrimPrefix(web.URL, "http"), "does not speak TLS on this port"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			cfg := netConfig(tt.url)
			cfg.TLS = &tls.Config{RootCAs: pool, ServerName: "localhost"}
			cfg.StartTimeout, cfg.ConnectTimeout = 0, time.Second
			s, err := New(cfg)
			require.NoError(t, err)
			if err = s.Open(t.Context()); err == nil {
				err = s.Check(t.Context())
			}
			require.NoError(t, s.Close(t.Context()))
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// hangUp closes every connection when something comes in.
func hangUp(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 4096))
		_ = c.Close()
	}
}
