package oracle

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/rule"
)

// Names of sinks. All rules write to Sink; Last is that for Kinesis where Sink is a
// buffer in front of it.
const (
	Sink = "first"
	Last = "kinesis"
)

// Streams are the streams that records go to; the first is the sink's default.
var Streams = []string{"a", "b"}

// Text is a rule as a bridge gets it.
type Text struct {
	Name, SQL string
	Actions   []rule.Action
	Off       bool
}

// Compile makes the rule.
func (r Text) Compile() (bridge.Rule, error) {
	return rule.New(rule.Config{Name: r.Name, SQL: r.SQL, Actions: r.Actions})
}

// Rule is a rule and, in Go, what it means. The meaning is written down together
// with the text and shares no code with the rule engine.
type Rule struct {
	Text
	Label   string // of this version of the rule; its records' data begins with it
	filters []string
	where   func(*Message) bool
	rows    func(*Message) []int // numbers of the items, or a single 0
	actions []meaning
}

// meaning is what an action means. An empty Dest is the sink's default stream.
type meaning struct {
	dest     func(*Message) string
	key      func(m *Message, row int) string
	optional bool
}

// outcome is a record that a rule must make of a message.
type outcome struct {
	dest, key, data string
	optional        bool
}

// stream is where the record must arrive.
func (o outcome) stream() string { return cmp.Or(o.dest, Streams[0]) }

// dead reports whether Kinesis refuses the record for ever.
func (o outcome) dead() bool { return len(o.key) > maxKey }

// outcomes lists the records that the rule makes of a message, in order.
func (s *Rule) outcomes(m *Message) (list []outcome) {
	if s == nil || m.Broken || !slices.ContainsFunc(s.filters, func(f string) bool { return matches(f, m.Topic) }) || !s.where(m) {
		return nil
	}
	for _, row := range s.rows(m) {
		for i, a := range s.actions {
			list = append(list, outcome{a.dest(m), a.key(m, row), fmt.Sprintf("%s/%d/%d/%d", s.Label, i, m.Seq, row), a.optional})
		}
	}
	return list
}

// matches reports whether an MQTT topic filter matches a topic without $.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, level := range f {
		if level == "#" {
			return true
		}
		if i >= len(t) || level != "+" && level != t[i] {
			return false
		}
	}
	return len(f) == len(t)
}

// condition is a condition of the rule language and, in Go, what it means.
type condition struct {
	sql   string
	holds func(*Message) bool
}

func randomCondition(rng *rand.Rand, depth int) condition {
	if depth > 0 {
		switch a, b := randomCondition(rng, depth-1), randomCondition(rng, depth-1); rng.IntN(5) {
		case 0:
			return condition{"(" + a.sql + " AND " + b.sql + ")", func(m *Message) bool { return a.holds(m) && b.holds(m) }}
		case 1, 2:
			return condition{"(" + a.sql + " OR " + b.sql + ")", func(m *Message) bool { return a.holds(m) || b.holds(m) }}
		case 3:
			return condition{"NOT (" + a.sql + ")", func(m *Message) bool { return !a.holds(m) }}
		}
	}
	n, kind := rng.IntN(100), kinds[rng.IntN(len(kinds))]
	list := []condition{
		{fmt.Sprintf("payload.val > %d", n), func(m *Message) bool { return m.Val > n }},
		{fmt.Sprintf("payload.val <= %d", n), func(m *Message) bool { return m.Val <= n }},
		{fmt.Sprintf("payload.val != %d", n), func(m *Message) bool { return m.Val != n }},
		{fmt.Sprintf("payload.val mod 3 = %d", n%3), func(m *Message) bool { return m.Val%3 == n%3 }},
		{fmt.Sprintf("(payload.val + payload.seq) * 2 div 20 > %d", n), func(m *Message) bool { return (m.Val+m.Seq)*2/20 > n }},
		{fmt.Sprintf("payload.kind = '%s'", kind), func(m *Message) bool { return m.Kind == kind }},
		{fmt.Sprintf("payload.kind IN ('%s', 'a')", kind), func(m *Message) bool { return m.Kind == kind || m.Kind == "a" }},
		{fmt.Sprintf("upper(payload.kind) != '%s'", strings.ToUpper(kind)), func(m *Message) bool { return m.Kind != kind }},
		{"payload.on = true", func(m *Message) bool { return m.On }},
		{"strlen(payload.key) > 5", func(m *Message) bool { return len(m.Key) > 5 }},
		{"payload.none = 1", func(*Message) bool { return false }},
		{"topic = 't/1/a'", func(m *Message) bool { return m.Topic == "t/1/a" }},
		{fmt.Sprintf("payload.items[1].v >= %d", n%10), func(m *Message) bool { return len(m.Items) > 0 && m.Items[0] >= n%10 }},
		{"qos = 1", func(*Message) bool { return true }},
	}
	return list[rng.IntN(len(list))]
}

// columns are what every rule selects beside the number of the row.
const columns = "payload.key AS key, payload.seq AS seq, payload.kind AS kind, topic, " +
	"CASE WHEN payload.val > 50 THEN 'b' ELSE 'a' END AS dest"

func alwaysTrue(*Message) bool { return true }
func oneRow(*Message) []int    { return []int{0} }

// WholeRule passes everything on and is never changed.
func WholeRule() *Rule {
	s := &Rule{Label: "whole", filters: []string{"t/#"}, where: alwaysTrue, rows: oneRow}
	s.Name, s.SQL = "whole", `SELECT `+columns+`, 0 AS n FROM "t/#"`
	s.act(rule.Action{Key: "${key}"}, meaning{key: keyOf, dest: func(*Message) string { return "" }})
	return s
}

func keyOf(m *Message, _ int) string { return m.Key }

// act adds an action and its meaning.
func (s *Rule) act(a rule.Action, m meaning) {
	a.Sink, a.Data = Sink, fmt.Sprintf("%s/%d/${seq}/${n}", s.Label, len(s.actions))
	a.Optional = m.optional
	s.Actions, s.actions = append(s.Actions, a), append(s.actions, m)
}

// RandomRule makes a rule. The label tells its records from those of any other.
func RandomRule(rng *rand.Rand, name, label string) *Rule {
	s := &Rule{Label: label, where: alwaysTrue, rows: oneRow}
	s.Name = name
	all := []string{"t/#", "t/+/a", "t/1/+", "t/2/b", "+/0/#", "t/9/#", "t/+"}
	for range 1 + rng.IntN(2) {
		s.filters = append(s.filters, all[rng.IntN(len(all))])
	}
	var sql strings.Builder
	if rng.IntN(3) == 0 {
		fmt.Fprintf(&sql, "FOREACH payload.items AS it DO %s, it.n AS n", columns)
		least := -1
		if rng.IntN(2) == 0 {
			least = rng.IntN(10)
			fmt.Fprintf(&sql, " INCASE it.v > %d", least)
		}
		s.rows = func(m *Message) (rows []int) {
			for i, v := range m.Items {
				if v > least {
					rows = append(rows, i+1)
				}
			}
			return rows
		}
	} else {
		fmt.Fprintf(&sql, "SELECT %s, 0 AS n", columns)
	}
	fmt.Fprintf(&sql, ` FROM "%s"`, strings.Join(s.filters, `", "`))
	if rng.IntN(4) > 0 {
		c := randomCondition(rng, rng.IntN(3))
		s.where = c.holds
		sql.WriteString(" WHERE " + c.sql)
	}
	s.SQL = sql.String()
	for range 1 + rng.IntN(3) {
		s.randomAction(rng)
	}
	return s
}

func (s *Rule) randomAction(rng *rand.Rand) {
	m := meaning{optional: rng.IntN(5) == 0}
	var a rule.Action
	switch rng.IntN(3) {
	case 0: // the sink's default
		m.dest = func(*Message) string { return "" }
	case 1:
		a.Dest = Streams[1]
		m.dest = func(*Message) string { return Streams[1] }
	default:
		a.Dest = "${dest}"
		m.dest = func(m *Message) string { return Streams[m.Val/51] }
	}
	switch rng.IntN(8) {
	case 0: // few keys are slow where records are not aggregated
		a.Key, m.key = "${kind}", func(m *Message, _ int) string { return m.Kind }
	case 1:
		a.Key, m.key = "${topic}", func(m *Message, _ int) string { return m.Topic }
	case 2, 3:
		a.Key, m.key = "${key}-${n}", func(m *Message, row int) string { return fmt.Sprintf("%s-%d", m.Key, row) }
	default:
		a.Key, m.key = "${key}", keyOf
	}
	s.act(a, m)
}
