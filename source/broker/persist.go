package broker

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/sluiceio/sluice/internal/topic"
)

// The entries of a Store. A number stands for a session, whose client may have
// had others before.
//
//	session/<number>              storedSession as JSON
//	sub/<number>/<digest>         storedSubscription as JSON, by its filter
//	in/<number>/<packet id>       a QoS 2 message that is settled and not released
//	out/<number>/<message>        a message for the session's client
//	retained/<topic>              a message, see retainedKey
const (
	sessionKeys  = "session/"
	subKeys      = "sub/"
	inKeys       = "in/"
	outKeys      = "out/"
	retainedKeys = "retained/"

	longestKey = 1 << 10
)

type storedSession struct {
	Client   string        `json:"client"`
	Username string        `json:"username,omitempty"`
	Expiry   time.Duration `json:"expiry"`
	Offline  time.Time     `json:"offline"`
}

type storedSubscription struct {
	Filter            string `json:"filter"`
	QoS               byte   `json:"qos"`
	Identifier        int    `json:"identifier,omitempty"`
	NoLocal           bool   `json:"no_local,omitempty"`
	RetainAsPublished bool   `json:"retain_as_published,omitempty"`
	Due               bool   `json:"due,omitempty"` // it has not got all retained messages
}

// retainedKey is where the retained message of a topic is stored. A topic may be
// longer than what stores take as a key, such as 32 KiB in bbolt, and a message that
// cannot be stored would hold up all others: then a digest stands for it, behind a
// character that no topic has.
func retainedKey(topic string) string {
	if len(topic) <= longestKey-len(retainedKeys) {
		return retainedKeys + topic
	}
	digest := sha256.Sum256([]byte(topic))
	return retainedKeys + "#" + hex.EncodeToString(digest[:])
}

func (s *session) key() string            { return fmt.Sprintf("%s%016x", sessionKeys, s.number) }
func (s *session) inKey(id uint16) string { return fmt.Sprintf("%s%016x/%04x", inKeys, s.number, id) }

// subKey has a digest in place of the filter, which may be longer than a key.
func (s *session) subKey(filter string) string {
	digest := sha256.Sum256([]byte(filter))
	return fmt.Sprintf("%s%016x/%x", subKeys, s.number, digest[:16])
}

func (s *session) outKey(n int64) string { return fmt.Sprintf("%s%016x/%016x", outKeys, s.number, n) }
func (s *session) persistent() bool      { return s.journal != nil && s.record.Load().Expiry > 0 }

// saveSession stores what a session is, if it outlives its connection. Its
// subscriptions have entries of their own, so that one of many is a small change.
func (s *Source) saveSession(have *session) {
	if !have.persistent() {
		return
	}
	r := have.record.Load()
	text, _ := json.Marshal(storedSession{Client: have.who.id, Username: have.who.user, Expiry: r.Expiry, Offline: r.Offline})
	have.journal.change(have.key(), text) // strings, numbers and times have a JSON form
}

// save stores a subscription of a session that outlives its connection.
func (sub *subscription) save() {
	of := sub.session
	if !of.persistent() || sub.ended.Load() {
		return
	}
	text, _ := json.Marshal(storedSubscription{
		Filter: sub.filter, QoS: sub.options.qos, Identifier: int(sub.options.id),
		NoLocal: sub.options.noLocal, RetainAsPublished: sub.options.retainAsPublished, Due: sub.due.Load(),
	})
	of.journal.change(of.subKey(sub.filter), text)
}

// forget deletes a subscription from the store.
func (sub *subscription) forget() {
	if of := sub.session; of.journal != nil {
		of.journal.change(of.subKey(sub.filter), nil)
	}
}

// forgetSession deletes a session and what was stored for it.
func (s *Source) forgetSession(have *session, out []*outgoing) {
	if have.journal == nil {
		return
	}
	have.journal.change(have.key(), nil)
	for _, m := range out {
		have.journal.change(have.outKey(m.number), nil)
	}
	have.mu.Lock()
	defer have.mu.Unlock()
	for id := range have.qos2 {
		have.journal.change(have.inKey(id), nil)
	}
}

func (s *session) saveOutgoing(m *outgoing) {
	if m.qos > 0 && s.persistent() {
		s.journal.change(s.outKey(m.number), appendOutgoing(nil, m))
	}
}

func (s *session) forgetOutgoing(m *outgoing) {
	if s.journal != nil {
		s.journal.change(s.outKey(m.number), nil)
	}
}

func (s *session) saveReceived(id uint16) {
	if s.persistent() {
		s.journal.change(s.inKey(id), []byte{1})
	}
}

func (s *session) forgetReceived(id uint16) {
	if s.journal != nil {
		s.journal.change(s.inKey(id), nil)
	}
}

// appendOutgoing appends the stored form of a message for a client.
func appendOutgoing(dst []byte, m *outgoing) []byte {
	dst = append(dst, m.qos, flag(m.retain), flag(m.released))
	dst = binary.AppendUvarint(dst, uint64(m.id))
	dst = binary.AppendUvarint(dst, uint64(len(m.ids)))
	for _, id := range m.ids {
		dst = binary.AppendUvarint(dst, uint64(id))
	}
	return appendPublication(dst, m.publication)
}

// appendPublication appends the stored form of a message: what the broker knows of
// it, and its PUBLISH packet in MQTT 5.
func appendPublication(dst []byte, p *publication) []byte {
	dst = binary.AppendVarint(dst, p.created)
	dst = binary.AppendVarint(dst, p.expiry)
	dst = binary.AppendVarint(dst, p.received.UnixNano())
	for _, s := range []string{p.client, p.username} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	pk := p.packet()
	pk.ProtocolVersion, pk.PacketID = 5, 1
	pk.Mods = packets.Mods{AllowResponseInfo: true}
	var frame bytes.Buffer
	_ = pk.PublishEncode(&frame) // fails without a packet identifier
	return append(dst, frame.Bytes()...)
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// reader takes stored forms apart. After an error it returns zero values.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (r *reader) uvarint(most uint64) int {
	v, n := binary.Uvarint(r.b)
	if r.bad = r.bad || n <= 0 || v > most; r.bad {
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if r.bad = r.bad || n <= 0; r.bad {
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.take(r.uvarint(uint64(len(r.b))))) }

var errDamaged = errors.New("the entry is damaged")

func parseOutgoing(value []byte) (*outgoing, error) {
	r := &reader{b: value}
	m := &outgoing{qos: r.byte(), retain: r.byte() == 1, released: r.byte() == 1}
	m.id = uint16(r.uvarint(1<<16 - 1))
	for range r.uvarint(uint64(len(r.b))) {
		m.ids = append(m.ids, r.uvarint(1<<28))
	}
	if r.bad || m.qos == 0 || m.qos > 2 || m.released && m.id == 0 {
		return nil, errDamaged
	}
	var err error
	m.publication, err = parsePublication(r.b)
	return m, err
}

func parsePublication(value []byte) (*publication, error) {
	r := &reader{b: value}
	created, expiry, received := r.varint(), r.varint(), r.varint()
	client, username := r.string(), r.string()
	var pk packets.Packet
	head := r.byte()
	length := r.uvarint(maxPacketBytes) // MQTT's lengths are these
	if r.bad || head>>4 != packets.Publish || length != len(r.b) || pk.FixedHeader.Decode(head) != nil {
		return nil, errDamaged
	}
	pk.ProtocolVersion = 5
	if err := pk.PublishDecode(slices.Clone(r.b)); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	p := newPublication(&pk)
	p.created, p.expiry, p.received = created, expiry, time.Unix(0, received)
	p.client, p.username = client, username
	return p, nil
}

// load restores what the store holds, before anybody can connect.
func (s *Source) load() error {
	if s.journal == nil || s.loaded {
		return nil
	}
	s.loaded = true
	byNumber := make(map[string]*session)
	now := time.Now()
	// Sessions come last in the order of keys, and are needed first.
	var rest []Change
	err := s.journal.store.Load(func(key string, value []byte) error {
		if name, ok := strings.CutPrefix(key, sessionKeys); ok {
			have, err := s.loadSession(name, value, now)
			byNumber[name] = have
			return entryError(key, err)
		}
		if strings.HasPrefix(key, retainedKeys) {
			p, err := parsePublication(value)
			if err == nil {
				s.retained.put(p, false)
				s.publishes.Store(max(s.publishes.Load(), p.created))
			}
			return entryError(key, err)
		}
		rest = append(rest, Change{Key: key, Value: bytes.Clone(value)})
		return nil
	})
	for _, e := range rest {
		if err != nil {
			break
		}
		err = entryError(e.Key, s.loadState(byNumber, e))
	}
	s.retained.sort()
	for _, have := range s.sessions {
		var due []*subscription
		for _, sub := range have.subs {
			if sub.due.Load() {
				sub.until = s.retained.last
				due = append(due, sub)
			}
		}
		have.out.subscribed(due)
	}
	return err
}

func entryError(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: entry %q: %w", key, err)
}

func (s *Source) loadSession(name string, value []byte, now time.Time) (*session, error) {
	var stored storedSession
	if err := json.Unmarshal(value, &stored); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	number, err := hex.DecodeString(name)
	if err != nil || len(number) != 8 {
		return nil, errDamaged
	}
	have := s.newSession(identity{stored.Username, stored.Client})
	have.number = binary.BigEndian.Uint64(number)
	s.lastSession = max(s.lastSession, have.number)
	if stored.Offline.IsZero() { // it was connected when the process ended
		stored.Offline = now
	}
	have.record.Store(&sessionRecord{Expiry: stored.Expiry, Offline: stored.Offline})
	s.sessions[have.who] = have
	return have, nil
}

// loadState restores an entry of a session; one of a session that has ended is
// deleted.
func (s *Source) loadState(sessions map[string]*session, e Change) error {
	parts := strings.Split(e.Key, "/")
	if len(parts) != 3 {
		return errDamaged
	}
	have := sessions[parts[1]]
	if have != nil && parts[0]+"/" == subKeys {
		return s.loadSubscription(have, e.Value)
	}
	number, err := hex.DecodeString(parts[2])
	switch {
	case err != nil:
		return errDamaged
	case have == nil:
		s.journal.change(e.Key, nil)
		return nil
	case parts[0]+"/" == inKeys && len(number) == 2:
		have.restoreReceived(binary.BigEndian.Uint16(number))
		return nil
	case parts[0]+"/" == outKeys && len(number) == 8:
		m, err := parseOutgoing(e.Value)
		if err == nil {
			m.number = int64(binary.BigEndian.Uint64(number))
			have.out.restore(m)
			s.publishes.Store(max(s.publishes.Load(), m.created))
		}
		return err
	default:
		return errDamaged
	}
}

func (s *Source) loadSubscription(of *session, value []byte) error {
	var stored storedSubscription
	if err := json.Unmarshal(value, &stored); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if err := topic.ValidateFilter(stored.Filter); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	sub := newSubscription(of, stored.Filter, options{
		id: int32(stored.Identifier), qos: stored.QoS, noLocal: stored.NoLocal, retainAsPublished: stored.RetainAsPublished,
	})
	sub.due.Store(stored.Due)
	s.subs.add(sub)
	return nil
}
