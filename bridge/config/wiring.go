package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluiceio/sluice/internal/topic"
	"github.com/sluiceio/sluice/source/broker"
)

// checkWiring looks for parts that do not go together, though each is right by
// itself.
func (def *Definition) checkWiring(d *decoder) {
	def.checkTwice(d)
	for _, name := range sortedKeys(def.compiled) {
		for _, filter := range def.compiled[name].Filters() {
			def.checkFilter(d, def.rules[name], filter)
		}
	}
	def.warnUnused(d)
}

// checkTwice refuses what two parts cannot have at once.
func (def *Definition) checkTwice(d *decoder) {
	taken := claims{d: d, by: map[string]string{}}
	for _, name := range sortedKeys(def.sources) {
		s := def.sources[name]
		switch source := s.def.(type) {
		case *mqttSource:
			taken.sessions(s.node, s.path, source.ClientID, source.Servers)
		case *brokerSource:
			for i, l := range source.Listeners {
				option := fmt.Sprintf("listeners[%d]", i)
				taken.listener(child(s.node, option), s.path+"."+option, l.URL)
			}
			if len(source.Listeners) == 0 {
				taken.listener(s.key, s.path, broker.DefaultListen)
			}
			if source.SessionFile != "" {
				taken.claim(child(s.node, "session_file"), s.path+".session_file", "the file", "file "+realPath(source.SessionFile))
			}
		}
	}
	for _, name := range sortedKeys(def.sinks) {
		s := def.sinks[name]
		switch sink := s.def.(type) {
		case *mqttSink:
			taken.sessions(s.node, s.path, sink.ClientID, sink.Servers)
		case *fileSink:
			if sink.Path != "" {
				taken.claim(child(s.node, "path"), s.path+".path", "the file", "file "+realPath(sink.Path))
			}
		}
		if s.BufferDir != "" {
			const option = "resource_opts.buffer_dir"
			taken.claim(child(s.node, option), s.path+"."+option, "the directory", "dir "+realPath(s.BufferDir))
		}
	}
}

// claims are what only one part can have, with the path of the part that has it.
type claims struct {
	d  *decoder
	by map[string]string
}

// claim takes something for the part at path, unless another one has it.
func (c *claims) claim(at ast.Node, path, what, key string) bool {
	if other, ok := c.by[key]; ok {
		c.d.addf(at, path, "%s is that of %s already", what, other)
		return false
	}
	c.by[key] = path
	return true
}

// sessions takes a client id at brokers: with each new connection the broker would
// end the other one.
func (c *claims) sessions(node ast.Node, path, id string, servers Texts) {
	if id == "" {
		return
	}
	for _, key := range slices.Compact(slices.Sorted(slices.Values(addresses(servers)))) {
		if !c.claim(child(node, "client_id"), path+".client_id", "the client id at this broker", "client "+id+" at "+key) {
			return
		}
	}
}

func addresses(servers Texts) (list []string) {
	for _, s := range servers {
		list = append(list, address(s))
	}
	return list
}

// listener takes the address of a listener. All addresses of the machine include
// each of them.
func (c *claims) listener(at ast.Node, path, text string) {
	u, err := url.Parse(text)
	if err != nil {
		return // reported by the broker
	}
	if u.Scheme == "unix" {
		c.claim(at, path, "the socket", "file "+realPath(u.Path))
		return
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" || port == "0" {
		return
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
		host = ""
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	for key, other := range c.by {
		taken, ok := strings.CutPrefix(key, "port ")
		if !ok {
			continue
		}
		takenHost, takenPort, _ := net.SplitHostPort(taken)
		if takenPort == port && (takenHost == host || takenHost == "" || host == "") {
			c.d.addf(at, path, "the port is that of %s already", other)
			return
		}
	}
	c.by["port "+net.JoinHostPort(host, port)] = path
}

// realPath is one name of a file.
func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// checkFilter refuses a filter of a rule that no source hands out anything for, and
// warns if it is a part only.
func (def *Definition) checkFilter(d *decoder, r *part[*ruleDefinition], filter string) {
	if topic.IsEvent(filter) {
		if !strings.HasPrefix(filter, "$events/") {
			def.checkSourceName(d, r, filter)
		}
		return
	}
	var all, some []string // filters of the sources, and those that the rule sees
	for _, name := range sortedKeys(def.sources) {
		source, client := def.sources[name].def.(*mqttSource)
		if !client || source.followsRules() {
			return
		}
		for i := range source.Filters {
			_, own, _ := topic.Share(source.Filters[i].Topic)
			if topic.ValidateFilter(own) != nil {
				return // reported by the source
			}
			all = append(all, own)
			switch {
			case topic.Covers(own, filter):
				return
			case topic.Overlap(own, filter):
				some = append(some, own)
			}
		}
	}
	line, column := place(r.def.SQL, filter)
	at := d.placed(child(r.node, "sql"), r.path+".sql", r.def.SQL, line, column, "")
	switch {
	case len(all) == 0: // there are no sources
	case len(some) == 0:
		at.Err = fmt.Errorf("no source subscribes to anything that %q matches; the filters are %s", filter, quoted(all))
		d.list = append(d.list, at)
	case filter != "#": // which means all that there is
		at.Err = fmt.Errorf("of %q only what matches %s is subscribed to", filter, quoted(some))
		def.warning(at)
	}
}

// checkSourceName refuses a name of a source that there is none of.
func (def *Definition) checkSourceName(d *decoder, r *part[*ruleDefinition], filter string) {
	var known []string
	for _, name := range sortedKeys(def.sources) {
		names := def.sourceNames(name)
		if len(names) == 1 && strings.HasSuffix(filter, ":"+name) {
			return // the type of this source is known when it is made
		}
		known = append(known, names...)
	}
	wanted := strings.Replace(filter, "$bridges/", "$sources/", 1)
	for _, name := range known {
		if topic.Match(wanted, name) {
			return
		}
	}
	hint := didYouMean(wanted, known)
	if hint == "" {
		hint = "; there are " + strings.Join(known, ", ")
	}
	line, column := place(r.def.SQL, filter)
	d.list = append(d.list, d.placed(child(r.node, "sql"), r.path+".sql", r.def.SQL, line, column,
		fmt.Sprintf("there is no source %q%s", filter, hint)))
}

// sourceNames are the names by which rules find the messages of a source.
func (def *Definition) sourceNames(name string) []string {
	names := []string{"$sources/" + name}
	switch def.sources[name].def.(type) {
	case *mqttSource:
		names = append(names, "$sources/mqtt:"+name)
	case *brokerSource:
		names = append(names, "$sources/broker:"+name)
	}
	return names
}

// place is the line and column of a part of a text, or of its beginning.
func place(text, part string) (line, column int) {
	return lineAndColumn(text, max(strings.Index(text, part), 0))
}

func lineAndColumn(text string, offset int) (line, column int) {
	before := text[:offset]
	return 1 + strings.Count(before, "\n"), 1 + len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))
}

func quoted(list []string) string {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(texts, ", ")
}

// warnUnused warns of sinks that nothing is sent to.
func (def *Definition) warnUnused(d *decoder) {
	used := map[string]bool{def.options.RuleFallback: true, def.options.Unmatched: true}
	for _, r := range def.rules {
		used[r.def.Fallback] = true
		for i := range r.def.Actions {
			used[r.def.Actions[i].Sink] = true
		}
	}
	for _, s := range def.sinks {
		used[s.Fallback] = true
	}
	for _, name := range sortedKeys(def.sinks) {
		if !used[name] {
			s := def.sinks[name]
			def.warnAt(d, s.key, s.path, "nothing is sent to it: no action names it, and it is no fallback")
		}
	}
}
