package broker_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// device sends numbered messages with a persistent session, cuts its connection at
// random, and connects again whenever it is lost.
type device struct {
	addr             string
	number           int
	qos              byte
	messages, window int
	lifetime         func() int // packets that a connection sees before it is cut

	acked    int          // messages below it are done
	pubrecs  map[int]bool // QoS 2: messages from acked on that are received
	finished map[int]bool

	nc net.Conn
	r  *bufio.Reader
}

func (d *device) id() string { return fmt.Sprint("dev-", d.number) }

// run returns when all messages are acknowledged, or the time is over.
func (d *device) run() error {
	d.pubrecs, d.finished = map[int]bool{}, map[int]bool{}
	end := time.Now().Add(3 * patience)
	for d.acked < d.messages {
		err := d.connect()
		if err == nil {
			err = d.talk(d.lifetime())
		}
		if d.nc != nil {
			_ = d.nc.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: %d of %d messages acknowledged: %w", d.id(), d.acked, d.messages, err)
		}
	}
	return nil
}

func (d *device) connect() (err error) {
	if d.nc, err = net.Dial("tcp", d.addr); err != nil {
		return err
	}
	d.r = bufio.NewReader(d.nc)
	if err := d.send(connectPacket(d.id(), false)); err != nil {
		return err
	}
	p, err := d.next()
	if err == nil && p.Type != packets.CONNACK {
		err = fmt.Errorf("got %v", p)
	}
	return err
}

func (d *device) send(p packets.Packet) error {
	_, err := p.WriteTo(d.nc)
	return err
}

func (d *device) next() (*packets.ControlPacket, error) {
	if err := d.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return packets.ReadPacket(d.r)
}

// packetID is the packet identifier of a message; it is free again long before it
// is used again.
func packetID(message int) uint16 { return uint16(message%100 + 1) }

func (d *device) message(id uint16) int {
	for i := d.acked; ; i++ {
		if packetID(i) == id {
			return i
		}
	}
}

// talk sends and receives that many packets at most.
func (d *device) talk(budget int) error {
	sent := d.acked
	for ; budget > 0 && d.acked < d.messages; budget-- {
		if sent < min(d.acked+d.window, d.messages) {
			if err := d.publish(sent); err != nil {
				return err
			}
			sent++
			continue
		}
		p, err := d.next()
		if err != nil {
			return err
		}
		switch p := p.Content.(type) {
		case *packets.Puback:
			d.finished[d.message(p.PacketID)] = true
		case *packets.Pubrec:
			d.pubrecs[d.message(p.PacketID)] = true
			if err := d.send(&packets.Pubrel{PacketID: p.PacketID, Properties: &packets.Properties{}}); err != nil {
				return err
			}
		case *packets.Pubcomp:
			d.finished[d.message(p.PacketID)] = true
		}
		for d.finished[d.acked] {
			d.acked++
		}
	}
	return nil
}

// publish sends a message as far as it is not done.
func (d *device) publish(i int) error {
	switch {
	case d.finished[i]:
		return nil
	case d.pubrecs[i]:
		return d.send(&packets.Pubrel{PacketID: packetID(i), Properties: &packets.Properties{}})
	default:
		return d.send(&packets.Publish{
			Topic: "t", PacketID: packetID(i), QoS: d.qos, Duplicate: d.qos > 0 && i < d.acked,
			Payload: fmt.Appendf(nil, "%d %d", d.number, i), Properties: &packets.Properties{},
		})
	}
}

// ledger is what arrived from devices and was settled.
type ledger struct {
	t    *testing.T
	next []int         // by device: first message that has not come
	got  []map[int]int // by device: message → how often it was settled
}

func newLedger(t *testing.T, devices int) *ledger {
	l := &ledger{t: t, next: make([]int, devices), got: make([]map[int]int, devices)}
	for d := range l.got {
		l.got[d] = make(map[int]int)
	}
	return l
}

// keep reads src and settles late and out of order what comes, until stop is
// closed.
func (l *ledger) keep(src *broker.Source, stop <-chan struct{}) {
	type entry struct{ device, message int }
	late := make(map[bridge.Delivery]entry)
	buf := make([]bridge.Message, 20)
	settle := func() {
		for d, e := range late { // in random order
			l.got[e.device][e.message]++
			d.Done(bridge.Stored, nil)
		}
		clear(late)
	}
	for {
		n := readFor(src, buf, 2*time.Millisecond)
		for _, m := range buf[:n] {
			var e entry
			_, err := fmt.Sscanf(string(m.Payload), "%d %d", &e.device, &e.message)
			if err != nil || e.message > l.next[e.device] || m.ClientID != fmt.Sprint("dev-", e.device) {
				l.t.Errorf("%s: got %q, expected number %d", m.ClientID, m.Payload, l.next[e.device])
				return
			}
			l.next[e.device] = max(l.next[e.device], e.message+1)
			late[m.Delivery] = e
		}
		if n == 0 || len(late) >= 30 {
			settle()
		}
		select {
		case <-stop:
			settle()
			return
		default:
		}
	}
}

// check fails the test if a message is missing, or one of QoS 2 was settled twice.
func (l *ledger) check(messages int, qos func(device int) byte) {
	l.t.Helper()
	for d := range l.got {
		if len(l.got[d]) != messages {
			l.t.Errorf("device %d: %d of %d messages", d, len(l.got[d]), messages)
		}
		for i, times := range l.got[d] {
			if times != 1 && qos(d) == 2 {
				l.t.Errorf("device %d: message %d with QoS 2 was settled %d times", d, i, times)
			}
		}
	}
}

func atRandom(low, high int) func() int { return func() int { return low + rand.IntN(high-low) } }
