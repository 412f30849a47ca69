package broker_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/stretchr/testify/require"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

// TestNothingIsLostWhenConnectionsAreCut: devices send their messages with QoS 1
// and 2, are cut off at random, come back and send again what was not
// acknowledged, while messages are settled late and out of order. All arrive,
// first ones in order, and none of QoS 2 twice.
func TestNothingIsLostWhenConnectionsAreCut(t *testing.T) {
	t.Parallel()
	const devices, messages, window = 8, 200, 10
	src := open(t, broker.Config{QueueMessages: 50})

	var got [devices]map[int]int // message → how often
	var next [devices]int
	for d := range got {
		got[d] = make(map[int]int)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		late := make([]bridge.Delivery, 0, 40)
		buf := make([]bridge.Message, 20)
		settle := func() {
			rand.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
			for _, d := range late {
				d.Done(nil)
			}
			late = late[:0]
		}
		for {
			n := readFor(src, buf, 2*time.Millisecond)
			for _, m := range buf[:n] {
				var d, i int
				_, err := fmt.Sscanf(string(m.Payload), "%d %d", &d, &i)
				if err != nil || i > next[d] || m.ClientID != fmt.Sprint("dev-", d) {
					t.Errorf("%s: got %q, expected number %d", m.ClientID, m.Payload, next[d])
					return
				}
				next[d] = max(next[d], i+1)
				got[d][i]++
				late = append(late, m.Delivery)
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
	}()

	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			(&device{t: t, src: src, number: d, qos: byte(1 + d%2), messages: messages, window: window}).run()
		})
	}
	wg.Wait()
	close(stop)
	<-stopped
	for d := range got {
		require.Len(t, got[d], messages, "device %d", d)
		for i, times := range got[d] {
			require.True(t, times == 1 || d%2 == 0, "device %d: message %d with QoS 2 came %d times", d, i, times)
		}
	}
}

// device sends its messages with a persistent session, cutting its connection at
// random.
type device struct {
	t                *testing.T
	src              *broker.Source
	number           int
	qos              byte
	messages, window int

	acked    int          // messages below it are done
	pubrecs  map[int]bool // QoS 2: messages from acked on that are received
	finished map[int]bool
}

func (d *device) run() {
	d.pubrecs, d.finished = map[int]bool{}, map[int]bool{}
	for d.acked < d.messages {
		r := connectRaw(d.t, d.src, fmt.Sprint("dev-", d.number), false)
		d.talk(r, 5+rand.IntN(100))
		r.drop()
	}
}

// id is the packet identifier of a message; it is free again long before it is
// used again.
func id(message int) uint16 { return uint16(message%100 + 1) }

// talk sends and receives that many packets at most.
func (d *device) talk(r *raw, budget int) {
	sent := d.acked
	message := func(id uint16) int {
		for i := d.acked; ; i++ {
			if uint16(i%100+1) == id {
				return i
			}
		}
	}
	for ; budget > 0 && d.acked < d.messages; budget-- {
		if sent < min(d.acked+d.window, d.messages) {
			switch i := sent; {
			case d.finished[i]:
			case d.pubrecs[i]:
				r.send(&packets.Pubrel{PacketID: id(i), Properties: &packets.Properties{}})
			default:
				r.publish(id(i), d.qos, fmt.Sprintf("%d %d", d.number, i))
			}
			sent++
			continue
		}
		switch p := r.next().Content.(type) {
		case *packets.Puback:
			d.finished[message(p.PacketID)] = true
		case *packets.Pubrec:
			d.pubrecs[message(p.PacketID)] = true
			r.send(&packets.Pubrel{PacketID: p.PacketID, Properties: &packets.Properties{}})
		case *packets.Pubcomp:
			d.finished[message(p.PacketID)] = true
		}
		for d.finished[d.acked] {
			d.acked++
		}
	}
}
