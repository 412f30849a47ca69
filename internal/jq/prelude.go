package jq

import "github.com/itchyny/gojq"

// library are functions that gojq has as jq source and that make texts, arrays or
// objects, or write to paths. Here they are part of the program and rewritten as
// it is. One may use those before it.
var library = []string{
	`def map(f): [.[] | f];`,
	`def map_values(f): .[] |= f;`,
	`def add(f): [f] | add;`,
	`def to_entries: [keys[] as $k | {key: $k, value: .[$k]}];`,
	`def from_entries: map({(.key // .Key // .name // .Name): if has("value") then .value else .Value end}) | add // {};`,
	`def with_entries(f): to_entries | map(f) | from_entries;`,
	`def min_by(f): _min_by(map([f]));`,
	`def max_by(f): _max_by(map([f]));`,
	`def sort_by(f): _sort_by(map([f]));`,
	`def group_by(f): _group_by(map([f]));`,
	`def unique_by(f): _unique_by(map([f]));`,
	`def combinations: if length == 0 then [] else .[0][] as $x | [$x] + (.[1:] | combinations) end;`,
	`def combinations(n): [limit(n; repeat(.))] | combinations;`,
	`def walk(f): def _walk: if type == "array" then map(_walk) elif type == "object" then map_values(_walk) end | f; _walk;`,
	`def del(f): delpaths([path(f)]);`,
	`def pick(f): . as $v | reduce path(f) as $p (null; setpath($p; $v | getpath($p)));`,
	`def paths: path(..) | select(. != []);`,
	`def paths(f): path(.. | select(f)) | select(. != []);`,
	`def tostream: path(def r: (.[]? | r), .; r) as $p | getpath($p) | reduce path(.[]?) as $q ([$p, .]; [$p + $q]);`,
	`def fromstream(f): foreach f as $event (null;
		if .done then null end | $event as [$path, $leaf] |
		if $event | length == 2
		then setpath(["value"] + $path; $leaf) | setpath(["done"]; $path | length == 0)
		else setpath(["done"]; $path | length == 1) end;
		if .done then .value else empty end);`,
	`def match($re; $flags): _sluice_match($re; $flags; false; $__sluice)[];`,
	`def match($re): if $re | type == "array" then match($re[0]; $re[1]) else match($re; null) end;`,
	`def test($re; $flags): _sluice_match($re; $flags; true; $__sluice);`,
	`def test($re): if $re | type == "array" then test($re[0]; $re[1]) else test($re; null) end;`,
	`def capture($re; $flags): match($re; $flags) | .captures | _captures;`,
	`def capture($re): if $re | type == "array" then capture($re[0]; $re[1]) else capture($re; null) end;`,
	`def scan($re; $flags): match($re; $flags + "g") | if .captures == [] then .string else [.captures[].string] end;`,
	`def scan($re): scan($re; null);`,
	`def splits($re; $flags): [match($re; $flags + "g")] as $found | _sluice_split($found; $__sluice)[];`,
	`def splits($re): splits($re; null);`,
	`def split($re; $flags): [splits($re; $flags)];`,
	`def sub($re; str; $flags): [match($re; $flags) | .by = [.captures | _captures | str]] as $found | _sluice_substitute($found; $__sluice)[];`,
	`def sub($re; str): sub($re; str; null);`,
	`def gsub($re; str; $flags): sub($re; str; $flags + "g");`,
	`def gsub($re; str): sub($re; str; "g");`,
	`def INDEX(stream; f): reduce stream as $row ({}; .[$row | f | tostring] = $row);`,
	`def INDEX(f): INDEX(.[]; f);`,
	`def JOIN($idx; f): [.[] | [., $idx[f]]];`,
	`def JOIN($idx; stream; f): stream | [., $idx[f]];`,
	`def JOIN($idx; stream; f; g): stream | [., $idx[f]] | g;`,
}

// prelude returns the functions of the library that a program uses.
func prelude(r *rewriter) ([]*gojq.FuncDef, error) {
	r.trusted = true
	var defs []*gojq.FuncDef
	for i := len(library) - 1; i >= 0; i-- {
		q, err := gojq.Parse(library[i])
		if err != nil {
			return nil, err
		}
		def := q.FuncDefs[0]
		if !r.used[key(def.Name, len(def.Args))] {
			continue
		}
		r.define(def)
		r.leave(q.FuncDefs)
		defs = append([]*gojq.FuncDef{def}, defs...)
	}
	return defs, nil
}
