package mqtt

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestValidateReportsEverything(t *testing.T) {
	err := Config{
		Brokers:     []string{"http://x", "mqtt://u:secret@x", "mqtt://", "unix://x", "mqtt://x/path", "mqtt://\x00secret"},
		Filters:     []Subscription{{Filter: "a/#/b"}, {Filter: "t", QoS: 3}, {Filter: "$share/g/t", NoLocal: true}},
		Connections: 300, ReceiveMaximum: 70000, MaxPacketSize: 1, KeepAlive: time.Millisecond, CertFile: "x",
		Proxy: "ftp://x", BackoffMin: 2, BackoffMax: 1, Will: &Will{}, Auth: &Auth{},
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, nil },
	}.Validate()
	for _, want := range []string{
		"Brokers[0]", "Brokers[1]", "Brokers[2]", "Brokers[3]", "Brokers[4]", "Brokers[5]",
		"Filters[0]", "Filters[1].QoS", "Filters[2].NoLocal",
		"ClientID", "Connections", "ReceiveMaximum", "MaxPacketSize", "KeepAlive", "CertFile", "Proxy", "BackoffMax", "Will.Topic", "Auth",
	} {
		require.ErrorContains(t, err, "mqtt: "+want)
	}
	require.NotContains(t, err.Error(), "secret")
}

func TestValidateConnections(t *testing.T) {
	cfg := Config{Brokers: []string{"mqtt://x"}, ClientID: "c", Connections: 2, Filters: []Subscription{{Filter: "t/#"}}}
	require.ErrorContains(t, cfg.Validate(), "$share")
	cfg.Filters[0].Filter = "$share/g/t/#"
	require.NoError(t, cfg.Validate())
}

func TestParseBroker(t *testing.T) {
	for in, want := range map[string]string{
		"mqtt://h": "mqtt://h:1883", "tcp://h:1": "mqtt://h:1", "ssl://h": "mqtts://h:8883", "MQTTS://[::1]": "mqtts://[::1]:8883",
		"ws://h/mqtt": "ws://h:80/mqtt", "wss://h/mqtt?a=b": "wss://h:443/mqtt?a=b", "unix:///run/s": "unix:///run/s",
	} {
		u, err := parseBroker(in)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
}
