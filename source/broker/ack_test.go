package broker_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

func TestAcknowledgementsKeepOrder(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := connectRaw(t, src, "c", true)
	r.publish(7, 1, "a")
	r.publish(3, 2, "b")
	r.publish(5, 1, "c")
	m := read(t, src, 3)
	require.Equal(t, []string{"a", "b", "c"}, payloads(m))
	m[2].Delivery.Done(bridge.Stored, nil)
	m[1].Delivery.Done(bridge.Stored, nil)
	r.pong()
	m[0].Delivery.Done(bridge.Stored, nil)
	r.expectPuback(7, 0)
	r.expectPubrec(3)
	r.expectPuback(5, 0)
	require.EqualValues(t, 3, src.Stats().Acknowledged)
	r.send(&packets.Pubrel{PacketID: 3, Properties: &packets.Properties{}})
	require.Equal(t, uint16(3), r.expect(packets.PUBCOMP).Content.(*packets.Pubcomp).PacketID)
	r.send(&packets.Pubrel{PacketID: 3, Properties: &packets.Properties{}})
	require.Equal(t, byte(0x92), r.expect(packets.PUBCOMP).Content.(*packets.Pubcomp).ReasonCode, "unknown by now")
}

func payloads(msgs []bridge.Message) []string {
	var p []string
	for _, m := range msgs {
		p = append(p, string(m.Payload))
	}
	return p
}

func TestEarlyAck(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{EarlyAck: true})
	r := connectRaw(t, src, "c", true)
	r.publish(1, 1, "a")
	r.expectPuback(1, 0)
	r.publish(2, 2, "b")
	r.expectPubrec(2)
	for _, m := range read(t, src, 2) {
		m.Delivery.Done(bridge.Stored, nil)
	}
	r.pong()
}

// TestUnsettledMessageIsSentAgain: what could not be delivered closes the
// connection, and the client's second attempt is a message like the first.
func TestUnsettledMessageIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		src := open(t, broker.Config{})
		r := connectRaw(t, src, "c", false)
		r.publish(1, qos, "a")
		read(t, src, 1)[0].Delivery.Done(bridge.Abandoned, errors.New("no luck"))
		_, err := packets.ReadPacket(r.r)
		require.ErrorIs(t, err, io.EOF)

		r = connectRaw(t, src, "c", false)
		r.publish(1, qos, "a")
		read(t, src, 1)[0].Delivery.Done(bridge.Stored, nil)
		if qos == 1 {
			r.expectPuback(1, 0)
		} else {
			r.expectPubrec(1)
		}
	}
}

func TestSettlingAfterTheConnectionIsGone(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := connectRaw(t, src, "c", false)
	r.publish(1, 1, "a")
	m := read(t, src, 1)
	r.drop()
	r = connectRaw(t, src, "c", false) // takes over, if the drop was not noticed
	m[0].Delivery.Done(bridge.Stored, nil)
	r.pong()
	r.publish(1, 1, "a")
	m = read(t, src, 1)
	m[0].Delivery.Done(bridge.Stored, nil)
	r.expectPuback(1, 0)
}

// TestQoS2IsHandedOutOnce sends a message again while it is unsettled, after it
// is settled, and on another connection.
func TestQoS2IsHandedOutOnce(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{})
	r := connectRaw(t, src, "c", false)
	r.publish(1, 2, "a")
	m := read(t, src, 1)
	r.drop()

	r = connectRaw(t, src, "c", false)
	r.publish(1, 2, "a")
	r.pong()
	m[0].Delivery.Done(bridge.Stored, nil)
	r.expectPubrec(1)
	r.drop()

	r = connectRaw(t, src, "c", false)
	r.publish(1, 2, "a")
	r.expectPubrec(1)
	r.send(&packets.Pubrel{PacketID: 1, Properties: &packets.Properties{}})
	r.expect(packets.PUBCOMP)

	r.publish(1, 2, "b")
	m = read(t, src, 1)
	require.Equal(t, "b", string(m[0].Payload))
	m[0].Delivery.Done(bridge.Stored, nil)
	r.expectPubrec(1)
	r.drop()

	// A clean start knows nothing of what was before.
	r = connectRaw(t, src, "c", true)
	r.publish(1, 2, "c")
	m = read(t, src, 1)
	require.Equal(t, "c", string(m[0].Payload))
	m[0].Delivery.Done(bridge.Stored, nil)
	r.expectPubrec(1)
}

func TestReceiveMaximum(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{ReceiveMaximum: 2}})
	r := dialRaw(t, src)
	r.send(connectPacket("c", true))
	ack := r.expect(packets.CONNACK).Content.(*packets.Connack)
	require.Equal(t, uint16(2), *ack.Properties.ReceiveMaximum)
	require.EqualValues(t, 1<<20, *ack.Properties.MaximumPacketSize)
	for id := range uint16(3) {
		r.publish(id+1, 1, "x")
	}
	r.expectDisconnect(0x93)
}

// TestReceiveMaximumOfOldClients: MQTT 3.1.1 knows no limit, so the client is
// not read from while it has too many messages open.
func TestReceiveMaximumOfOldClients(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{ReceiveMaximum: 2}})
	r := dialRaw(t, src)
	_, err := r.nc.Write([]byte("\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c"))
	require.NoError(t, err)
	var ack [4]byte
	_, err = io.ReadFull(r.r, ack[:])
	require.NoError(t, err)
	require.Equal(t, [4]byte{0x20, 2, 0, 0}, ack)
	for id := range byte(4) {
		_, err := r.nc.Write([]byte{0x32, 6, 0, 1, 't', 0, id + 1, 'x'})
		require.NoError(t, err)
	}
	m := read(t, src, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = src.Read(ctx, make([]bridge.Message, 1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	m[0].Delivery.Done(bridge.Stored, nil)
	m[1].Delivery.Done(bridge.Stored, nil)
	for _, m := range read(t, src, 2) {
		m.Delivery.Done(bridge.Stored, nil)
	}
	for id := range byte(4) {
		_, err := io.ReadFull(r.r, ack[:])
		require.NoError(t, err)
		require.Equal(t, [4]byte{0x40, 2, 0, id + 1}, ack)
	}
}

// TestFullQueueHoldsPublishersBack: nothing is dropped, not even with QoS 0.
func TestFullQueueHoldsPublishersBack(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{QueueMessages: 2})
	r := connectRaw(t, src, "c", true)
	var want []string
	for i := range 20 {
		want = append(want, string(rune('a'+i)))
		r.publish(0, 0, want[i])
	}
	require.Eventually(t, func() bool { return src.Stats().QueueMessages == 2 }, patience, time.Millisecond)
	require.Equal(t, want, payloads(read(t, src, 20)))
	r.pong()
	require.EqualValues(t, 20, src.Stats().Received)
}

// TestCloseWritesAcknowledgements: a settled message is acknowledged even if the
// source closes at once, and one that is not settled is not.
func TestCloseWritesAcknowledgements(t *testing.T) {
	t.Parallel()
	for range 20 {
		src, err := broker.New(broker.Config{Listeners: []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}, Logger: quiet()})
		require.NoError(t, err)
		require.NoError(t, src.Open(t.Context()))
		r := connectRaw(t, src, "c", false)
		idle := dialRaw(t, src) // never says CONNECT, and must not hold Close up
		r.publish(1, 1, "a")
		r.publish(2, 1, "b")
		r.publish(3, 1, "c")
		m := read(t, src, 2)
		m[0].Delivery.Done(bridge.Stored, nil)
		require.NoError(t, src.Close(t.Context()))
		m[1].Delivery.Done(bridge.Stored, nil)
		r.expectPuback(1, 0)
		r.expectDisconnect(0x8b)
		idle.drop()
	}
}

// TestLostAtClose: QoS 0 messages that are in the queue or wait for room when the
// source closes are counted.
func TestLostAtClose(t *testing.T) {
	t.Parallel()
	src := open(t, broker.Config{Limits: broker.Limits{PublisherMessages: 1}})
	r := connectRaw(t, src, "c", true)
	r.publish(0, 0, "queued")
	r.publish(0, 0, "waits")
	require.Eventually(t, func() bool { return src.Stats().HeldBack == 1 }, patience, time.Millisecond)
	closeSource(t, src)
	require.Equal(t, map[string]int64{"closed": 2}, src.Stats().LostBy)
	require.EqualValues(t, 2, src.Stats().Lost)
}

// TestSettlingGivesTheWindowBack: each message counts in its publisher's window until
// it is settled, whatever its QoS, whatever the outcome, and also when its connection
// has ended by then.
func TestSettlingGivesTheWindowBack(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		for _, cfg := range []broker.Config{{EarlyAck: early}, {EarlyAck: early, Store: new(memoryStore)}} {
			src := open(t, cfg)
			for _, outcome := range []bridge.Outcome{bridge.Stored, bridge.Abandoned} {
				for _, dropped := range []bool{false, true} {
					r := connectRaw(t, src, "c", true)
					for qos := range byte(3) {
						r.publish(uint16(qos), qos, "x")
					}
					m := read(t, src, 3)
					require.Equal(t, 3, src.Stats().Unsettled)
					if dropped {
						r.drop()
						require.Eventually(t, func() bool { return src.Stats().Connections == 0 }, patience, time.Millisecond)
					}
					for i := range m {
						m[2-i].Delivery.Done(outcome, nil)
					}
					require.Eventually(t, func() bool { return src.Stats().Unsettled == 0 }, patience, time.Millisecond)
				}
			}
		}
	}
}
