package oracle

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/sink/kinesis/kinesistest"
)

// History knows what was sent, and which rules there were when. From it and
// nothing else it tells what must have arrived.
type History struct {
	Sent     []Message
	versions map[string][]version // of each rule, by name
	Payloads bool                 // dead letters have the message's payload
}

// version is what a rule was for a while. The message with number i may have
// met it if from <= i < until. A change takes effect somewhere among those that
// have been received and are not settled. They may have met either, and both if
// they were delivered again.
type version struct {
	rule        *Rule // nil: there was no such rule, or it was off
	from, until int
}

// Change notes a new version of a rule; so many messages were settled before it,
// and no more than so many received.
func (h *History) Change(name string, s *Rule, settled, received int) {
	list := h.versions[name]
	if len(list) == 0 {
		list = []version{{nil, 0, math.MaxInt}}
	}
	list[len(list)-1].until = received
	if h.versions == nil {
		h.versions = map[string][]version{}
	}
	h.versions[name] = append(list, version{s, settled, math.MaxInt})
}

// Arrival is a record that has arrived, wherever it has.
type Arrival struct {
	Stream, Key, Data string
	Letter            *Letter // nil unless it became a dead letter
}

// due is what is known of a record that may arrive.
type due struct {
	outcome
	message *Message
	rank    int
	label   string
	rule    string
	ordered bool // it must stand in order
	arrived bool
}

// Check compares what arrived with what must have: every message has met one
// version of each rule whole, no record came that no version makes, dead letters
// tell the truth, and the records that a version made for a Dest and key stand in order.
// It returns how many different records there may be and how many arrived more
// than once.
func (h *History) Check(arrived []Arrival) (expected, twice int, problems []string) {
	dues := h.dues()
	last := map[string]int{} // rank by version, Dest and key
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, a := range arrived {
		d := dues[a.Data]
		switch {
		case d == nil:
			bad("nobody made %s of %.40q in %s", a.Data, a.Key, a.Stream)
			continue
		case d.stream() != a.Stream || d.key != a.Key || !d.mayBe(a.Letter):
			bad("%s is in %s with key %.40q (dead letter: %+v), but should be in %s with key %.40q", a.Data, a.Stream, a.Key, a.Letter, d.stream(), d.key)
			continue
		case d.arrived:
			twice++
			continue
		}
		d.arrived = true
		if a.Letter != nil {
			problems = append(problems, a.Letter.check(d, h.Payloads)...)
		}
		at := strings.Join([]string{d.label, d.dest, d.key}, "\x00")
		if d.ordered && d.rank < last[at] {
			bad("%q arrived behind %d/%d", a.Data, last[at]>>8, last[at]&0xff)
		}
		if d.ordered {
			last[at] = d.rank
		}
	}
	for i := range h.Sent {
		problems = append(problems, h.missing(&h.Sent[i], dues)...)
	}
	return len(dues), twice, problems
}

// dues lists the records that may arrive, by their data.
func (h *History) dues() map[string]*due {
	dues := map[string]*due{}
	for name, versions := range h.versions {
		for _, v := range versions {
			for i := v.from; i < min(v.until, len(h.Sent)); i++ {
				// What is best effort, or has met another version, may have
				// been dropped the first time.
				sure := met(versions, i) == 1
				for n, o := range v.rule.outcomes(&h.Sent[i]) {
					dues[o.data] = &due{
						outcome: o, message: &h.Sent[i], rank: i<<8 | n, label: v.rule.Label, rule: name, ordered: sure && !o.optional,
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

// missing reports which rules have not treated the message whole.
func (h *History) missing(m *Message, dues map[string]*due) (problems []string) {
	for name, versions := range h.versions {
		var lost []string
		whole := false
		for _, v := range versions {
			if m.Seq < v.from || m.Seq >= v.until {
				continue
			}
			var missing []string
			for _, o := range v.rule.outcomes(m) {
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
			problems = append(problems, fmt.Sprintf("lost of message %d, rule %s: %v", m.Seq, name, lost))
		}
	}
	return problems
}

// mayBe reports whether the record may have become the dead letter, or none if l is
// nil. What is best effort gives way when a queue is full.
func (d *due) mayBe(l *Letter) bool {
	return d.dead() == (l != nil) || l != nil && d.gaveWay(l)
}

func (d *due) gaveWay(l *Letter) bool {
	return d.optional && l.Attrs.Error == "queue is full"
}

// Letter is a dead letter as the file sink writes it.
type Letter struct {
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
func (l *Letter) check(d *due, payloads bool) (problems []string) {
	same := func(what, got, want string) {
		if got != want {
			problems = append(problems, fmt.Sprintf("dead letter %s: %s is %q rather than %q", l.Data, what, got, want))
		}
	}
	same("topic", l.Attrs.Topic, d.message.Topic)
	same("rule", l.Attrs.Rule, d.rule)
	same("topic of the record", l.Topic, d.message.Topic)
	same("rule of the record", l.Rule, d.rule)
	refused := l.Attrs.Attempts != "0" && strings.Contains(l.Attrs.Error, "key")
	if !slices.Contains([]string{Sink, Last}, l.Attrs.Sink) || !refused && !d.gaveWay(l) {
		problems = append(problems, fmt.Sprintf("dead letter %s: %+v", l.Data, l.Attrs))
	}
	if payload, ok := l.Attrs.Payload.(map[string]any); payloads && (!ok || payload["seq"] != float64(d.message.Seq)) {
		problems = append(problems, fmt.Sprintf("dead letter %s: payload %v", l.Data, l.Attrs.Payload))
	}
	return problems
}

// Arrivals are the records of a stream as arrivals.
func Arrivals(stream string, records []kinesistest.UserRecord) []Arrival {
	list := make([]Arrival, len(records))
	for i, r := range records {
		list[i] = Arrival{Stream: stream, Key: r.PartitionKey, Data: string(r.Data)}
	}
	return list
}
