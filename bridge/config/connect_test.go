package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/internal/mqttfake"
)

// Brokers and sinks are asked, a running bridge keeps its session, and no file is
// made.
func TestCheckConnections(t *testing.T) {
	t.Parallel()
	clients := make(chan string, 100)
	b := mqttfake.New(mqttfake.Options{
		Connect: func(c *packets.Connect) *packets.Connack {
			clients <- c.ClientID
			code := byte(0)
			if string(c.Password) == "wrong" {
				code = packets.ConnackBadUsernameOrPassword
			}
			return &packets.Connack{ReasonCode: code, Properties: &packets.Properties{}}
		},
		Suback: func(filter string, qos byte) byte {
			if filter == "secret/#" {
				return packets.SubackNotauthorized
			}
			return qos
		},
	})
	t.Cleanup(b.Close)
	addr, err := b.Listen()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/file", nil, 0o600))
	check := func(more, sink, topic string) error {
		def, err := Parse("f", []byte("sources: {s: {type: mqtt, client_id: bridge, servers: mqtt://"+addr+more+"}}\nsinks: {k: "+sink+"}\n"+
			`rules: {r: {sql: 'SELECT * FROM "`+topic+`"', actions: [{topic: x}]}}`), testOptions)
		require.NoError(t, err)
		return def.CheckConnections(context.Background(), nil)
	}
	file := "{type: file, path: " + dir + "/new/out}"
	require.NoError(t, check("", file, "t/#"))
	require.Regexp(t, "^bridge-check-", <-clients)
	require.NoDirExists(t, filepath.Join(dir, "new"))
	require.NoError(t, check("", "{type: file, path: "+dir+"/file}", "t/#"))
	require.ErrorContains(t, check(", username: u, password: wrong", file, "t/#"), "sources.s: mqtt: broker")
	require.ErrorContains(t, check("", file, "secret/#"), `"secret/#"`)
	require.ErrorContains(t, check("", "{type: file, path: "+dir+"}", "t/#"), "sinks.k: open "+dir)
	require.ErrorContains(t, check("", "{type: file, path: "+dir+"/file/out}", "t/#"), "sinks.k: ")
	require.NoError(t, check("", "{type: mqtt, servers: mqtt://"+addr+"}", "t/#"))
	require.ErrorContains(t, check("", "{type: mqtt, username: u, password: wrong, servers: mqtt://"+addr+"}", "t/#"), "sinks.k: mqtt: broker")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}
