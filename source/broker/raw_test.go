package broker_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/source/broker"
)

// raw is a client that does nothing by itself: tests say packet by packet what
// it sends, and see each packet that it gets.
type raw struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func dialRaw(t *testing.T, src *broker.Source) *raw {
	nc := dial(t, src)
	return &raw{t, nc, bufio.NewReader(nc)}
}

// connectRaw connects with MQTT 5. A session outlives the connection for an
// hour unless it is a clean start.
func connectRaw(t *testing.T, src *broker.Source, id string, clean bool) *raw {
	t.Helper()
	r := dialRaw(t, src)
	cp := connectPacket(id, clean)
	r.send(cp)
	ack := r.expect(packets.CONNACK).Content.(*packets.Connack)
	require.Zero(t, ack.ReasonCode)
	return r
}

func connectPacket(id string, clean bool) *packets.Connect {
	cp := packets.NewControlPacket(packets.CONNECT).Content.(*packets.Connect)
	cp.ClientID, cp.CleanStart, cp.KeepAlive = id, clean, 60
	if !clean {
		hour := uint32(3600)
		cp.Properties.SessionExpiryInterval = &hour
	}
	return cp
}

func (r *raw) send(p packets.Packet) {
	r.t.Helper()
	_, err := p.WriteTo(r.nc)
	require.NoError(r.t, err)
}

func (r *raw) publish(id uint16, qos byte, payload string) {
	r.t.Helper()
	r.send(&packets.Publish{Topic: "t", PacketID: id, QoS: qos, Payload: []byte(payload), Properties: &packets.Properties{}})
}

func (r *raw) next() *packets.ControlPacket {
	r.t.Helper()
	require.NoError(r.t, r.nc.SetReadDeadline(time.Now().Add(patience)))
	p, err := packets.ReadPacket(r.r)
	require.NoError(r.t, err)
	return p
}

// expect reads a packet, which must be of the kind.
func (r *raw) expect(kind byte) *packets.ControlPacket {
	r.t.Helper()
	p := r.next()
	require.Equal(r.t, kind, p.Type, "%v", p)
	return p
}

func (r *raw) expectPuback(id uint16, reason byte) {
	r.t.Helper()
	ack := r.expect(packets.PUBACK).Content.(*packets.Puback)
	require.Equal(r.t, id, ack.PacketID)
	require.Equal(r.t, reason, ack.ReasonCode)
}

func (r *raw) expectPubrec(id uint16) {
	r.t.Helper()
	ack := r.expect(packets.PUBREC).Content.(*packets.Pubrec)
	require.Equal(r.t, id, ack.PacketID)
	require.Zero(r.t, ack.ReasonCode)
}

func (r *raw) expectDisconnect(reason byte) {
	r.t.Helper()
	require.Equal(r.t, reason, r.expect(packets.DISCONNECT).Content.(*packets.Disconnect).ReasonCode)
}

// expectEnd reads until the connection ends.
func (r *raw) expectEnd() {
	r.t.Helper()
	require.NoError(r.t, r.nc.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, r.r)
	require.NotErrorIs(r.t, err, os.ErrDeadlineExceeded)
}

// pong checks that nothing else arrives before the answer to a ping.
func (r *raw) pong() {
	r.t.Helper()
	r.send(&packets.Pingreq{})
	r.expect(packets.PINGRESP)
}

// drop closes the connection without a word.
func (r *raw) drop() { _ = r.nc.Close() }
