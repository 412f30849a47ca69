package mqtt

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
)

// mosquitto is a real broker that can be stopped and started again.
type mosquitto struct {
	t    *testing.T
	bin  string
	dir  string
	addr string
	cmd  *exec.Cmd
}

// startMosquitto starts a broker with extra configuration lines; without the
// program the test is skipped, or fails where the real parts must be there. The test
// runs beside others that use real brokers.
func startMosquitto(t *testing.T, extra ...string) *mosquitto {
	t.Helper()
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: no real broker")
	}
	bin, err := exec.LookPath("mosquitto")
	if err != nil {
		bin = "/usr/sbin/mosquitto"
		if _, err := os.Stat(bin); err != nil {
			if os.Getenv("CI") == "true" && os.Getenv("SLUICE_REAL_PARTS") == "1" {
				t.Fatal("mosquitto is not installed")
			}
			t.Skip("mosquitto is not installed")
		}
	}
	m := &mosquitto{t: t, bin: bin, dir: t.TempDir(), addr: freeAddr(t)}
	_, port, _ := net.SplitHostPort(m.addr)
	conf := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 65535\nmax_queued_messages 0\n"+
		"max_queued_bytes 0\npersistence true\npersistence_location %s/\nlog_type warning\n", port, m.dir)
	if os.Geteuid() == 0 {
		conf += "user root\n" // or it becomes one who may not write here
	}
	for _, line := range extra {
		conf += line + "\n"
	}
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, "mosquitto.conf"), []byte(conf), 0o600))
	m.start()
	t.Cleanup(m.stop)
	return m
}

// freeAddr returns an address that nobody listens on. Its port is not one of those
// that outgoing connections get, which could take it before the broker does.
func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			require.NoError(t, ln.Close())
			return addr
		}
	}
}

func (m *mosquitto) start() {
	m.t.Helper()
	m.cmd = exec.Command(m.bin, "-c", filepath.Join(m.dir, "mosquitto.conf"))
	log, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(m.t, err)
	defer log.Close()
	m.cmd.Stdout, m.cmd.Stderr = log, log
	require.NoError(m.t, m.cmd.Start())
	for range 500 {
		if c, err := net.Dial("tcp", m.addr); err == nil {
			_ = c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	text, _ := os.ReadFile(filepath.Join(m.dir, "log"))
	m.t.Fatalf("mosquitto does not answer: %s", text)
}

func (m *mosquitto) stop() {
	if m.cmd == nil {
		return
	}
	_ = m.cmd.Process.Signal(os.Interrupt)
	_ = m.cmd.Wait()
	m.cmd = nil
}

// logged returns how many lines of the broker's log have a text.
func (m *mosquitto) logged(text string) int {
	m.t.Helper()
	log, err := os.ReadFile(filepath.Join(m.dir, "log"))
	require.NoError(m.t, err)
	return strings.Count(string(log), text)
}

func (m *mosquitto) url() string { return "mqtt://" + m.addr }

func (m *mosquitto) config() Config {
	return Config{
		Brokers: []string{m.url()}, ClientID: "sluice", Filters: []Subscription{{Filter: "t/#", QoS: 2}},
		BackoffMin: 20 * time.Millisecond, BackoffMax: 200 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// publisher is a plain MQTT client that publishes with the packet codec alone.
type publisher struct {
	t     *testing.T
	nc    net.Conn
	acks  chan struct{}
	mu    sync.Mutex
	ended chan struct{}

	retain bool
}

func newPublisher(t *testing.T, addr string) *publisher {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	p := &publisher{t: t, nc: nc, acks: make(chan struct{}, 1<<16), ended: make(chan struct{})}
	cp := packets.NewControlPacket(packets.CONNECT)
	c := cp.Content.(*packets.Connect)
	c.ClientID, c.CleanStart = fmt.Sprintf("pub%d", rand.Uint64()), true
	p.write(cp)
	ack, err := packets.ReadPacket(nc)
	require.NoError(t, err)
	require.Zero(t, ack.Content.(*packets.Connack).ReasonCode)
	go p.read()
	t.Cleanup(func() { _ = nc.Close(); <-p.ended })
	return p
}

func (p *publisher) write(cp *packets.ControlPacket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = cp.WriteTo(p.nc)
}

func (p *publisher) read() {
	defer close(p.ended)
	for {
		cp, err := packets.ReadPacket(p.nc)
		if err != nil {
			return
		}
		switch c := cp.Content.(type) {
		case *packets.Puback, *packets.Pubcomp:
			p.acks <- struct{}{}
		case *packets.Pubrec:
			rel := packets.NewControlPacket(packets.PUBREL)
			rel.Content.(*packets.Pubrel).PacketID = c.PacketID
			p.write(rel)
		}
	}
}

// publish publishes n messages, numbered per topic, to topics t/0 … and waits
// until the broker has taken them.
func (p *publisher) publish(topics, from, n int, qos byte, size int) {
	waiting := 0
	for i := from; i < from+n; i++ {
		payload := fmt.Appendf(nil, "%d %d", i%topics, i/topics)
		if pad := size - len(payload); pad > 0 {
			payload = append(append(payload, ' '), make([]byte, pad)...)
		}
		m := &packets.Publish{
			Topic: fmt.Sprintf("t/%d", i%topics), Payload: payload, QoS: qos, Retain: p.retain,
			PacketID: uint16(i%60000 + 1), Properties: &packets.Properties{},
		}
		if qos == 0 {
			m.PacketID = 0
		}
		p.write(m.ToControlPacket())
		if qos == 0 {
			continue
		}
		if waiting++; waiting > 500 {
			p.acked()
			waiting--
		}
	}
	for ; waiting > 0; waiting-- {
		p.acked()
	}
}

// acked waits for an acknowledgement, or the end of the test.
func (p *publisher) acked() {
	select {
	case <-p.acks:
	case <-p.ended:
	}
}

// ledger checks what a source hands out: no message of a topic may be missing,
// and first occurrences come in order.
type ledger struct {
	next map[int]int // by topic
	seen int
	dups int
}

func (l *ledger) note(t *testing.T, m *bridge.Message) {
	t.Helper()
	var topic, n int
	_, err := fmt.Sscanf(string(m.Payload[:min(len(m.Payload), 24)]), "%d %d", &topic, &n)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("t/%d", topic), m.Topic)
	switch want := l.next[topic]; {
	case n == want:
		l.next[topic]++
		l.seen++
	case n < want:
		l.dups++
	default:
		t.Fatalf("topic %d: message %d came before %d", topic, n, want)
	}
}

// drain reads until n different messages have been seen. They are settled in
// random order and a little later, as by a sink.
func (l *ledger) drain(t *testing.T, s *Source, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if l.next == nil {
		l.next = map[int]int{}
	}
	batches := make(chan []bridge.Delivery, 100)
	var sink sync.WaitGroup
	defer sink.Wait()
	defer close(batches)
	for range 3 {
		sink.Go(func() {
			for batch := range batches {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
				rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
				for _, d := range batch {
					d.Done(bridge.Stored, nil)
				}
			}
		})
	}
	buf := make([]bridge.Message, 64)
	for l.seen < n {
		k, err := s.Read(ctx, buf)
		require.NoError(t, err, "after %d of %d: %v, %+v", l.seen, n, s.Check(ctx), s.Stats())
		var batch []bridge.Delivery
		for i := range buf[:k] {
			l.note(t, &buf[i])
			batch = append(batch, buf[i].Delivery)
		}
		batches <- batch
	}
}

func TestMosquitto(t *testing.T) {
	m := startMosquitto(t)
	bothPaths(t, func(t *testing.T, disable bool) {
		for qos := range byte(3) {
			t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
				cfg := m.config()
				cfg.DisableFastPath = disable
				cfg.ClientID = t.Name()
				s := open(t, cfg)
				newPublisher(t, m.addr).publish(10, 0, 5000, qos, 100)
				l := ledger{}
				l.drain(t, s, 5000)
				require.Zero(t, l.dups)
				require.NoError(t, s.Close(context.Background()))
				s = open(t, cfg)
				defer s.Close(context.Background())
				newPublisher(t, m.addr).publish(10, 5000, 10, qos, 100)
				l.drain(t, s, 5010)
				require.Zero(t, l.dups, "Close has sent every acknowledgement")
			})
		}
	})
}

// TestMosquittoReceiveMaximum fills the smallest and the largest window; with QoS 2 a
// smaller one, because the broker's time grows with the square of it.
func TestMosquittoReceiveMaximum(t *testing.T) {
	m := startMosquitto(t)
	for qos := byte(1); qos <= 2; qos++ {
		for _, window := range []int{1, 65535} {
			if window > 1 && qos == 2 {
				window = 10_000
			}
			t.Run(fmt.Sprintf("%d/qos%d", window, qos), func(t *testing.T) {
				cfg := m.config()
				cfg.ReceiveMaximum = window
				cfg.ClientID = t.Name()
				s := open(t, cfg)
				defer s.Close(context.Background())
				n := window + 100
				newPublisher(t, m.addr).publish(4, 0, n, qos, 50)
				msgs := readN(t, s, window)
				require.Equal(t, window, s.Stats().Connections[0].InFlight)
				l := ledger{next: map[int]int{}}
				for i := range msgs {
					l.note(t, &msgs[i])
				}
				settle(msgs, nil)
				l.drain(t, s, n)
				require.Zero(t, l.dups)
				require.Zero(t, s.Stats().Overruns)
			})
		}
	}
}

// TestMosquittoBacklog comes back with a small window to many messages under way,
// which this broker sends again all at once and before it confirms the subscription.
func TestMosquittoBacklog(t *testing.T) {
	m := startMosquitto(t)
	cfg := m.config()
	first := open(t, cfg)
	const n = 9_000
	newPublisher(t, m.addr).publish(3, 0, n, 1, 100)
	readN(t, first, n)
	require.NoError(t, first.Close(t.Context()))
	cfg.ReceiveMaximum = 10
	cfg.StartTimeout = time.Minute
	s := open(t, cfg)
	defer s.Close(context.Background())
	require.NoError(t, s.Check(t.Context()))
	var l ledger
	l.drain(t, s, n)
	require.Zero(t, l.dups)
	require.NotZero(t, s.Stats().Overruns)
	require.Zero(t, s.Stats().Reconnects)
}

func TestMosquittoLargePayloads(t *testing.T) {
	m := startMosquitto(t)
	bothPaths(t, func(t *testing.T, disable bool) {
		cfg := m.config()
		cfg.DisableFastPath = disable
		cfg.BufferBytes = 1 << 20
		s := open(t, cfg)
		defer s.Close(context.Background())
		p := newPublisher(t, m.addr)
		var publishing sync.WaitGroup
		defer publishing.Wait()
		publishing.Go(func() { p.publish(3, 0, 200, 1, 256<<10) })
		l := &ledger{}
		l.drain(t, s, 200)
	})
}

// TestMosquittoCuts cuts the connection again and again while messages come in.
func TestMosquittoCuts(t *testing.T) {
	m := startMosquitto(t)
	bothPaths(t, func(t *testing.T, disable bool) {
		for qos := byte(1); qos <= 2; qos++ {
			t.Run(fmt.Sprint("qos", qos), func(t *testing.T) {
				proxy := newCutter(t, m.addr)
				cfg := m.config()
				cfg.Brokers = []string{"mqtt://" + proxy.ln.Addr().String()}
				cfg.DisableFastPath = disable
				cfg.ClientID = t.Name()
				s := open(t, cfg)
				defer s.Close(context.Background())
				const n = 6000
				var publishing sync.WaitGroup
				defer publishing.Wait()
				p := newPublisher(t, m.addr)
				publishing.Go(func() { p.publish(20, 0, n, qos, 200) })
				l := &ledger{}
				for seen := 0; seen < n; seen += 200 + rand.IntN(800) {
					l.drain(t, s, seen)
					proxy.cut()
				}
				l.drain(t, s, n)
				// Duplicates of QoS 2 messages are possible here: when two connections
				// are cut in a row Mosquitto 2.0 publishes again what it had released
				// (PUBREL). TestRandomFaults has none with a correct broker.
				t.Logf("%d reconnects, %d duplicates", s.Stats().Reconnects, l.dups)
			})
		}
	})
}

func TestMosquittoRestarts(t *testing.T) {
	m := startMosquitto(t)
	s := open(t, m.config())
	defer s.Close(context.Background())
	l := &ledger{}
	for i := range 3 {
		newPublisher(t, m.addr).publish(10, i*500, 500, 1, 100)
		l.drain(t, s, i*500+250)
		m.stop()
		m.start()
	}
	l.drain(t, s, 1500)
	require.Zero(t, s.Stats().SessionsLost)
}

// TestMosquittoShared divides the messages between two sources of two connections
// each; one of them is killed with messages under way.
func TestMosquittoShared(t *testing.T) {
	m := startMosquitto(t)
	cfg := m.config()
	cfg.Filters = []Subscription{{Filter: "$share/g/t/#", QoS: 1}}
	cfg.Connections, cfg.ReceiveMaximum = 2, 100
	cfg.ClientID = "a"
	a := open(t, cfg)
	cfg.ClientID = "b"
	b := open(t, cfg)
	defer b.Close(context.Background())
	const n = 4000
	publisher := newPublisher(t, m.addr)
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() { publisher.publish(50, 0, n, 1, 100) })

	var mu sync.Mutex
	seen := map[string]bool{}
	note := func(msgs []bridge.Message) int {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range msgs {
			seen[string(m.Payload)] = true
		}
		return len(seen)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	buf := make([]bridge.Message, 20)
	fromA := 0
	for fromA < 300 {
		k, err := a.Read(ctx, buf)
		require.NoError(t, err)
		fromA += k
		note(buf[:k])
		settle(buf[:k], nil)
	}
	// Killed: what it has read and not settled is nobody's but the broker's.
	_, err := a.Read(ctx, buf)
	require.NoError(t, err)
	for _, l := range a.links {
		l.snapshot().conn.fail(io.ErrClosedPipe)
	}
	require.NoError(t, a.Close(context.Background()))

	// Mosquitto keeps the dead member's messages for its session, so that it
	// has to come back for them: with the same client id.
	cfg.ClientID = "a"
	a = open(t, cfg)
	defer a.Close(context.Background())
	var readers sync.WaitGroup
	done, stop := context.WithCancel(ctx)
	for _, s := range []*Source{a, b} {
		readers.Go(func() {
			buf := make([]bridge.Message, 50)
			for {
				k, err := s.Read(done, buf)
				if err != nil {
					return
				}
				if note(buf[:k]) == n {
					stop()
				}
				settle(buf[:k], nil)
			}
		})
	}
	readers.Wait()
	stop()
	require.Len(t, seen, n)
	require.NotZero(t, b.Stats().Received)
}
