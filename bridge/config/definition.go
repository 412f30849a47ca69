package config

import (
	"os"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/sluiceio/sluice/internal/smallfile"
	"github.com/sluiceio/sluice/rule"
)

// Definition is a parsed file. Its parts are made by Build.
type Definition struct {
	sources  map[string]*part[SourceDefinition]
	sinks    map[string]*part[SinkDefinition]
	rules    map[string]*part[*ruleDefinition]
	compiled map[string]*rule.Rule // the rules that are in force
	every    map[string]*rule.Rule // those and the ones that are not enabled
	options  pipelineOptions
	pipe     ast.Node // where the options stand; nil if nowhere
	warnings []*Error
	values   map[string]string // from outside, with the references to them
}

// part is an entry of the definition, with where it stands.
type part[D any] struct {
	key, node ast.Node
	path      string
	def       D
	ResourceOptions
}

// pipelineOptions are those of the pipeline as a whole.
type pipelineOptions struct {
	RuleFallback  string    `yaml:"rule_fallback" doc:"The sink for messages on which a rule fails (dead letters), unless the rule has a fallback of its own. Default: none; such messages are counted, logged and acknowledged."`
	KeepFailed    bool      `yaml:"keep_failed" doc:"Messages on which a rule fails, and which have no fallback, are not acknowledged: the broker keeps them. They fill the window of the source, so that in the end nothing flows. Default false."`
	Unmatched     string    `yaml:"unmatched" doc:"The sink for messages that no rule wants. Default: none; they are counted and acknowledged."`
	DrainTimeout  Duration  `yaml:"drain_timeout" doc:"How long a stop may take to write what was read. Default 30s."`
	CheckInterval *Duration `yaml:"health_check_interval" doc:"How often sources and sinks are asked for their health; 0 for never. Default 15s."`
	ReadBatch     Count     `yaml:"read_batch" doc:"Messages that are taken from a source at once. Default 256."`
	Workers       Count     `yaml:"workers" doc:"Goroutines that evaluate rules, per source. Default: one per CPU."`

	Limits ruleLimits `yaml:"limits" doc:"What one message may cost in one rule, before the rule fails on it; see docs/sql.md."`
}

// Options say how to read a definition.
type Options struct {
	// Engine runs the rules; make one to give them functions of your own, or to
	// keep their key-value store when the definition is loaded again. Default: a
	// new engine for each definition.
	Engine *rule.Engine
	// LookupEnv finds environment variables. Default os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// ReadFile reads the files that ${file:PATH} names. Default
	// os.ReadFile, up to 4 MiB.
	ReadFile func(path string) ([]byte, error)
	// Types are the types of sources and sinks that a definition may name.
	// Default DefaultTypes().
	Types *Types
}

func (o Options) withDefaults() (Options, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.ReadFile == nil {
		o.ReadFile = smallfile.Read
	}
	if o.Types == nil {
		o.Types = DefaultTypes()
	}
	var err error
	if o.Engine == nil {
		o.Engine, err = rule.NewEngine(rule.EngineConfig{})
	}
	return o, err
}

// Load reads the definition in a file.
func Load(path string, opts Options) (*Definition, error) {
	text, err := smallfile.Read(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text, opts)
}

// Parse reads a definition in YAML or JSON; name stands for it in errors. All
// that is wrong is reported at once: errors.Join of *Error, in the order of the
// places.
func Parse(name string, text []byte, opts Options) (*Definition, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &decoder{
		problems: problems{file: name}, lines: strings.Split(string(text), "\n"), lookup: opts.LookupEnv, readFile: opts.ReadFile,
		values: map[string]string{}, secret: map[ast.Node]bool{},
	}
	root := d.parse(text)
	if len(d.list) > 0 {
		return nil, d.err(nil)
	}
	def := &Definition{
		sources: map[string]*part[SourceDefinition]{},
		sinks:   map[string]*part[SinkDefinition]{},
		rules:   map[string]*part[*ruleDefinition]{},
		values:  d.values,
	}
	for _, section := range d.entries(root, "") {
		def.section(d, section, opts)
	}
	def.check(d, opts)
	if err := d.err(d.values); err != nil {
		return nil, err
	}
	return def, nil
}

// parse returns the root node of the one document in text.
func (d *decoder) parse(text []byte) ast.Node {
	if !d.bounded(text) {
		return nil
	}
	f, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.list = append(d.list, syntaxError(d.file, d.lines, err))
		return nil
	}
	var body ast.Node
	for _, doc := range f.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType:
		case body != nil:
			d.addf(doc.Body, "", "a second document; there must be one")
		default:
			body = doc.Body
		}
	}
	switch {
	case body == nil:
		d.addf(nil, "", "there is nothing in it")
	case !isMapping(body):
		d.addf(body, "", "must be a mapping of sources, sinks and rules, not %s", kindOf(body))
	}
	return body
}

func (def *Definition) section(d *decoder, section *ast.MappingValueNode, opts Options) {
	name := keyOf(section)
	switch name {
	case "sources", "sinks", "rules":
		for _, e := range d.entries(section.Value, name) {
			def.entry(d, name, e, opts)
		}
	case "pipeline":
		def.pipe = section.Value
		d.value(d.interpolate(section.Value, name), name, reflect.ValueOf(&def.options).Elem())
	default:
		d.addf(section.Key, name, "unknown section%s", didYouMean(name, []string{"sources", "sinks", "rules", "pipeline"}))
	}
}

func (def *Definition) entry(d *decoder, section string, e *ast.MappingValueNode, opts Options) {
	name := keyOf(e)
	path := section + "." + name
	if name == "" || strings.ContainsAny(name, ". \t\n") {
		d.addf(e.Key, path, "a name must not be empty nor contain dots or spaces")
	}
	node := d.interpolate(e.Value, path)
	switch section {
	case "rules":
		r := &ruleDefinition{}
		d.value(node, path, reflect.ValueOf(r).Elem())
		if !isMapping(node) && node.Type() != ast.NullType {
			return // reported
		}
		def.rules[name] = &part[*ruleDefinition]{key: e.Key, node: node, path: path, def: r}
	case "sources":
		p := &part[SourceDefinition]{key: e.Key, node: node, path: path}
		decodeTyped(d, p, "source", opts.Types.Sources)
		def.sources[name] = p
	case "sinks":
		p := &part[SinkDefinition]{key: e.Key, node: node, path: path}
		decodeTyped(d, p, "sink", opts.Types.Sinks)
		def.sinks[name] = p
	}
}

// decodeTyped fills a part by the type that it names; def stays nil when there is
// none.
func decodeTyped[D any](d *decoder, p *part[D], kind string, types map[string]func() D) {
	if !isMapping(p.node) && p.node.Type() != ast.NullType {
		d.mapping(p.node, p.path)
		return
	}
	rest := &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: p.key.GetToken()}
	var typ ast.Node
	for _, e := range d.entries(p.node, p.path) {
		switch keyOf(e) {
		case "type":
			typ = e.Value
		case "resource_opts":
			if kind != "sink" {
				d.addf(e.Key, p.path+".resource_opts", "only sinks have it")
				continue
			}
			d.value(e.Value, p.path+".resource_opts", reflect.ValueOf(&p.ResourceOptions).Elem())
		default:
			rest.Values = append(rest.Values, e)
		}
	}
	if typ == nil || typ.Type() == ast.NullType {
		d.addf(p.key, p.path, "type is missing; there are %s", strings.Join(sortedKeys(types), ", "))
		for _, e := range rest.Values {
			if hint := didYouMean(keyOf(e), []string{"type"}); hint != "" {
				d.addf(e.Key, p.path+"."+keyOf(e), "unknown key%s", hint)
			}
		}
		return
	}
	name, _ := textOf(typ)
	create, ok := types[name]
	if !ok {
		hint := didYouMean(name, sortedKeys(types))
		if hint == "" {
			hint = "; there are " + strings.Join(sortedKeys(types), ", ")
		}
		d.addf(typ, p.path+".type", "there is no %s of type %q%s", kind, name, hint)
		return
	}
	p.def = create()
	d.value(rest, p.path, reflect.ValueOf(p.def).Elem())
}

// Rules returns the names of the rules, sorted.
func (def *Definition) Rules() []string { return sortedKeys(def.rules) }

// Warnings returns what is odd, but not wrong.
func (def *Definition) Warnings() []*Error { return def.warnings }
