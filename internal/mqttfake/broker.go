package mqttfake

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// Options script a Broker. The zero value is a well-behaved broker.
type Options struct {
	// Authenticate takes a step of an enhanced authentication with the data
	// that the client sent: it returns the data to send and the reason code
	// 0x18 to go on, 0 when it is content, or 0x80 and above to refuse. Nil
	// ignores authentication methods.
	Authenticate func(clientID string, data []byte) (answer []byte, code byte)
	// Connect answers CONNECT; nil accepts. The broker sets SessionPresent.
	Connect func(*packets.Connect) *packets.Connack
	// Copies sends a message once for each subscription of a session that matches, with
	// its identifier and its quality of service, as MQTT allows. Else it is sent once,
	// with the identifier of one of them.
	Copies bool
	// Hook is asked about every packet after CONNACK, in either direction.
	Hook func(Event) Action
	// IgnoreWindow sends more than the client's receive maximum.
	IgnoreWindow bool
	// MaxInflight limits the receive maximum of clients; 0 means no limit.
	MaxInflight int
	// OnlyV3 refuses MQTT 5, as a broker that knows MQTT 3.1.1 only. Without it the
	// broker speaks both.
	OnlyV3 bool
	// Unsuback returns the reason code for giving up a subscription; nil grants
	// it.
	Unsuback func(filter string) byte
	// Suback returns the reason code for a subscription; nil grants what is
	// asked for.
	Suback func(filter string, qos byte) byte
}

// Event is a packet that the broker is about to send or has received.
type Event struct {
	ClientID string
	FromPeer bool // received, not sent
	N        int  // number of the packet in that direction on its connection, from 1
	Packet   *packets.ControlPacket
}

// Action is what to do with a packet. Delay comes first, then Raw is sent, then
// the packet is handled unless it is to be skipped.
type Action struct {
	Delay  time.Duration
	Raw    []byte           // sent before the packet
	Then   *packets.Publish // sent after the packet, if that is sent
	Skip   bool             // not sent, or ignored
	Twice  bool             // sent, or handled, twice
	Cut    bool             // the connection is closed instead
	Freeze bool             // the connection stays open, but nothing is read or sent any more
}

// Message is a message to be published.
type Message struct {
	Topic   string
	Payload []byte
	QoS     byte
	Retain  bool
	Props   *packets.Properties
}

// Broker is a scripted broker.
type Broker struct {
	opts Options

	mu       sync.Mutex
	sessions map[string]*session
	conns    map[*conn]struct{}
	rounds   map[string]int // of shared subscriptions
	faults   []string
	ends     []net.Listener
	closed   bool
	work     sync.WaitGroup
	acked    int
	connects int
}

// New returns a broker.
func New(opts Options) *Broker {
	return &Broker{opts: opts, sessions: map[string]*session{}, conns: map[*conn]struct{}{}, rounds: map[string]int{}}
}

// Listen serves a TCP port of 127.0.0.1 and returns its address.
func (b *Broker) Listen() (string, error) {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	b.Serve(ln)
	return ln.Addr().String(), nil
}

// Serve serves the connections of ln in the background.
func (b *Broker) Serve(ln net.Listener) {
	b.mu.Lock()
	b.ends = append(b.ends, ln)
	b.mu.Unlock()
	b.work.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			b.Handle(nc)
		}
	})
}

// Dial returns a connection to the broker over net.Pipe; the arguments after ctx
// are ignored, so that it fits where a dial function is wanted.
func (b *Broker) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: net.ErrClosed}
	}
	client, server := net.Pipe()
	b.Handle(server)
	return client, nil
}

// Handle serves one connection in the background.
func (b *Broker) Handle(nc net.Conn) {
	c := &conn{broker: b, nc: nc, cut: make(chan struct{}), writing: make(chan struct{}, 1), outbound: map[uint16]bool{}}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		_ = nc.Close()
		return
	}
	b.conns[c] = struct{}{}
	b.work.Go(c.serve)
}

// Publish queues messages to the sessions that subscribe to their topics.
func (b *Broker) Publish(msgs ...Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range msgs {
		for _, s := range b.route(m.Topic) {
			subs := s.matching(m.Topic)
			if !b.opts.Copies {
				subs = subs[:1]
			}
			for _, sub := range subs {
				if own := m.by(sub); own.QoS > 0 || s.conn != nil {
					s.queue = append(s.queue, own)
				}
			}
			s.wake()
		}
	}
}

// route returns the sessions that a message goes to.
func (b *Broker) route(name string) []*session {
	var to []*session
	groups := map[string][]*session{}
	for _, id := range b.ids() {
		s := b.sessions[id]
		own := false
		for f := range s.subs {
			_, rest, shared := topic.Share(f)
			switch {
			case shared && topic.Match(rest, name):
				groups[f] = append(groups[f], s)
			case !shared && topic.Match(f, name):
				own = true
			}
		}
		if own {
			to = append(to, s)
		}
	}
	for f, members := range groups {
		if up := slices.DeleteFunc(slices.Clone(members), func(s *session) bool { return s.conn == nil }); len(up) > 0 {
			members = up
		}
		to = append(to, members[b.rounds[f]%len(members)])
		b.rounds[f]++
	}
	return to
}

func (b *Broker) ids() []string {
	ids := make([]string, 0, len(b.sessions))
	for id := range b.sessions {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Cut closes every connection without a word.
func (b *Broker) Cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.close()
	}
}

// Disconnect sends DISCONNECT with a reason code, and a server reference if it is not
// empty, to every client and closes the connections.
func (b *Broker) Disconnect(code byte, reference string) {
	b.mu.Lock()
	conns := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, c := range conns {
		_ = c.write(packets.DISCONNECT, &packets.Disconnect{ReasonCode: code, Properties: &packets.Properties{ServerReference: reference}})
		c.close()
	}
}

// Send sends a packet to every client.
func (b *Broker) Send(kind byte, content packets.Packet) {
	b.mu.Lock()
	conns := slices.Collect(maps.Keys(b.conns))
	b.mu.Unlock()
	for _, c := range conns {
		_ = c.write(kind, content)
	}
}

// Redispatch takes what is under way from all sessions, as a broker does that gives the
// messages of a shared subscription to another member.
func (b *Broker) Redispatch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		s.inflight = nil
		s.wake()
	}
}

// Forget loses all sessions, as a broker that is restarted without persistence;
// it closes the connections first.
func (b *Broker) Forget() {
	b.Cut()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions = map[string]*session{}
}

// Acked returns how many QoS 1 and 2 messages clients have taken responsibility
// for (PUBACK, PUBREC).
func (b *Broker) Acked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked
}

// Pending returns how many messages are queued or under way.
func (b *Broker) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, s := range b.sessions {
		n += len(s.queue) + len(s.inflight)
	}
	return n
}

// Subscriptions returns the filters of a client, sorted.
func (b *Broker) Subscriptions(clientID string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var fs []string
	if s := b.sessions[clientID]; s != nil {
		for f := range s.subs {
			fs = append(fs, f)
		}
	}
	slices.Sort(fs)
	return fs
}

// Connects returns how many connections were accepted.
func (b *Broker) Connects() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.connects
}

// Faults returns what clients have done wrong.
func (b *Broker) Faults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.faults)
}

func (b *Broker) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// Close closes everything and waits for the broker's goroutines.
func (b *Broker) Close() {
	b.mu.Lock()
	b.closed = true
	for _, ln := range b.ends {
		_ = ln.Close()
	}
	for c := range b.conns {
		c.close()
	}
	b.mu.Unlock()
	b.work.Wait()
}
