package mqtt

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// The tests of this file put a real broker under load while something is wrong. Those
// that check the order of messages have a window that holds them all: once a window was
// full, Mosquitto 2.0.11 itself lets new messages overtake those that had to wait.

// TestMosquittoHalfOpen lets connections go dead under load: they stay open, and
// nothing comes through any more in either direction. The keep-alive notices.
func TestMosquittoHalfOpen(t *testing.T) {
	bothPaths(t, func(t *testing.T, disable bool) {
		for qos := byte(1); qos <= 2; qos++ {
			t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
				m := startMosquitto(t) // of its own, as the topics are the same
				proxy := newCutter(t, m.addr)
				cfg := m.config()
				cfg.Brokers = []string{"mqtt://" + proxy.ln.Addr().String()}
				cfg.DisableFastPath, cfg.ClientID = disable, t.Name()
				cfg.KeepAlive = time.Second
				s := open(t, cfg)
				defer s.Close(context.Background())
				const n = 2000
				var publishing sync.WaitGroup
				defer publishing.Wait()
				p := newPublisher(t, m.addr)
				frozen := make(chan struct{})
				publishing.Go(func() {
					p.publish(20, 0, n/2, qos, 100)
					<-frozen // so that something is left that cannot come through
					p.publish(20, n/2, n/2, qos, 100)
				})
				l := &ledger{}
				func() {
					defer close(frozen)
					l.drain(t, s, n/4)
					proxy.freeze()
				}()
				l.drain(t, s, n)
				require.NotZero(t, s.Stats().Reconnects)
				require.ErrorIs(t, s.Stats().Connections[0].LastError, errSilent)
				require.Zero(t, s.Stats().SessionsLost)
			})
		}
	})
}

// TestMosquittoRestartsUnderLoad stops the broker in the middle of a stream. The
// publisher sends again what was not acknowledged, so messages may come twice.
func TestMosquittoRestartsUnderLoad(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			m := startMosquitto(t)
			s := open(t, m.config())
			defer s.Close(context.Background())
			const n, restarts = 8000, 3
			var publishing sync.WaitGroup
			defer publishing.Wait()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			publishing.Go(func() { publishAll(ctx, m.addr, n, qos) })
			l := &ledger{}
			for i := range restarts {
				l.drain(t, s, (i+1)*n/(restarts+1))
				m.stop()
				m.start()
			}
			l.drain(t, s, n)
			require.GreaterOrEqual(t, s.Stats().Reconnects, uint64(restarts))
			require.Zero(t, s.Stats().SessionsLost)
			t.Logf("%d duplicates", l.dups)
		})
	}
}

// publishAll publishes n messages to ten topics, one after the other per topic, and
// does not rest before the broker has acknowledged each of them.
func publishAll(ctx context.Context, addr string, n int, qos byte) {
	var topics sync.WaitGroup
	for topic := range 10 {
		topics.Go(func() {
			for i := 0; i < n/10 && ctx.Err() == nil; {
				i = publishFrom(ctx, addr, topic, i, n/10, qos)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	topics.Wait()
}

// publishFrom publishes the messages of a topic from the i-th on and returns the
// first one that is not acknowledged.
func publishFrom(ctx context.Context, addr string, topic, i, n int, qos byte) int {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return i
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	connect := packets.NewControlPacket(packets.CONNECT)
	c := connect.Content.(*packets.Connect)
	c.ClientID, c.CleanStart = rand.Text(), true
	if !ask(nc, connect, packets.CONNACK) {
		return i
	}
	for ; i < n; i++ {
		m := &packets.Publish{Topic: fmt.Sprint("t/", topic), Payload: fmt.Appendf(nil, "%d %d", topic, i), QoS: qos, PacketID: 1, Properties: &packets.Properties{}}
		if qos == 1 {
			if !ask(nc, m.ToControlPacket(), packets.PUBACK) {
				return i
			}
			continue
		}
		rel := packets.NewControlPacket(packets.PUBREL)
		rel.Content.(*packets.Pubrel).PacketID = 1
		if !ask(nc, m.ToControlPacket(), packets.PUBREC) || !ask(nc, rel, packets.PUBCOMP) {
			return i
		}
	}
	return i
}

// ask sends a packet and reports whether the answer is of the type wanted.
func ask(nc net.Conn, p *packets.ControlPacket, want byte) bool {
	if _, err := p.WriteTo(nc); err != nil {
		return false
	}
	answer, err := packets.ReadPacket(nc)
	return err == nil && answer.Type == want
}

// TestMosquittoManyTopics reads 5,000 topics while connections are cut; the order of
// each is kept.
func TestMosquittoManyTopics(t *testing.T) {
	m := startMosquitto(t)
	proxy := newCutter(t, m.addr)
	cfg := m.config()
	cfg.Brokers = []string{"mqtt://" + proxy.ln.Addr().String()}
	cfg.ReceiveMaximum = 65535
	s := open(t, cfg)
	defer s.Close(context.Background())
	const topics, each = 5000, 6
	var publishing sync.WaitGroup
	defer publishing.Wait()
	p := newPublisher(t, m.addr)
	publishing.Go(func() { p.publish(topics, 0, topics*each, 1, 60) })
	l := &ledger{}
	for i := range each - 1 {
		l.drain(t, s, (i+1)*topics)
		proxy.cut()
	}
	l.drain(t, s, topics*each)
	require.Len(t, l.next, topics)
	require.NotZero(t, s.Stats().Reconnects)
}

// TestMosquittoRetainedFlood subscribes where 50,000 messages are retained, with a
// reader that comes late and a small buffer: none is lost, and the subscription is
// confirmed behind them.
func TestMosquittoRetainedFlood(t *testing.T) {
	const n = 50_000
	m := startMosquitto(t)
	publisher := newPublisher(t, m.addr)
	publisher.retain = true
	publisher.publish(n, 0, n, 1, 20)
	bothPaths(t, func(t *testing.T, disable bool) {
		for qos := byte(1); qos <= 2; qos++ {
			cfg := m.config()
			cfg.ClientID, cfg.DisableFastPath = fmt.Sprint(t.Name(), qos), disable
			cfg.Filters[0].QoS = qos
			cfg.ReceiveMaximum, cfg.BufferBytes = 2000, 16<<10
			s := open(t, cfg)
			l := &ledger{}
			l.drain(t, s, n)
			require.Zero(t, l.dups)
			require.Len(t, l.next, n)
			require.Zero(t, s.Stats().Reconnects)
			require.NoError(t, s.Check(t.Context()))
			require.NoError(t, s.Close(t.Context()))
		}
	})
}

// TestMosquittoSessionLost restarts a broker that forgets: what it held is lost with
// it, and what the source has received and not settled is handed out once.
func TestMosquittoSessionLost(t *testing.T) {
	m := startMosquitto(t, "persistence false")
	s := open(t, m.config())
	defer s.Close(context.Background())
	const n = 1000
	newPublisher(t, m.addr).publish(10, 0, n, 1, 100)
	first := readN(t, s, n/2)
	require.Eventually(t, func() bool { return s.Stats().Received == n }, 30*time.Second, time.Millisecond)
	m.stop()
	m.start()
	require.Eventually(t, func() bool { return s.Stats().SessionsLost == 1 && s.Check(t.Context()) == nil }, 30*time.Second, time.Millisecond)
	settle(first, nil)
	rest := readN(t, s, n/2)
	settle(rest, nil)
	seen := map[string]bool{}
	for _, msg := range append(first, rest...) {
		seen[string(msg.Payload)] = true
	}
	require.Len(t, seen, n)
	// The packet identifiers begin anew, and none of the old acknowledgements is sent.
	newPublisher(t, m.addr).publish(10, n, n, 1, 100)
	settle(readN(t, s, n), nil)
	acked := s.Stats().Acked
	require.EqualValues(t, n, acked)
}

// TestMosquittoLargePayloadsWithFaults moves 256 KB payloads through a connection
// that is cut.
func TestMosquittoLargePayloadsWithFaults(t *testing.T) {
	m := startMosquitto(t)
	proxy := newCutter(t, m.addr)
	cfg := m.config()
	cfg.Brokers = []string{"mqtt://" + proxy.ln.Addr().String()}
	cfg.BufferBytes = 2 << 20
	s := open(t, cfg)
	defer s.Close(context.Background())
	const n = 200
	var publishing sync.WaitGroup
	defer publishing.Wait()
	p := newPublisher(t, m.addr)
	publishing.Go(func() { p.publish(3, 0, n, 1, 256<<10) })
	l := &ledger{}
	for seen := 20; seen < n; seen += 20 + mrand.IntN(20) {
		l.drain(t, s, seen)
		proxy.cut()
	}
	l.drain(t, s, n)
	require.NotZero(t, s.Stats().Reconnects)
}

// TestSettledOnce settles every delivery again and again, from several goroutines and
// over a reconnect: the broker sees one acknowledgement of each message.
func TestSettledOnce(t *testing.T) {
	m := startMosquitto(t, "log_type all")
	s := open(t, m.config())
	defer s.Close(context.Background())
	const n = 500
	newPublisher(t, m.addr).publish(5, 0, n, 1, 50)
	msgs := readN(t, s, n)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for _, i := range mrand.Perm(n) {
				msgs[i].Delivery.Done(bridge.Stored, nil)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, n, s.Stats().Acked)
	require.NoError(t, s.Close(t.Context()))
	m.stop()
	require.Equal(t, n, m.logged("Received PUBACK from sluice"))
}

// TestMosquittoReconnectsWhileTheSinkIsAway loses the connection ten times while messages
// come in and nothing is settled: each of them is handed out once, in order.
func TestMosquittoReconnectsWhileTheSinkIsAway(t *testing.T) {
	for qos := byte(1); qos <= 2; qos++ {
		t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
			bothPaths(t, func(t *testing.T, disable bool) {
				m := startMosquitto(t)
				cfg := m.config()
				cfg.DisableFastPath = disable
				reconnectWhileTheSinkIsAway(t, m, cfg, qos)
			})
		})
	}
}

func reconnectWhileTheSinkIsAway(t *testing.T, m *mosquitto, cfg Config, qos byte) {
	t.Helper()
	proxy := newCutter(t, m.addr)
	cfg.Brokers = []string{"mqtt://" + proxy.ln.Addr().String()}
	s := open(t, cfg)
	defer s.Close(context.Background())
	const n = 6000
	var publishing sync.WaitGroup
	defer publishing.Wait()
	p := newPublisher(t, m.addr)
	publishing.Go(func() { p.publish(20, 0, n, qos, 100) })
	l := &ledger{next: map[int]int{}}
	var all []bridge.Message
	for cuts := 1; len(all) < n; {
		for _, msg := range readN(t, s, 10) {
			l.note(t, &msg)
			all = append(all, msg)
		}
		if len(all) >= cuts*n/11 && cuts <= 10 {
			proxy.cut()
			again := func() bool { return s.Stats().Reconnects >= uint64(cuts) && s.Check(t.Context()) == nil }
			require.Eventually(t, again, time.Minute, time.Millisecond)
			cuts++
		}
	}
	require.Zero(t, l.dups)
	settle(all, nil)
	require.Eventually(t, func() bool { held, _ := s.Window(); return held == 0 }, time.Minute, 10*time.Millisecond)
	st := s.Stats()
	require.EqualValues(t, n, st.Received)
	require.GreaterOrEqual(t, st.Reconnects, uint64(10))
	require.NotZero(t, st.Recognized)
	require.Zero(t, st.HeldBytes)
}
