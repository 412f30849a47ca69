//go:build linux

package hostile_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/mqtt"
)

// atSource has a broker do to the MQTT source what it likes, once or twice, and
// then be one of good faith. The answer is what the source says of the first.
func atSource(scheme string, attack func(*peer)) func() func() string {
	return func() func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		var good atomic.Bool
		go func() {
			for {
				nc, err := l.Accept()
				must(err)
				go func() {
					defer nc.Close()
					if good.Load() {
						goodBroker(newPeer(nc))
						return
					}
					attack(newPeer(nc))
				}()
			}
		}()
		src, err := mqtt.New(mqtt.Config{
			Brokers: []string{scheme + "://" + l.Addr().String()}, ClientID: "c", Filters: []mqtt.Subscription{{Filter: "#", QoS: 1}},
			BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond, ConnectTimeout: 3 * time.Second, Logger: quiet, ProtocolVersion: 5,
		})
		must(err)
		return func() string {
			ctx := context.Background()
			if err := src.Open(ctx); err != nil {
				return err.Error()
			}
			came := make(chan struct{}, 1)
			go func() {
				msgs := make([]bridge.Message, 64)
				for {
					n, err := src.Read(ctx, msgs)
					must(err)
					for i := range msgs[:n] {
						msgs[i].Delivery.Done(bridge.Stored, nil)
						if msgs[i].Topic == "good" {
							came <- struct{}{}
						}
					}
				}
			}()
			said := ""
			for end := time.Now().Add(6 * time.Second); said == "" && time.Now().Before(end); time.Sleep(time.Millisecond) {
				if err := src.Stats().Connections[0].LastError; err != nil {
					said = err.Error()
				}
			}
			good.Store(true)
			if scheme != "mqtt" { // good is a broker without WebSocket
				return said
			}
			select {
			case <-came:
				return said
			case <-time.After(patience / 2):
				return "the next message does not come: " + fmt.Sprint(src.Stats().Connections)
			}
		}
	}
}

// accept reads a CONNECT and a SUBSCRIBE packet and answers them.
func (p *peer) accept() bool {
	if p.until(connect) == "closed" {
		return false
	}
	p.send(packet(connack, "\x00\x00", props()))
	for {
		first, body, err := p.next()
		if err != nil {
			return false
		}
		if first == subscribe {
			p.send(packet(suback, string(body[:2]), props(), "\x01"))
			return true
		}
	}
}

// goodBroker sends a message until the other end has had enough.
func goodBroker(p *peer) {
	if !p.accept() {
		return
	}
	p.send(packet(publish|2, field("good"), number(1), props(), "x"))
	for p.alive() != "closed" {
		time.Sleep(10 * time.Millisecond)
	}
}

// clientRows are brokers that mean harm.
func clientRows() []row {
	c := func(name, scheme string, attack func(*peer), answer string, short bool) row {
		return row{boundary: asClient, name: name, short: short, answer: answer, memory: 100 << 20, prepare: atSource(scheme, attack)}
	}
	// after the subscription
	then := func(name, text, answer string, short bool) row {
		return c(name, "mqtt", func(p *peer) {
			if p.accept() {
				p.send(text + "\x30\xff\xff\xff\xff\x01") // which ends the connection if text does not
				p.ended()
			}
		}, answer, short)
	}
	// instead of the answer to CONNECT
	instead := func(name, text, answer string, short bool) row {
		return c(name, "mqtt", func(p *peer) {
			p.until(connect)
			p.send(text)
			p.ended()
		}, answer, short)
	}
	forever := func(head, part string) func(*peer) {
		return func(p *peer) {
			p.send(head)
			more := []byte(strings.Repeat(part, max(1, 64<<10/len(part))))
			for range 1 << 14 { // 1 GiB
				if _, err := p.nc.Write(more); err != nil {
					return
				}
			}
		}
	}
	const some = "mqtt: broker .*"
	upgraded := "HTTP/1.1 101 Switching Protocols\r\n"
	return []row{
		then("a PUBLISH of user properties", packet(publish, field("t"), props(userProps(200_000)), "x"), some, true),
		then("many PUBLISHes of user properties", strings.Repeat(packet(publish, field("t"), props(userProps(2000)), "x"), 100), some, true),
		then("QoS 1 beyond the window", func() string {
			var text strings.Builder
			for i := range 65_535 {
				text.WriteString(packet(publish|2, field("t"), number(i+1), props(), "x"))
			}
			return text.String()
		}(), some, false),
		then("1 MiB of QoS 0 messages of nothing", strings.Repeat(packet(publish, field("t"), props()), 170_000), some, false),
		c("a PUBLISH that announces 256 MiB", "mqtt", func(p *peer) {
			if p.accept() {
				p.send(announced(publish, 268_435_400, field("t")) + strings.Repeat("x", 100_000))
			}
		}, some, false),
		then("a length of five bytes", "\x30\xff\xff\xff\xff\x01", some, false),
		then("an empty topic", packet(publish|2, field(""), number(1), props(), "x"), ".*must not be empty.*", true),
		then("an alias that nobody allowed", packet(publish|2, field(""), number(1), props("\x23\x00\x01"), "x"), ".*alias.*", true),
		then("wildcards in a topic", packet(publish|2, field("a/#"), number(1), props(), "x"), ".*wildcard.*", false),
		then("a topic that is not UTF-8", packet(publish|2, field("\xff\xfe"), number(1), props(), "x"), ".*UTF-8.*", false),
		then("a reason of 60 KB", packet(disconnect, "\x8b", props("\x1f"+field(strings.Repeat("x", 60_000)))), ".*shutting down.*", true),
		then("a server reference of 60 KB", packet(disconnect, "\x9c", props("\x1c"+field(strings.Repeat("evil ", 12_000)))), some, false),
		then("a DISCONNECT of user properties", packet(disconnect, "\x8b", props(userProps(200_000))), some, false),
		then("1 MiB of PUBRELs", strings.Repeat(packet(pubrel, number(7)), 250_000), some, false),
		then("1 MiB of PUBACKs", strings.Repeat(packet(puback, number(7)), 250_000), some, false),
		then("1 MiB of PINGRESPs", strings.Repeat("\xd0\x00", 500_000), some, false),
		then("a SUBACK of 200,000 reasons", packet(suback, number(1), props(), strings.Repeat("\x00", 200_000)), some, false),
		then("an AUTH of user properties", packet(authPacket, "\x18", props(userProps(200_000))), some, false),
		instead("a CONNACK of user properties", packet(connack, "\x00\x00", props(userProps(200_000))), some, true),
		instead("a CONNACK that announces 256 MiB", announced(connack, 268_435_400, "\x00\x00"), some, false),
		instead("a refusal with a reason of 60 KB", packet(connack, "\x00\x87", props("\x1f"+field(strings.Repeat("x", 60_000)))), some, true),
		instead("a CONNACK with limits of zero", packet(connack, "\x00\x00", props("\x21\x00\x00\x27\x00\x00\x00\x00")), some, false),
		instead("HTTP", "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat("x", 100_000), ".*HTTP.*", false),
		c("noise without end", "mqtt", forever("", "\x00\xff\xaa"), some, false),
		c("a CONNACK without end", "mqtt", forever(announced(connack, 268_435_400, "\x00\x00"), "\x26\x00\x00\x00\x00"), some, false),
		c("connections that end at once", "mqtt", func(*peer) {}, some, false),
		c("a WebSocket header without end", "ws", forever(upgraded, "X: "+strings.Repeat("x", 1000)+"\r\n"), some, true),
		c("a WebSocket status without end", "ws", forever("HTTP/1.1 101 ", "x"), some, false),
		c("a WebSocket answer without end", "ws", forever("HTTP/1.1 404 Not Found\r\nContent-Length: 99999999999\r\n\r\n", "x"), some, false),
		c("a WebSocket answer in chunks", "ws", forever("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), some, false),
	}
}
