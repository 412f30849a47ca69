package builtin

import (
	"strings"

	"github.com/sluiceio/sluice/internal/value"
)

func mapFunctions() []Function {
	return []Function{
		{
			Name: "map_new", Pure: true, Doc: "An empty map.", Examples: []Example{{Expr: "map_new()", Result: "{}"}},
			Call: func(*Ctx, []value.Value) (value.Value, error) { return value.Map(nil), nil },
		},
		{
			Name: "map_get", Args: params("path", String, "map", Any, "default", Any), Min: 2, Pure: true, Call: mapGet,
			Doc:      "The value at a path whose steps are separated by dots. The text of a JSON object will do for a map, also on the way. When there is none, or the text is no JSON: the default, or undefined.",
			Examples: []Example{{Expr: `map_get('a.b', '{"a":{"b":6}}')`, Result: "6"}, {Expr: "map_get('a', map_new(), 0)", Result: "0"}},
		},
		{
			Name: "map_put", Args: params("path", String, "value", Any, "map", Any), Min: 3, Pure: true, Call: mapPut,
			Doc:      "The map with a value put at a path whose steps are separated by dots; maps on the way are made. What is no map counts as an empty one.",
			Examples: []Example{{Expr: `map_put('a.c', 2, json_decode('{"a":{"b":1}}'))`, Result: `{"a":{"b":1,"c":2}}`}},
		},
		{
			Name: "mget", Args: params("key", Text|Number|List, "map", Object|List, "default", Any), Min: 2, Pure: true, Call: mget,
			Doc:      "The value of a key, which is no path with dots, in a map or the text of a JSON object; the default or undefined when there is none. A number is never one. An array of keys leads deeper; EMQX's documentation has that, its rule engine not.",
			Examples: []Example{{Expr: `mget('a.b', '{"a.b":1}')`, Result: "1"}, {Expr: `mget(['a', 'b'], '{"a":{"b":1}}')`, Result: "1"}},
		},
		{
			Name: "mput", Args: params("key", Text|Number|List, "value", Any, "map", Object|List), Min: 3, Pure: true, Call: mput,
			Doc:      "The map, or the JSON object that a text holds, with the value of a key, which is no path with dots, set. An array of keys leads deeper.",
			Examples: []Example{{Expr: `mput('a', 2, '{"a":1}')`, Result: `{"a":2}`}},
		},
		{
			Name: "map_keys", Args: params("map", Object|List), Min: 1, Pure: true, Call: mapKeys,
			Doc: "The keys of a map or of the text of a JSON object, sorted.", Examples: []Example{{Expr: `map_keys('{"b":1,"a":2}')`, Result: `["a","b"]`}},
		},
		{
			Name: "map_values", Args: params("map", Object|List), Min: 1, Pure: true, Call: mapValues,
			Doc: "The values of a map or of the text of a JSON object, in the order of their keys.", Examples: []Example{{Expr: `map_values('{"b":1,"a":2}')`, Result: "[2,1]"}},
		},
		{
			Name: "map_to_entries", Args: params("map", Object|List), Min: 1, Pure: true, Call: mapToEntries,
			Doc:      "The members of a map or of the text of a JSON object as an array of maps with key and value.",
			Examples: []Example{{Expr: `map_to_entries('{"a":1}')`, Result: `[{"key":"a","value":1}]`}},
		},
		{
			Name: "map_size", Args: params("map", Object|List), Min: 1, Pure: true, Call: mapSize,
			Doc: "The number of members of a map or of the text of a JSON object.", Examples: []Example{{Expr: `map_size('{"a":1}')`, Result: "1"}},
		},
		{
			Name: "map_to_redis_hset_args", Args: params("map", Any), Min: 1, Pure: true, Call: redisArgs,
			Doc:      "An array of the function's name and then each key and value of the map as text, as EMQX's Redis action wants it; members that are no text, number or boolean are left out.",
			Examples: []Example{{Expr: `map_to_redis_hset_args(json_decode('{"a":1.5}'))`, Result: `["map_to_redis_hset_args","a","1.5"]`}},
		},
	}
}

func mapGet(c *Ctx, args []value.Value) (value.Value, error) {
	v := args[1]
	for step := range strings.SplitSeq(args[0].AsString(), ".") {
		if v = v.Parse(c.Arena).Member(c.Arena, step); v.IsUndefined() {
			if len(args) > 2 {
				return args[2], nil
			}
			break
		}
		if c.Arena.Err() != nil {
			break
		}
	}
	return v, nil
}

func mapPut(c *Ctx, args []value.Value) (value.Value, error) {
	path := args[0].AsString()
	if strings.Count(path, ".") >= value.MaxDepth {
		return value.Undefined(), value.ErrDepth
	}
	if err := c.Arena.Charge(args[1]); err != nil {
		return value.Undefined(), err
	}
	return c.putPath(args[2], path, args[1]), nil
}

// putPath returns base with v put at a path. Text that holds JSON is looked into on
// the way to a deeper key, but only maps keep their other members.
func (c *Ctx) putPath(base value.Value, path string, v value.Value) value.Value {
	key, rest, deeper := strings.Cut(path, ".")
	if c.Arena.Err() != nil {
		return v // which nobody will see
	}
	if deeper {
		v = c.putPath(base.Parse(c.Arena).Member(c.Arena, key), rest, v)
	}
	return c.putMember(base, key, v)
}

// putMember returns base, or an empty map when it is none, with a member set.
func (c *Ctx) putMember(base value.Value, key string, v value.Value) value.Value {
	if base.Kind() != value.KindMap {
		base = value.Map(nil)
	}
	return c.Arena.Put(base, key, v)
}

func mget(c *Ctx, args []value.Value) (value.Value, error) {
	m, err := object(c, args[1])
	if err != nil {
		return m, err
	}
	v := m
	if args[0].Kind() == value.KindList {
		for _, key := range args[0].Elements(c.Arena) {
			if v = v.Parse(c.Arena).Member(c.Arena, key.Text(c.Arena)); v.IsUndefined() {
				break
			}
			if err := c.Arena.Err(); err != nil {
				return v, err
			}
		}
	} else if v = value.Undefined(); !args[0].IsNumber() {
		v = m.Member(c.Arena, text(args[0]))
	}
	if v.IsUndefined() && len(args) > 2 {
		return args[2], nil
	}
	return v, nil
}

func mput(c *Ctx, args []value.Value) (value.Value, error) {
	m, err := object(c, args[2])
	if err != nil {
		return m, err
	}
	if err := c.Arena.Charge(args[1]); err != nil {
		return m, err
	}
	if args[0].Kind() == value.KindList {
		if args[0].Len() > value.MaxDepth {
			return value.Undefined(), value.ErrDepth
		}
		return c.putKeys(m, args[0].Elements(c.Arena), args[1]), nil
	}
	return c.Arena.Put(m, args[0].Text(c.Arena), args[1]), nil
}

// putKeys returns base with v put where the keys lead; no keys lead to base itself.
func (c *Ctx) putKeys(base value.Value, keys []value.Value, v value.Value) value.Value {
	if len(keys) == 0 || c.Arena.Err() != nil {
		return v
	}
	key := keys[0].Text(c.Arena)
	return c.putMember(base, key, c.putKeys(base.Parse(c.Arena).Member(c.Arena, key), keys[1:], v))
}

// eachMember makes a list with one element per member.
func (c *Ctx) eachMember(m value.Value, f func(p value.Pair) value.Value) (value.Value, error) {
	m, err := object(c, m)
	if err != nil {
		return m, err
	}
	pairs := m.Pairs(c.Arena)
	out := c.Arena.Values(len(pairs))
	for i, p := range pairs {
		out[i] = f(p)
	}
	return value.List(out), nil
}

func mapKeys(c *Ctx, args []value.Value) (value.Value, error) {
	return c.eachMember(args[0], func(p value.Pair) value.Value { return value.String(p.Key) })
}

func mapValues(c *Ctx, args []value.Value) (value.Value, error) {
	return c.eachMember(args[0], func(p value.Pair) value.Value { return p.Value })
}

func mapToEntries(c *Ctx, args []value.Value) (value.Value, error) {
	return c.eachMember(args[0], func(p value.Pair) value.Value {
		entry := c.Arena.Pairs(2)
		entry[0] = value.Pair{Key: "key", Value: value.String(p.Key)}
		entry[1] = value.Pair{Key: "value", Value: p.Value}
		return value.Map(entry)
	})
}

func mapSize(c *Ctx, args []value.Value) (value.Value, error) {
	m, err := object(c, args[0])
	if err != nil {
		return m, err
	}
	return value.Int(int64(m.Len())), nil
}

func redisArgs(c *Ctx, args []value.Value) (value.Value, error) {
	pairs := args[0].Parse(c.Arena).Pairs(c.Arena)
	out := c.Arena.Values(1 + 2*len(pairs))[:1]
	out[0] = value.String("map_to_redis_hset_args")
	for _, p := range pairs {
		v := p.Value
		switch v.Kind() {
		case value.KindString:
		case value.KindFloat:
			f, _ := v.AsFloat()
			v = value.String(c.Arena.Keep(value.AppendDecimals(c.Arena.Buffer(32), f, 6)))
		case value.KindInt, value.KindBool:
			v = value.String(v.Text(c.Arena))
		default:
			continue
		}
		out = append(out, value.String(p.Key), v)
	}
	return value.List(out), nil
}
