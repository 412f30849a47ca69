package broker_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// TestMemoryPerClient bounds what a connected device takes, so that 10,000 of
// them fit into 480 MB. The devices' own ends of the connections are included.
func TestMemoryPerClient(t *testing.T) {
	const clients, most = 1000, 48 << 10
	src := open(t, broker.Config{})
	memory := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapInuse + m.StackInuse)
	}
	before := memory()
	for i := range clients {
		nc, err := net.Dial("tcp", src.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = nc.Close() })
		name := fmt.Sprintf("dev-%06d", i)
		_, err = nc.Write(append([]byte("\x10\x16\x00\x04MQTT\x04\x02\x00\x00\x00\x0a"), name...))
		require.NoError(t, err)
		var ack [4]byte
		_, err = io.ReadFull(nc, ack[:])
		require.NoError(t, err)
		_, err = nc.Write([]byte{0x30, 4, 0, 1, 't', 'x'})
		require.NoError(t, err)
	}
	read(t, src, clients)
	perClient := (memory() - before) / clients
	t.Logf("%d bytes per client", perClient)
	require.Less(t, perClient, int64(most))
}
