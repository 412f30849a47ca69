package rule

import (
	"slices"
	"strings"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/topic"
)

// names is what the compiler knows of the names in a statement: a name that nobody
// knows is undefined, which is rarely what was meant.
type names struct {
	// columns are those of the events that FROM names; open is set when some of
	// these are not known here, so that any column may be there.
	columns map[string]bool
	open    bool
	// payload are the members of the payload that the statement reads.
	payload []string
	warned  map[string]bool
}

// everyEvent are the columns that all events have.
const everyEvent = "event timestamp node metadata"

func newNames(stmt *sqlparse.Statement, filters, more []string) *names {
	n := &names{columns: make(map[string]bool), warned: make(map[string]bool)}
	for _, name := range more {
		n.columns[name] = true
	}
	published, ingress := false, false
	for _, f := range filters {
		switch {
		case !topic.IsEvent(f):
			published = true
		case strings.HasPrefix(f, "$events/"):
			n.addEvents(f)
		default:
			ingress = true
		}
	}
	n.add(everyEvent)
	if published {
		n.add(messageColumns + " client_attrs")
	}
	if ingress {
		n.add(ingressColumns + " clientid username peerhost peername")
	}
	stmt.Walk(func(x sqlparse.Expr) {
		if p, ok := x.(*sqlparse.Path); ok && p.Name == "payload" && len(p.Steps) > 0 && p.Steps[0].Kind == sqlparse.StepKey {
			n.payload = append(n.payload, p.Steps[0].Key)
		}
	})
	slices.Sort(n.payload)
	n.payload = slices.Compact(n.payload)
	return n
}

func (n *names) add(list string) {
	for name := range strings.FieldsSeq(list) {
		n.columns[name] = true
	}
}

// addEvents adds the columns of the events that a filter matches; a source may have
// events of its own, of which nothing is known.
func (n *names) addEvents(filter string) {
	found := false
	for i := range events {
		if topic.Match(filter, events[i].topic) {
			n.add(events[i].columns)
			found = true
		}
	}
	n.open = n.open || !found
}

// checkName warns of a name that is neither a column of the event nor was selected.
func (c *compiler) checkName(s *scope, x *sqlparse.Path) {
	n := c.names
	if n.open || n.columns[x.Name] || n.warned[x.Name] || len(n.warned) >= maxFaults {
		return
	}
	n.warned[x.Name] = true
	if x.Quoted {
		if len(x.Steps) == 0 {
			c.warn(x.Span, "\""+x.Name+"\" is the name of a column that the event does not have", "text is put in single quotes: '"+x.Name+"'")
		}
		return
	}
	c.warn(x.Span, "there is no column "+x.Name, n.hint(s, x.Name))
}

// hint says what a name may stand for that is not known.
func (n *names) hint(s *scope, name string) string {
	switch lower := strings.ToLower(name); {
	case nullWord(name):
		return "undefined is written null(), and is_null(x) tests for it"
	case lower == "true" || lower == "false":
		return "the constant is written " + lower
	case (name == "retain" || name == "dup") && n.columns["flags"]:
		return "did you mean flags." + name + "?"
	}
	if len(name) > 2 {
		known := s.visible()
		for column := range n.columns {
			known = append(known, column)
		}
		slices.Sort(known)
		if near := nearest(name, known); near != "" {
			return "did you mean " + near + "?"
		}
		if near := nearest(name, n.payload); near != "" {
			return "did you mean payload." + near + "?"
		}
	}
	for i := range events {
		if slices.Contains(strings.Fields(events[i].columns), name) {
			return "an event " + events[i].name + " has it"
		}
	}
	return "what is in the payload is written payload." + name
}

// checkPayloadName warns of a member of the payload whose name is another's with two
// letters swapped.
func (c *compiler) checkPayloadName(x *sqlparse.Path) {
	if x.Name != "payload" || len(x.Steps) == 0 || x.Steps[0].Kind != sqlparse.StepKey {
		return
	}
	key := x.Steps[0].Key
	if other, ok := c.names.swapped(key); ok && !c.names.warned["payload."+other] {
		c.names.warned["payload."+key] = true
		c.warn(x.Span, "the statement reads payload."+key+" and payload."+other, "is one of them misspelt?")
	}
}

// swapped returns a member of the payload whose name is key with two neighboring
// characters swapped. Short names are like one another by chance.
func (n *names) swapped(key string) (string, bool) {
	for i := 1; i < len(key) && len(key) > 3; i++ {
		if key[i] == key[i-1] {
			continue
		}
		other := key[:i-1] + string([]byte{key[i], key[i-1]}) + key[i+1:]
		if _, ok := slices.BinarySearch(n.payload, other); ok {
			return other, true
		}
	}
	return "", false
}

// visible returns the names that a clause sees beside the event's columns.
func (s *scope) visible() []string {
	out := []string{s.item}
	for _, f := range []*frame{s.selected, s.do} {
		if f == nil {
			continue
		}
		for name := range f.slots {
			if !strings.HasPrefix(name, "\x00") {
				out = append(out, name)
			}
		}
	}
	return out
}

// nullWord reports whether a name looks like other languages' null.
func nullWord(name string) bool {
	switch strings.ToLower(name) {
	case "null", "nil", "none", "undefined":
		return true
	}
	return false
}

// checkNull warns of a comparison with a column that is to be null.
func (c *compiler) checkNull(s *scope, x *sqlparse.Binary) {
	for _, side := range [...][2]sqlparse.Expr{{x.X, x.Y}, {x.Y, x.X}} {
		p, ok := side[1].(*sqlparse.Path)
		if !ok || len(p.Steps) > 0 || p.Quoted || !nullWord(p.Name) || c.names.columns[p.Name] || slices.Contains(s.visible(), p.Name) {
			continue
		}
		other, test := sqlparse.Format(side[0]), "is_null"
		if x.Op == sqlparse.OpNe {
			test = "is_not_null"
		}
		c.names.warned[p.Name] = true
		c.warn(x.Span, p.Name+" is a column that is not there: whatever has a value, "+sqlparse.Format(x)+" is false",
			"write "+test+"("+other+"), or "+test+"_var("+other+") where JSON's null counts too")
		return
	}
}

// checkTopic looks at a topic filter that is constant.
func (c *compiler) checkTopic(x *sqlparse.Binary) {
	switch y := x.Y.(type) {
	case *sqlparse.String:
		if err := topic.ValidateFilter(y.Value); x.Op == sqlparse.OpMatch && err != nil {
			c.warn(y.Span, err.Error()+"; no topic matches it", "")
		}
		if p, ok := x.X.(*sqlparse.Path); ok && x.Op == sqlparse.OpEq && p.Name == "topic" && len(p.Steps) == 0 && topic.HasWildcard(y.Value) {
			c.warn(x.Span, "= takes the wildcards of '"+y.Value+"' for characters", "a topic is matched with topic =~ '"+y.Value+"'")
		}
	case *sqlparse.Int, *sqlparse.Float, *sqlparse.Bool, *sqlparse.List, *sqlparse.Range:
		if x.Op == sqlparse.OpMatch {
			c.refuseOrWarn(y.Pos(), errNoTopic.Error(), "")
		}
	}
}
