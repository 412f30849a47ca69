//go:build linux

package hostile_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/broker"
)

var quiet = slog.New(slog.DiscardHandler)

// victim is the embedded broker with a pipeline that takes what comes.
type victim struct {
	src  *broker.Source
	good chan struct{}
	open []net.Conn
}

// atBroker attacks the embedded broker and sees to it that a client of good faith
// is served afterwards. The attack is made before and then done.
func atBroker(cfg broker.Config, attack func() (do func(*victim) string)) func() func() string {
	return func() func() string {
		do := attack()
		cfg.Logger = quiet
		if cfg.Listeners == nil {
			cfg.Listeners = []broker.Listener{{URL: "mqtt://127.0.0.1:0"}}
		}
		src, err := broker.New(cfg)
		must(err)
		must(src.Open(context.Background()))
		v := &victim{src: src, good: make(chan struct{}, 1)}
		go v.drain()
		return func() string {
			answer := do(v)
			if failure := v.serves(); failure != "" {
				return "the next client is not served: " + failure
			}
			return answer
		}
	}
}

func (v *victim) drain() {
	msgs := make([]bridge.Message, 256)
	for {
		n, err := v.src.Read(context.Background(), msgs)
		if err != nil {
			return
		}
		for i := range msgs[:n] {
			if msgs[i].Topic == "good" {
				v.good <- struct{}{}
			}
			msgs[i].Delivery.Done(bridge.Stored, nil)
		}
	}
}

func (v *victim) dial() *peer {
	nc, err := net.Dial("tcp", v.src.Addr().String())
	must(err)
	v.open = append(v.open, nc)
	return newPeer(nc)
}

// enter is a client with MQTT 5 that is logged in.
func (v *victim) enter(packet string) *peer {
	p := v.dial()
	p.send(packet)
	p.until(connack)
	return p
}

// serves reports why a client of good faith is not served, if so.
func (v *victim) serves() string {
	var p *peer
	if _, websocket := strings.CutPrefix(v.src.URLs()[0], "ws://"); websocket {
		for _, nc := range v.open { // what they hold counts among others
			_ = nc.Close()
		}
		p = v.dial()
		p.send("GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
			"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
		line, err := p.r.ReadString('\n')
		if err != nil || !strings.Contains(line, "101") {
			return fmt.Sprint(line, err)
		}
		return ""
	}
	p = v.dial()
	p.send(login("good", "good", true) + packet(publish|2, field("good"), number(1), props(), "x"))
	if got := p.until(connack); got != "connack 0x0, session 0" {
		return got
	}
	if got := p.until(puback, disconnect); got != "packet 0x40" {
		return got
	}
	<-v.good
	return ""
}

// brokerRows are attacks of clients on the embedded broker.
func brokerRows() []row {
	b := func(name string, cfg broker.Config, attack func() func(*victim) string, answer string, short bool) row {
		return row{boundary: asBroker, name: name, short: short, answer: answer, memory: 100 << 20, prepare: atBroker(cfg, attack)}
	}
	// one packet after the login
	one := func(name string, text func() string, answer string, short bool) row {
		return b(name, broker.Config{}, func() func(*victim) string {
			data := text()
			return func(v *victim) string {
				p := v.enter(login("c", "", true))
				p.send(data)
				p.send("\xc0\x00")
				return p.until(pingresp, disconnect)
			}
		}, answer, short)
	}
	// a packet many times, up to the end of the connection
	flood := func(name, packets, answer string, short bool) row {
		return b(name, broker.Config{}, func() func(*victim) string {
			return func(v *victim) string {
				p := v.enter(login("c", "", true))
				go p.send(packets + "\xe0\x00")
				return p.ended()
			}
		}, answer, short)
	}
	many := func(name string, n int, first, text func(i int) string, answer string, short bool) row {
		return b(name, broker.Config{}, func() func(*victim) string {
			return func(v *victim) string {
				for i := range n {
					p := v.dial()
					p.send(first(i))
					p.send(text(i))
				}
				return ok
			}
		}, answer, short)
	}
	none := func(int) string { return "" }
	const pong = "packet 0xd0"
	rows := []row{
		many("900 connections that announce a large CONNECT", 900, none, func(int) string { return announced(connect, 1<<20, field("MQTT")+"\x05") }, ok, true),
		many("3,000 connections that announce a large CONNECT", 3000, none, func(int) string { return announced(connect, 60_000, field("MQTT")+"\x05") }, ok, false),
		many("1,000 connections that send much of a CONNECT", 1000, none, func(int) string {
			return announced(connect, 60_000, field("MQTT")+"\x05\x02\x00\x3c\x00"+strings.Repeat("x", 20_000))
		}, ok, false),
		many("1,000 clients that announce a large PUBLISH", 1000, func(i int) string { return login(fmt.Sprint(i), "", true) }, func(int) string { return announced(publish, 1<<20-10, field("t")) }, ok, false),
		many("3,000 clients that come again under one id", 3000, func(int) string { return login("same", "", false) }, none, ok, false),
		many("3,000 sessions of clients that leave", 3000, func(i int) string { return login(fmt.Sprint(i), "", false) }, func(int) string { return packet(disconnect) }, ok, false),
		b("a client id of another user", broker.Config{}, func() func(*victim) string {
			return func(v *victim) string {
				ann := v.enter(login("x", "ann", false))
				ann.send(packet(subscribe, number(1), props(), field("secret"), "\x01"))
				ann.until(suback)
				eve := v.dial()
				eve.send(login("x", "eve", false))
				got := eve.until(connack)
				v.enter(login("pub", "", true)).send(packet(publish, field("secret"), props(), "for ann"))
				return got + "; " + ann.until(publish, disconnect) + "; " + eve.alive()
			}
		}, "connack 0x0, session 0; packet 0x30; ok", true),
		one("a PUBLISH of user properties", func() string { return packet(publish, field("t"), props(userProps(200_000)), "x") }, "disconnect 0x97", true),
		one("a PUBLISH of user properties, QoS 2", func() string { return packet(publish|4, field("t"), number(1), props(userProps(200_000)), "x") }, "disconnect 0x97", false),
		one("a SUBSCRIBE of user properties", func() string { return packet(subscribe, number(1), props(userProps(200_000)), field("t"), "\x01") }, "disconnect 0x97", false),
		one("an UNSUBSCRIBE of user properties", func() string { return packet(unsubscribe, number(1), props(userProps(200_000)), field("t")) }, "disconnect 0x97", false),
		one("a PUBACK of user properties", func() string { return packet(puback, number(1), "\x00", props(userProps(200_000))) }, "disconnect 0x97", false),
		one("a PUBREL of user properties", func() string { return packet(pubrel, number(1), "\x00", props(userProps(200_000))) }, "disconnect 0x97", false),
		one("a DISCONNECT of user properties", func() string { return packet(disconnect, "\x00", props(userProps(200_000))) }, "disconnect 0x97", false),
		one("an AUTH of user properties", func() string { return packet(authPacket, "\x18", props(userProps(200_000))) }, "disconnect 0x97|disconnect 0x82", false),
		one("subscription identifiers without end", func() string {
			return packet(publish, field("t"), props(strings.Repeat("\x0b\x01", 400_000)), "x")
		}, "disconnect 0x8[12]", false),
		one("1 MiB of packets of user properties", func() string {
			return strings.Repeat(packet(publish, field("t"), props(userProps(128)), "x"), 1600)
		}, pong, true),
		one("1 MiB of empty packets", func() string { return strings.Repeat(packet(publish, field("t"), props()), 170_000) }, pong, false),
		flood("1 MiB of pings", strings.Repeat("\xc0\x00", 500_000), "closed", false),
		flood("1 MiB of PUBRELs", strings.Repeat(packet(pubrel, number(7)), 250_000), "closed", false),
		flood("1 MiB of PUBACKs", strings.Repeat(packet(puback, number(7)), 250_000), "closed|disconnect 0x82", false),
		flood("1 MiB of QoS 1 messages of nothing", strings.Repeat(packet(publish|2, field("t"), number(7), props()), 130_000), "closed|disconnect 0x.*", false),
		flood("1 MiB of QoS 2 messages of nothing", strings.Repeat(packet(publish|4, field("t"), number(7), props())+packet(pubrel, number(7)), 85_000), "closed|disconnect 0x.*", false),
		flood("1 MiB of subscriptions that come and go", strings.Repeat(packet(subscribe, number(7), props(), field("a/b")+"\x01")+packet(unsubscribe, number(7), props(), field("a/b")), 45_000), "closed", false),
		flood("1 MiB of subscriptions to one's own messages", strings.Repeat(packet(subscribe, number(7), props(), field("#")+"\x00")+packet(publish, field("t"), props(), "x"), 55_000), "closed", false),
		flood("1 MiB of retained messages of nothing", func() string {
			var text strings.Builder
			for i := range 80_000 {
				text.WriteString(packet(publish|1, field(strconv.Itoa(i)), props(), "x"))
			}
			return text.String()
		}(), "closed", true),
		flood("retained messages that filters search", func() string {
			var text strings.Builder
			for i := range 20_000 {
				text.WriteString(packet(publish|1, field("a/"+strconv.Itoa(i)+"/b"), props(), "x"))
			}
			for range 20_000 {
				text.WriteString(packet(subscribe, number(7), props(), field("+/+/c")+"\x00"))
			}
			return text.String()
		}(), "closed", false),
		flood("retained messages that filters find", func() string {
			var text strings.Builder
			for i := range 20_000 {
				text.WriteString(packet(publish|1, field("a/"+strconv.Itoa(i)+"/b"), props(), "x"))
			}
			for i := range 1000 {
				text.WriteString(packet(subscribe, number(7), props(), field("+/"+strconv.Itoa(i)+"/#")+"\x00"+field("#")+"\x00"))
			}
			return text.String()
		}(), "closed", false),
		// Each message visits each level of each filter, whose levels together are limited.
		flood("many levels and filters that branch", func() string {
			var text strings.Builder
			for i := range 900 {
				filter := ""
				for j := range 30 {
					filter += string("a+"[i>>(j%10)&1]) + "/"
				}
				text.WriteString(packet(subscribe, number(7), props(), field(filter+strconv.Itoa(i))+"\x00"))
			}
			return text.String() + strings.Repeat(packet(publish, field(strings.Repeat("a/", 30)+"x"), props()), 10_000)
		}(), "closed", false),
		flood("1 MiB of aliases", strings.Repeat(packet(publish, field("t"), props("\x23\x00\x01"))+packet(publish, field(""), props("\x23\x00\x01")), 60_000), "closed", false),
		many("200 clients with 1,000 subscriptions each", 200, func(i int) string { return login(fmt.Sprint(i), "", false) }, func() func(int) string {
			var list strings.Builder
			for i := range 1000 {
				list.WriteString(field("+/"+strconv.Itoa(i)) + "\x01")
			}
			p := packet(subscribe, number(1), props(), list.String())
			return func(int) string { return p }
		}(), ok, false),
		one("a topic of 65,000 levels", func() string { return packet(publish, field(strings.Repeat("/", 65_000)), props(), "x") }, "disconnect 0x90", true),
		one("a filter of 65,000 levels", func() string {
			return packet(subscribe, number(1), props(), field(strings.Repeat("+/", 32_000)), "\x01")
		}, pong, false),
		one("filters of many levels", func() string {
			var list strings.Builder
			for i := range 1000 {
				list.WriteString(field(fmt.Sprint(i)+strings.Repeat("/x", 120)) + "\x01")
			}
			return packet(subscribe, number(1), props(), list.String())
		}, pong, false),
		one("the same filter 20,000 times", func() string {
			return packet(subscribe, number(1), props(), strings.Repeat(field("r/#")+"\x01", 20_000))
		}, pong, true),
		one("100,000 filters", func() string {
			var list strings.Builder
			for i := range 100_000 {
				list.WriteString(field(fmt.Sprint("r/", i)) + "\x01")
			}
			return packet(subscribe, number(1), props(), list.String())
		}, pong, true),
		one("an UNSUBSCRIBE of 200,000 filters", func() string {
			return packet(unsubscribe, number(1), props(), strings.Repeat(field("r"), 200_000))
		}, pong, false),
		one("an empty topic without an alias", func() string { return packet(publish|2, field(""), number(1), props(), "x") }, "disconnect 0x82", true),
		one("an alias beyond the limit", func() string {
			return packet(publish|2, field("t"), number(1), props("\x23\xff\xff"), "x")
		}, "disconnect 0x94", false),
		one("an alias that was not set", func() string {
			return packet(publish|2, field(""), number(1), props("\x23\x00\x01"), "x")
		}, "disconnect 0x(82|94)", false),
		one("a packet beyond the limit", func() string { return announced(publish, 200<<20, field("t")) }, "disconnect 0x95", false),
		one("a length of five bytes", lit("\x30\xff\xff\xff\xff\x01"), "disconnect 0x81|closed", false),
		one("1,000 retained messages of 1 KB for 900 filters", func() string {
			var text strings.Builder
			for i := range 1000 {
				text.WriteString(packet(publish|1, field(fmt.Sprint("r/", i)), props(), strings.Repeat("x", 1000)))
			}
			for i := range 900 {
				text.WriteString(packet(subscribe, number(i+1), props(), field("r/#")+"\x00"+field(fmt.Sprint("r/+/", i))+"\x00"))
			}
			return text.String()
		}, pong, false),
		one("overlapping filters and large messages for oneself", func() string {
			var text strings.Builder
			for i := range 100 {
				filter := []string{"#", "+/#", "+/+/#", "a/#", "a/+/#", "a/b/#"}[i%6]
				text.WriteString(packet(subscribe, number(i+1), props(), field(filter)+"\x01"))
			}
			return text.String() + strings.Repeat(packet(publish, field("a/b/c"), props(), strings.Repeat("x", 100_000)), 10)
		}, pong, false),
		b("65,535 QoS 2 messages of an old client", broker.Config{}, func() func(*victim) string {
			var text strings.Builder
			for i := range 65_535 {
				text.WriteString(packet(publish|4, field("t"), number(i+1), "x"))
			}
			return func(v *victim) string {
				p := v.enter(oldLogin("c"))
				go p.send(text.String())
				return p.ended()
			}
		}, "closed", false),
	}
	return append(rows, brokerLoginRows(b)...)
}

// brokerLoginRows are attacks before the login.
func brokerLoginRows(b func(string, broker.Config, func() func(*victim) string, string, bool) row) []row {
	first := func(name, text, answer string, short bool) row {
		return b(name, broker.Config{}, func() func(*victim) string {
			return func(v *victim) string {
				p := v.dial()
				p.send(text)
				return p.until(connack)
			}
		}, answer, short)
	}
	will := func(topic, payload, properties string) string {
		return packet(connect, field("MQTT"), "\x05\x06", number(60), props(), field("c"), properties, field(topic), field(payload))
	}
	upgrade := func(head string) func() func(*victim) string {
		return func() func(*victim) string {
			return func(v *victim) string {
				var p *peer
				for range 500 {
					p = v.dial()
					p.send(head)
				}
				answer, _ := io.ReadAll(io.LimitReader(p.r, 12))
				return string(answer)
			}
		}
	}
	websocket := broker.Config{Listeners: []broker.Listener{{URL: "ws://127.0.0.1:0/mqtt"}}, Limits: broker.Limits{Clients: 600}}
	frames := func(frame string, n int) func() func(*victim) string {
		return func() func(*victim) string {
			data := "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
				"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n" + strings.Repeat(frame, n)
			return func(v *victim) string {
				for range 20 {
					p := v.dial()
					go func() { _, _ = io.Copy(io.Discard, p.r) }()
					p.send(data)
				}
				return ok
			}
		}
	}
	// Users of the file are checked, good has no hash that takes long.
	guesses := func(n int, hash string) func() func(*victim) string {
		data := packet(connect, field("MQTT"), "\x05\xc2", number(60), props(), field("c"), field("ann"), field("guess"))
		return func() func(*victim) string {
			list := users(hash)
			return func(v *victim) string {
				known.Store(list)
				var p *peer
				for range n {
					p = v.dial()
					p.send(data)
				}
				return p.until(connack)
			}
		}
	}
	return []row{
		first("a CONNECT of an unknown version", packet(connect, field("MQTT"), "\x07\x02", number(60), field("c")), "connack 0x1, session 0|closed", true),
		first("a CONNECT of user properties", packet(connect, field("MQTT"), "\x05\x02", number(60), props(userProps(12_000)), field("c")), "closed|connack 0x.*", true),
		first("a will of user properties", will("w", "", props(userProps(12_000))), "closed|connack 0x.*", false),
		first("a will with wildcards", will("a/#", "", props()), "connack 0x90, session 0", true),
		first("a will of many levels", will(strings.Repeat("/", 60_000), "", props()), "closed|connack 0x90, session 0", false),
		first("a client id of 64 KB", packet(connect, field("MQTT"), "\x05\x02", number(60), props(), field(strings.Repeat("c", 65_000))), "closed|connack 0x.*", false),
		first("properties that announce more than there is", packet(connect, field("MQTT"), "\x05\x02", number(60), "\xff\xff\xff\x7f", field("c")), "closed|connack 0x.*", false),
		first("TLS where there is none", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "closed", false),
		b("500 plain HTTP connections that stay", websocket, upgrade("GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"), "HTTP/1.1 4.*", true),
		b("500 headers without end", websocket, upgrade("GET /mqtt HTTP/1.1\r\n"+strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 20)), ".*", false),
		b("WebSocket frames of 2^63 bytes", websocket, frames("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x10", 1), ok, true),
		b("WebSocket frames of nothing", websocket, frames("\x00\x80\x00\x00\x00\x00", 100_000), ok, false),
		b("WebSocket pings", websocket, frames("\x89\xfd\x00\x00\x00\x00"+strings.Repeat("x", 125), 2000), ok, false),
		b("1,000 wrong passwords", broker.Config{Authenticate: loginsOf}, guesses(1000, mosquittoHash), "connack 0x8[67], session 0|closed", false),
		slow(b("20 wrong passwords with bcrypt", broker.Config{Authenticate: loginsOf}, guesses(20, bcryptHash), "connack 0x8[67], session 0|closed", false)),
		b("TLS handshakes that do not go on", twoListeners(), func() func(*victim) string {
			return func(v *victim) string {
				addr := strings.TrimPrefix(v.src.URLs()[1], "mqtts://")
				for range 900 {
					nc, err := net.Dial("tcp", addr)
					must(err)
					v.open = append(v.open, nc)
					_, _ = io.WriteString(nc, "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc")
				}
				return ok
			}
		}, ok, false),
	}
}

// twoListeners is a broker with TLS beside the one without.
func twoListeners() broker.Config {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	return broker.Config{Listeners: []broker.Listener{
		{URL: "mqtt://127.0.0.1:0"}, {URL: "mqtts://127.0.0.1:0", TLS: &tls.Config{Certificates: srv.TLS.Certificates}},
	}}
}

// Hashes of passwords; the second takes some 50 ms by its design, for half of the
// cores at most.
const (
	mosquittoHash = "$7$101$c29tZXNhbHRzb21lc2FsdA==$QRSAXjht8tSxqkC4T+mgk1pO57CJ9/gyJGhY7tuDeu7AtmWgxhiCplM/gYMawWTjhDPQRptIkt3melwyBn6VYA=="
	bcryptHash    = "$2a$10$JklruSav966RhOyvDBfM6eMeXPweDXW.K9/kUUQVoh3zRNvUpH.fq"
)

// slow allows a row ten seconds.
func slow(r row) row {
	r.cpu = 10 * time.Second
	return r
}

// known are the users of the attacks on passwords.
var known atomic.Pointer[broker.Users]

// loginsOf lets good in and asks known for others.
func loginsOf(ctx context.Context, l broker.Login) error {
	if list := known.Load(); list != nil && l.Username != "good" {
		return list.Authenticate(ctx, l)
	}
	return nil
}

// users knows the user ann.
func users(hash string) *broker.Users {
	dir, err := os.MkdirTemp("", "hostile")
	must(err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "users")
	must(os.WriteFile(path, []byte("ann:"+hash+"\n"), 0o600))
	list, err := broker.LoadUsers(path)
	must(err)
	return list
}
