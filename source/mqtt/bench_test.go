package mqtt

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/sluiceio/sluice/bridge"
)

// pump is a broker stand-in that sends pre-encoded packets as fast as the window
// allows, so that what is measured is the client.
type pump struct {
	ln     net.Listener
	window int
	total  int
	failed chan error
}

const pumpPayload = 200

// encodedPublishes returns window QoS 1 packets with the identifiers 1 to window,
// and the length of each.
func encodedPublishes(window int) ([]byte, int) {
	var out []byte
	size := 0
	for i := range window {
		body := []byte{0, 16}
		body = fmt.Appendf(body, "bench/device%04d", i%1000)
		body = append(body, byte((i+1)>>8), byte(i+1), 0)
		body = append(body, make([]byte, pumpPayload)...)
		out = append(out, 0x32, byte(len(body)&0x7f|0x80), byte(len(body)>>7))
		out = append(out, body...)
		size = 3 + len(body)
	}
	return out, size
}

func startPump(tb testing.TB, window, total int) *pump {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &pump{ln: ln, window: window, total: total, failed: make(chan error, 1)}
	go func() { p.failed <- p.serve() }()
	tb.Cleanup(func() {
		_ = ln.Close()
		<-p.failed
	})
	return p
}

func (p *pump) serve() error {
	nc, err := p.ln.Accept()
	if err != nil {
		return err
	}
	defer nc.Close()
	if _, err := packets.ReadPacket(nc); err != nil {
		return err
	}
	_, _ = nc.Write([]byte{0x20, 3, 0, 0, 0})
	var id uint16
	for id == 0 {
		cp, err := packets.ReadPacket(nc)
		if err != nil {
			return err
		}
		if sub, ok := cp.Content.(*packets.Subscribe); ok { // and not PINGREQ
			id = sub.PacketID
		}
	}
	_, _ = nc.Write([]byte{0x90, 4, byte(id >> 8), byte(id), 0, 1})

	acks := make(chan int, 1024)
	go func() {
		defer close(acks)
		r := bufio.NewReaderSize(nc, 64<<10)
		for {
			n, err := countAcks(r)
			if err != nil {
				return
			}
			acks <- n
		}
	}()
	all, size := encodedPublishes(p.window)
	next, free := 0, p.window
	for sent := 0; sent < p.total; {
		for free == 0 {
			n, ok := <-acks
			if !ok {
				return io.ErrUnexpectedEOF
			}
			free += n
		}
		n := min(free, p.window-next, p.total-sent)
		if _, err := nc.Write(all[next*size : (next+n)*size]); err != nil {
			return err
		}
		sent, free, next = sent+n, free-n, (next+n)%p.window
		for drained := false; !drained; {
			select {
			case n := <-acks:
				free += n
			default:
				drained = true
			}
		}
	}
	for range acks {
	}
	return nil
}

// countAcks reads at least one packet and returns how many PUBACKs there were.
func countAcks(r *bufio.Reader) (int, error) {
	n := 0
	for {
		head, err := r.Peek(2)
		if err != nil {
			return n, err
		}
		switch head[0] >> 4 {
		case packets.PUBACK:
			n++
		case packets.DISCONNECT:
			return n, io.EOF
		}
		if _, err := r.Discard(2 + int(head[1])); err != nil {
			return n, err
		}
		if r.Buffered() < 4 && n > 0 {
			return n, nil
		}
	}
}

// cpuTime is the CPU time of this process.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkQoS1 reads and acknowledges 200-byte QoS 1 messages with a window of
// 10,000; batches of 500 are settled 30 ms after they were read, as with Kinesis.
// CPU-ns/msg contains the stand-in's own, which BenchmarkPumpAlone shows.
func BenchmarkQoS1(b *testing.B) {
	for _, name := range []string{"fast", "paho", "autopaho"} {
		b.Run(name, func(b *testing.B) {
			p := startPump(b, 10_000, b.N)
			b.ReportAllocs()
			cpu := cpuTime()
			b.ResetTimer()
			if name == "autopaho" {
				benchAutopaho(b, p)
			} else {
				benchSource(b, p, name == "paho")
			}
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "CPU-ns/msg")
		})
	}
}

const settleAfter = 30 * time.Millisecond

func benchSource(b *testing.B, p *pump, disable bool) {
	s, err := New(Config{
		Brokers: []string{"mqtt://" + p.ln.Addr().String()}, ClientID: "bench", ReceiveMaximum: p.window,
		Filters: []Subscription{{Filter: "bench/#", QoS: 1}}, DisableFastPath: disable,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer s.Close(context.Background())
	settled := make(chan int, 1024)
	buf := make([]bridge.Message, 500)
	batch := make([]bridge.Delivery, 0, 500)
	send := func() {
		full := batch
		batch = make([]bridge.Delivery, 0, 500)
		time.AfterFunc(settleAfter, func() {
			for _, d := range full {
				d.Done(bridge.Stored, nil)
			}
			settled <- len(full)
		})
	}
	pending := 0
	for read := 0; read < b.N; {
		n, err := s.Read(b.Context(), buf)
		if err != nil {
			b.Fatal(err)
		}
		read += n
		for i := range buf[:n] {
			if batch = append(batch, buf[i].Delivery); len(batch) == cap(batch) {
				send()
				pending++
			}
		}
		if len(batch) > 0 && read == b.N {
			send()
			pending++
		}
	}
	for range pending {
		<-settled
	}
}

func benchAutopaho(b *testing.B, p *pump) {
	u, _ := url.Parse("mqtt://" + p.ln.Addr().String())
	got := make(chan paho.PublishReceived, 1024)
	window := uint16(p.window)
	cm, err := autopaho.NewConnection(b.Context(), autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, KeepAlive: 30,
		OnConnectionUp: func(cm *autopaho.ConnectionManager, _ *paho.Connack) {
			go cm.Subscribe(b.Context(), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: "bench/#", QoS: 1}}})
		},
		ConnectPacketBuilder: func(cp *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			cp.Properties = &paho.ConnectProperties{ReceiveMaximum: &window}
			return cp, nil
		},
		ClientConfig: paho.ClientConfig{
			ClientID: "bench", EnableManualAcknowledgment: true,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){
				func(p paho.PublishReceived) (bool, error) { got <- p; return true, nil },
			},
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer cm.Disconnect(context.Background())
	settled := make(chan struct{}, 1024)
	var batch []paho.PublishReceived
	pending := 0
	for read := 0; read < b.N; {
		batch = append(batch, <-got)
		read++
		if len(batch) == 500 || read == b.N {
			full := batch
			batch = make([]paho.PublishReceived, 0, 500)
			pending++
			time.AfterFunc(settleAfter, func() {
				for _, p := range full {
					_ = p.Client.Ack(p.Packet)
				}
				settled <- struct{}{}
			})
		}
	}
	for range pending {
		<-settled
	}
}

// BenchmarkPumpAlone is what the stand-in costs: a client that reads everything
// and answers with prepared acknowledgements.
func BenchmarkPumpAlone(b *testing.B) {
	const window = 10_000
	p := startPump(b, window, b.N)
	nc, err := net.Dial("tcp", p.ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	cp := packets.NewControlPacket(packets.CONNECT)
	_, _ = cp.WriteTo(nc)
	_, _ = packets.ReadPacket(nc)
	sub := &packets.Subscribe{PacketID: 1, Properties: &packets.Properties{}, Subscriptions: []packets.SubOptions{{Topic: "#", QoS: 1}}}
	_, _ = sub.WriteTo(nc)
	_, _ = packets.ReadPacket(nc)
	_, size := encodedPublishes(1)
	buf := make([]byte, 64<<10)
	ack := make([]byte, 0, 64<<10)
	cpu := cpuTime()
	b.ResetTimer()
	for have, sent := 0, 0; sent < b.N; {
		n, err := nc.Read(buf)
		if err != nil {
			b.Fatal(err)
		}
		have += n
		ack = ack[:0]
		for ; sent < have/size; sent++ {
			ack = append(ack, 0x40, 2, 0, 1)
		}
		_, _ = nc.Write(ack)
	}
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "CPU-ns/msg")
}
