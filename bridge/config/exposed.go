package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/sluiceio/sluice/internal/topic"
	"github.com/sluiceio/sluice/sink/republish"
	"github.com/sluiceio/sluice/template"
)

// warnExposed keeps what lets others read, write or stop more than the author of
// the definition may have in mind.
func (def *Definition) warnExposed(d *decoder) {
	for _, name := range sortedKeys(def.sources) {
		s := def.sources[name]
		switch source := s.def.(type) {
		case *brokerSource:
			def.warnOpen(d, s.key, s.node, s.path, source)
		case *mqttSource:
			def.warnPassword(d, s.node, s.path, source.Servers, source.Password != "" || source.Auth != nil)
		}
	}
	for _, name := range sortedKeys(def.sinks) {
		s := def.sinks[name]
		switch sink := s.def.(type) {
		case *mqttSink:
			def.warnPassword(d, s.node, s.path, sink.Servers, sink.Password != "")
		case *kinesisSink:
			if sink.AccessKeyID != sink.SecretAccessKey && plainHTTP(sink.Endpoint) {
				def.warnAt(d, child(s.node, "endpoint"), s.path+".endpoint",
					"fixed keys are used over http, where anybody on the way can see and change the records; use https")
			}
		case *httpSink:
			if len(sink.Headers) > 0 && plainHTTP(sink.URL) {
				def.warnAt(d, child(s.node, "url"), s.path+".url",
					"the headers are sent over http, where anybody on the way can read them; use https")
			}
		}
		if _, local := s.def.(*fileSink); !local && !s.bounded() && !def.isFallback(name) {
			def.warnAt(d, s.key, s.path, "it has neither request_ttl nor fallback: a record that it cannot write is tried for ever, "+
				"and one that it refuses for good is dropped; write request_ttl: infinity if that is wanted")
		}
	}
	for _, name := range sortedKeys(def.rules) {
		def.warnLoop(d, def.rules[name])
	}
}

// bounded reports whether it is said what becomes of records that a sink does not
// take.
func (p *part[D]) bounded() bool {
	const ttl = "request_ttl"
	options := entryOf(p.node, "resource_opts")
	return p.Fallback != "" || options != nil && entryOf(options, ttl) != nil
}

// warnOpen warns of a broker that lets in everybody from everywhere.
func (def *Definition) warnOpen(d *decoder, key, node ast.Node, path string, b *brokerSource) {
	for i, l := range b.Listeners {
		u, err := url.Parse(l.URL)
		if err != nil || u.Scheme == "unix" || loopback(u.Hostname()) {
			continue
		}
		at, where := child(node, fmt.Sprintf("listeners[%d]", i)), fmt.Sprintf("%s.listeners[%d]", path, i)
		certified := l.TLS != nil && l.TLS.CACertFile != ""
		switch {
		case b.UsersFile == "" && !certified:
			def.warnAt(d, at, where, "anyone who can reach it is let in: set users_file, "+
				"certificates of clients (ssl.cacertfile), or listen on 127.0.0.1")
		case b.UsersFile != "" && (u.Scheme == "mqtt" || u.Scheme == "ws"):
			def.warnAt(d, at, where, "passwords cross the network as they are; use "+u.Scheme+"s")
		}
		if b.ACLFile == "" && (b.UsersFile != "" || certified) {
			def.warnAt(d, key, path, "every user may publish and subscribe to everything: set acl_file")
		}
	}
}

// warnPassword warns of a password that crosses a network as it is.
func (def *Definition) warnPassword(d *decoder, node ast.Node, path string, servers Texts, password bool) {
	for i, server := range servers {
		u, err := url.Parse(server)
		if !password || err != nil || loopback(u.Hostname()) {
			continue
		}
		if scheme := strings.ToLower(u.Scheme); slices.Contains([]string{"mqtt", "tcp", "ws"}, scheme) {
			at, where := child(node, "servers"), path+".servers"
			if len(servers) > 1 {
				at, where = child(node, fmt.Sprintf("servers[%d]", i)), fmt.Sprintf("%s.servers[%d]", path, i)
			}
			secure := "mqtts"
			if scheme == "ws" {
				secure = "wss"
			}
			def.warnAt(d, at, where, fmt.Sprintf("the password crosses the network as it is by %s; use %s", scheme, secure))
		}
	}
}

func plainHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && strings.EqualFold(u.Scheme, "http") && !loopback(u.Hostname())
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.IsLoopback()
}

// isFallback reports whether the sink is that for what another one cannot store.
func (def *Definition) isFallback(name string) bool {
	for _, s := range def.sinks {
		if s.Fallback == name {
			return true
		}
	}
	return false
}

// warnLoop warns of a rule that publishes to what it listens to.
func (def *Definition) warnLoop(d *decoder, r *part[*ruleDefinition]) {
	compiled := def.compiled[strings.TrimPrefix(r.path, "rules.")]
	if compiled == nil {
		return
	}
	filters, _ := split(compiled.Filters())
	for i := range r.def.Actions {
		a := &r.def.Actions[i]
		sink := def.sinks[a.Sink]
		if sink == nil {
			continue
		}
		out, ok := sink.def.(*mqttSink)
		if !ok || !def.comesBack(out.Servers) {
			continue
		}
		name, constant := example(first(a.places()), template.Dialect(a.Dialect))
		for _, f := range filters {
			if _, rest, ok := topic.Share(f); ok {
				f = rest
			}
			if topic.ValidateName(name) != nil || !topic.Match(f, name) {
				continue
			}
			place := "topic"
			for _, p := range a.places() {
				if p.text != "" {
					place = p.name
				}
			}
			may, end := "is", fmt.Sprintf("it ends after %d rounds", cmp.Or(int(out.MaxHops), republish.DefaultMaxHops))
			if !constant {
				may = "may be"
			}
			if out.Unmarked {
				end = "it never ends, since the sink is unmarked"
			}
			def.warnAt(d, child(child(r.node, fmt.Sprintf("actions[%d]", i)), place), fmt.Sprintf("%s.actions[%d].%s", r.path, i, place),
				fmt.Sprintf("what is published there %s seen by this rule again, by its filter %q: %s", may, f, end))
			break
		}
	}
}

// example returns a topic that a template makes, and whether it makes no other.
func example(text string, dialect template.Dialect) (name string, constant bool) {
	t, err := template.CompileWith(text, template.Options{Dialect: dialect})
	if err != nil {
		return "", false
	}
	if name, constant = t.Constant(); constant {
		return name, true
	}
	topic, _ := t.Append(nil, anything{}) // which has a value for everything
	return string(topic), false
}

// anything has a value for every placeholder, which is one level of a topic.
type anything struct{}

// AppendVar implements template.Vars.
func (anything) AppendVar(dst []byte, _ *template.Var) ([]byte, error) { return append(dst, 'x'), nil }

// comesBack reports whether what is published at the servers comes in by a source.
func (def *Definition) comesBack(servers Texts) bool {
	out := map[string]bool{}
	for _, s := range servers {
		out[address(s)] = true
	}
	for _, s := range def.sources {
		switch source := s.def.(type) {
		case *brokerSource:
			for i := range source.Listeners {
				if out[address(source.Listeners[i].URL)] {
					return true
				}
			}
			if len(source.Listeners) == 0 && out["localhost:1883"] {
				return true
			}
		case *mqttSource:
			for _, server := range source.Servers {
				if out[address(server)] {
					return true
				}
			}
		}
	}
	return false
}

// address returns the host and port of a broker's URL.
func address(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && (addr.IsLoopback() || addr.IsUnspecified()) {
		host = "localhost"
	}
	if port == "" {
		port = map[string]string{"mqtts": "8883", "ssl": "8883", "tls": "8883", "ws": "80", "wss": "443"}[strings.ToLower(u.Scheme)]
	}
	if port == "" {
		port = "1883"
	}
	return net.JoinHostPort(host, port)
}
