package config

import (
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/sluiceio/sluice/bridge"
)

// Definition is a parsed file. Its parts are made by Build.
type Definition struct {
	sources map[string]*part[SourceDefinition]
	sinks   map[string]*part[SinkDefinition]
	rules   map[string]*part[*ruleDefinition]
	options pipelineOptions
}

// part is an entry of the definition, with where it stands.
type part[D any] struct {
	node ast.Node
	path string
	text string // as written, for comparing two definitions
	def  D
	ResourceOptions
}

// pipelineOptions are those of the pipeline as a whole.
type pipelineOptions struct {
	DrainTimeout  Duration `yaml:"drain_timeout"`
	CheckInterval Duration `yaml:"health_check_interval"`
	Workers       int      `yaml:"workers"`
}

// ResourceOptions are the options of a sink's queue, under "resource_opts" as in
// EMQX. Zero means the default of bridge.QueueConfig, which loses nothing: no
// time to live, and waiting when the queue is full.
type ResourceOptions struct {
	BatchSize      int      `yaml:"batch_size"`
	BatchTime      Duration `yaml:"batch_time"`
	MaxBufferBytes Size     `yaml:"max_buffer_bytes"`
	MaxBufferCount int      `yaml:"max_buffer_records"`
	InflightWindow int      `yaml:"inflight_window"`
	RequestTTL     Duration `yaml:"request_ttl"`
	ResumeInterval Duration `yaml:"resume_interval"`
	OnFull         onFull   `yaml:"on_full"`
	// Fallback names the sink for what cannot be stored.
	Fallback string `yaml:"fallback"`
}

func (o ResourceOptions) queue() bridge.QueueConfig {
	return bridge.QueueConfig{
		BatchSize: o.BatchSize, BatchTime: time.Duration(o.BatchTime),
		MaxBytes: int(o.MaxBufferBytes), MaxRecords: o.MaxBufferCount, InFlight: o.InflightWindow,
		RecordTTL: time.Duration(o.RequestTTL), ResumeInterval: time.Duration(o.ResumeInterval),
		OnFull: bridge.FullPolicy(o.OnFull), Fallback: o.Fallback,
	}
}

// onFull is bridge.FullPolicy by name.
type onFull bridge.FullPolicy

func (f *onFull) UnmarshalText(text []byte) error {
	for name, p := range map[string]bridge.FullPolicy{
		"block": bridge.Block, "drop_oldest": bridge.DropOldest, "drop_newest": bridge.DropNewest,
	} {
		if name == string(text) {
			*f = onFull(p)
			return nil
		}
	}
	return fmt.Errorf("%q is neither block, drop_oldest nor drop_newest", text)
}

// Options say how to read a definition.
type Options struct {
	// LookupEnv finds environment variables. Default os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// Types are the types of sources and sinks that a definition may name.
	// Default DefaultTypes().
	Types *Types
}

// Load reads the definition in a file.
func Load(path string, opts Options) (*Definition, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text, opts)
}

// Parse reads a definition in YAML or JSON; name stands for it in errors. All
// that is wrong is reported at once: errors.Join of *Error, in the order of the
// places.
func Parse(name string, text []byte, opts Options) (*Definition, error) {
	if opts.LookupEnv == nil {
		opts.LookupEnv = os.LookupEnv
	}
	if opts.Types == nil {
		opts.Types = DefaultTypes()
	}
	d := &decoder{problems: problems{file: name}, secret: map[ast.Node]bool{}}
	root, err := d.parse(text)
	if err != nil {
		return nil, err
	}
	def := &Definition{
		sources: map[string]*part[SourceDefinition]{},
		sinks:   map[string]*part[SinkDefinition]{},
		rules:   map[string]*part[*ruleDefinition]{},
	}
	for _, section := range d.mapping(root, "the definition") {
		def.section(d, section, opts)
	}
	def.check(d, root)
	return def, d.err()
}

// parse returns the root node of the one document in text.
func (d *decoder) parse(text []byte) (ast.Node, error) {
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.file, err)
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return nil, fmt.Errorf("%s: there is nothing in it", d.file)
	}
	return f.Docs[0].Body, nil
}

func (def *Definition) section(d *decoder, section *ast.MappingValueNode, opts Options) {
	name := keyOf(section)
	switch name {
	case "sources", "sinks", "rules":
		for _, e := range d.mapping(section.Value, name) {
			def.entry(d, name, e, opts)
		}
	case "pipeline":
		d.value(d.interpolate(section.Value, opts.LookupEnv), name, reflect.ValueOf(&def.options).Elem())
	default:
		d.addf(section.Key, name, "unknown section%s", didYouMean(name, []string{"sources", "sinks", "rules", "pipeline"}))
	}
}

func (def *Definition) entry(d *decoder, section string, e *ast.MappingValueNode, opts Options) {
	name, text := keyOf(e), e.String()
	path := section + "." + name
	node := d.interpolate(e.Value, opts.LookupEnv)
	switch section {
	case "rules":
		r := &ruleDefinition{}
		d.value(node, path, reflect.ValueOf(r).Elem())
		def.rules[name] = &part[*ruleDefinition]{node: node, path: path, text: text, def: r}
	case "sources":
		p := &part[SourceDefinition]{node: node, path: path, text: text}
		if decodeTyped(d, p, "source", opts.Types.Sources) {
			def.sources[name] = p
		}
	case "sinks":
		p := &part[SinkDefinition]{node: node, path: path, text: text}
		if decodeTyped(d, p, "sink", opts.Types.Sinks) {
			def.sinks[name] = p
		}
	}
}

// decodeTyped fills a part by the type that it names.
func decodeTyped[D any](d *decoder, p *part[D], kind string, types map[string]func() D) bool {
	rest := &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: p.node.GetToken()}
	typ := ""
	for _, e := range d.mapping(p.node, p.path) {
		switch keyOf(e) {
		case "type":
			d.value(e.Value, p.path+".type", reflect.ValueOf(&typ).Elem())
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
	make, ok := types[typ]
	if !ok {
		if typ == "" {
			d.addf(p.node, p.path, "type is missing; known are %v", sortedKeys(types))
		} else {
			d.addf(p.node, p.path+".type", "there is no %s of type %q%s", kind, typ, didYouMean(typ, sortedKeys(types)))
		}
		return false
	}
	p.def = make()
	d.value(rest, p.path, reflect.ValueOf(p.def).Elem())
	return true
}

// check looks for names that lead nowhere, and for rules that do not compile.
func (def *Definition) check(d *decoder, root ast.Node) {
	if len(d.list) > 0 {
		// One mistake may be the cause of the next; but rules stand by themselves.
		def.checkRules(d)
		return
	}
	if len(def.sources) == 0 {
		d.addf(root, "sources", "at least one source is needed")
	}
	if len(def.sinks) == 0 {
		d.addf(root, "sinks", "at least one sink is needed")
	}
	for name, s := range def.sinks {
		switch f := s.Fallback; {
		case f == "":
		case f == name:
			d.addf(s.node, s.path+".resource_opts.fallback", "a sink cannot be its own fallback")
		case def.sinks[f] == nil:
			d.addf(s.node, s.path+".resource_opts.fallback", "there is no sink %q%s", f, didYouMean(f, sortedKeys(def.sinks)))
		}
	}
	def.checkRules(d)
}

func (def *Definition) checkRules(d *decoder) {
	for name, r := range def.rules {
		for i, a := range r.def.Actions {
			path := fmt.Sprintf("%s.actions[%d].sink", r.path, i)
			switch {
			case a.Sink == "" && len(def.sinks) > 1:
				d.addf(r.node, path, "names no sink, and there are %d", len(def.sinks))
			case a.Sink != "" && def.sinks[a.Sink] == nil:
				d.addf(r.node, path, "there is no sink %q%s", a.Sink, didYouMean(a.Sink, sortedKeys(def.sinks)))
			}
		}
		compiled, err := r.def.compile(name)
		if err != nil {
			d.add(r.node, r.path, err)
			continue
		}
		r.def.rule = compiled
	}
}
