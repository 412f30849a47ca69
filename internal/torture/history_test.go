package torture

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// history knows what was sent, and which rules there were when. From it and
// nothing else it tells what must have arrived.
type history struct {
	sent     []message
	versions map[string][]version // of each rule, by name
	payloads bool                 // dead letters have the message's payload
}

// version is what a rule was for a while. The message with number i may have
// met it if from <= i < until. A change takes effect somewhere among those that
// have been received and are not settled. They may have met either, and both if
// they were delivered again.
type version struct {
	spec        *spec // nil: there was no such rule, or it was off
	from, until int
}

// change notes a new version of a rule; so many messages were settled before it,
// and no more than so many received.
func (h *history) change(name string, s *spec, settled, received int) {
	list := h.versions[name]
	if len(list) == 0 {
		list = []version{{nil, 0, math.MaxInt}}
	}
	list[len(list)-1].until = received
	h.versions[name] = append(list, version{s, settled, math.MaxInt})
}

// arrival is a record that has arrived, wherever it has.
type arrival struct {
	stream, key, data string
	letter            *letter // nil unless it became a dead letter
}

// due is what is known of a record that may arrive.
type due struct {
	outcome
	message *message
	rank    int
	label   string
	rule    string
	ordered bool // it must stand in order
	arrived bool
}

// check compares what arrived with what must have: every message has met one
// version of each rule whole, no record came that no version makes, dead letters
// tell the truth, and the records that a version made for a Dest and key stand in order.
// It returns how many different records there may be and how many arrived more
// than once.
func (h *history) check(arrived []arrival) (expected, twice int, problems []string) {
	dues := h.dues()
	last := map[string]int{} // rank by version, Dest and key
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, a := range arrived {
		d := dues[a.data]
		switch {
		case d == nil:
			bad("nobody made %s of %.40q in %s", a.data, a.key, a.stream)
			continue
		case d.stream() != a.stream || d.key != a.key || !d.mayBe(a.letter):
			bad("%s is in %s with key %.40q (dead letter: %+v), but should be in %s with key %.40q", a.data, a.stream, a.key, a.letter, d.stream(), d.key)
			continue
		case d.arrived:
			twice++
			continue
		}
		d.arrived = true
		if a.letter != nil {
			problems = append(problems, a.letter.check(d, h.payloads)...)
		}
		at := strings.Join([]string{d.label, d.dest, d.key}, "\x00")
		if d.ordered && d.rank < last[at] {
			bad("%q arrived behind %d/%d", a.data, last[at]>>8, last[at]&0xff)
		}
		if d.ordered {
			last[at] = d.rank
		}
	}
	for i := range h.sent {
		problems = append(problems, h.missing(&h.sent[i], dues)...)
	}
	return len(dues), twice, problems
}

// dues lists the records that may arrive, by their data.
func (h *history) dues() map[string]*due {
	dues := map[string]*due{}
	for name, versions := range h.versions {
		for _, v := range versions {
			for i := v.from; i < min(v.until, len(h.sent)); i++ {
				// What is best effort, or has met another version, may have
				// been dropped the first time.
				sure := met(versions, i) == 1
				for n, o := range v.spec.outcomes(&h.sent[i]) {
					dues[o.data] = &due{
						outcome: o, message: &h.sent[i], rank: i<<8 | n, label: v.spec.label, rule: name, ordered: sure && !o.optional,
					}
				}
			}
		}
	}
	return dues
}

// met counts the versions that a message may have met.
func met(versions []version, message int) (n int) {
	for _, v := range versions {
		if v.from <= message && message < v.until {
			n++
		}
	}
	return n
}

// missing tells which rules have not treated the message whole.
func (h *history) missing(m *message, dues map[string]*due) (problems []string) {
	for name, versions := range h.versions {
		var lost []string
		whole := false
		for _, v := range versions {
			if m.seq < v.from || m.seq >= v.until {
				continue
			}
			var missing []string
			for _, o := range v.spec.outcomes(m) {
				if !o.optional && !dues[o.data].arrived {
					missing = append(missing, o.data)
				}
			}
			if whole = len(missing) == 0; whole {
				break
			}
			lost = append(lost, missing...)
		}
		if !whole {
			problems = append(problems, fmt.Sprintf("lost of message %d, rule %s: %v", m.seq, name, lost))
		}
	}
	return problems
}

// mayBe tells whether the record may have become the dead letter, or none if l is
// nil. What is best effort gives way when a queue is full.
func (d *due) mayBe(l *letter) bool {
	return d.dead() == (l != nil) || l != nil && d.gaveWay(l)
}

func (d *due) gaveWay(l *letter) bool {
	return d.optional && l.Attrs.Error == bridge.ErrQueueFull.Error()
}

// letter is a dead letter as the file sink writes it.
type letter struct {
	Key   string `json:"key"`
	Data  string `json:"data"`
	Topic string `json:"topic"`
	Rule  string `json:"rule"`
	Attrs struct {
		Sink, Dest, Topic, Rule, Error, Attempts string
		Payload                                  any
	} `json:"attrs"`
}

// check compares a dead letter with the message that it was made of.
func (l *letter) check(d *due, payloads bool) (problems []string) {
	same := func(what, got, want string) {
		if got != want {
			problems = append(problems, fmt.Sprintf("dead letter %s: %s is %q rather than %q", l.Data, what, got, want))
		}
	}
	same("topic", l.Attrs.Topic, d.message.topic)
	same("rule", l.Attrs.Rule, d.rule)
	same("topic of the record", l.Topic, d.message.topic)
	same("rule of the record", l.Rule, d.rule)
	refused := l.Attrs.Attempts != "0" && strings.Contains(l.Attrs.Error, "key")
	if !slices.Contains([]string{first, last}, l.Attrs.Sink) || !refused && !d.gaveWay(l) {
		problems = append(problems, fmt.Sprintf("dead letter %s: %+v", l.Data, l.Attrs))
	}
	if payload, ok := l.Attrs.Payload.(map[string]any); payloads && (!ok || payload["seq"] != float64(d.message.seq)) {
		problems = append(problems, fmt.Sprintf("dead letter %s: payload %v", l.Data, l.Attrs.Payload))
	}
	return problems
}

// arrivals are the records of a stream as arrivals.
func arrivals(stream string, records []kinesistest.UserRecord) []arrival {
	list := make([]arrival, len(records))
	for i, r := range records {
		list[i] = arrival{stream: stream, key: r.PartitionKey, data: string(r.Data)}
	}
	return list
}
