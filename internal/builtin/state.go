package builtin

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/sluiceio/sluice/internal/value"
)

func stateFunctions() []Function {
	return []Function{
		{
			Name: "kv_store_put", Args: params("key", Any, "value", Any), Min: 2, Call: kvPut,
			Doc:      "Stores a value under a key for all rules of the engine, in memory, and returns true.",
			Examples: []Example{{Expr: "kv_store_put('a', 1)", Result: "true"}},
		},
		{
			Name: "kv_store_get", Args: params("key", Any, "default", Any), Min: 1, Call: kvGet,
			Doc:      "The value that is stored under a key; the default or undefined when there is none.",
			Examples: []Example{{Expr: "kv_store_get('nothing', 0)", Result: "0"}},
		},
		{
			Name: "kv_store_del", Args: params("key", Any), Min: 1, Call: kvDel,
			Doc: "Forgets what is stored under a key and returns true.", Examples: []Example{{Expr: "kv_store_del('a')", Result: "true"}},
		},
		{
			Name: "proc_dict_put", Args: params("key", Any, "value", Any), Min: 2, Call: dictPut,
			Doc:      "Stores a value under a key for the client that the event is about, and returns the value that was there. When the engine's limit is reached, what was not used for longest is forgotten.",
			Examples: []Example{{Expr: "proc_dict_put('a', 1)", Result: "undefined"}},
		},
		{
			Name: "proc_dict_get", Args: params("key", Any), Min: 1, Call: dictGet,
			Doc: "The value that the event's client has under a key.", Examples: []Example{{Expr: "proc_dict_get('nothing')", Result: "undefined"}},
		},
		{
			Name: "proc_dict_del", Args: params("key", Any), Min: 1, Call: dictDel,
			Doc: "Forgets what the event's client has under a key and returns it.", Examples: []Example{{Expr: "proc_dict_del('nothing')", Result: "undefined"}},
		},
		{
			Name: "getenv", Args: params("name", String), Min: 1, Call: getenv,
			Doc:      "The environment variable EMQXVAR_<name>, as it was when it was first asked for; an empty text when it is not set.",
			Examples: []Example{{Expr: "getenv('SURELY_NOT_SET')", Result: `""`}},
		},
	}
}

// store is a bounded table of values.
type store struct {
	mu    sync.RWMutex
	m     map[string]value.Value
	bytes int
}

func (s *store) get(key []byte) (value.Value, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.m[string(key)]
	return v, ok
}

// put stores a value within the bounds.
func (s *store) put(b bounds, key []byte, v value.Value) error {
	if err := v.CheckDepth(); err != nil {
		return err
	}
	v = v.Clone()
	size := entrySize(key, v)
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.m[string(key)]
	if !ok && len(s.m) >= b.entries {
		return fmt.Errorf("the store has reached its limit of %d keys", b.entries)
	}
	if ok {
		size -= entrySize(key, old)
	}
	if size > b.bytes-s.bytes {
		return &value.BudgetError{Budget: "kv_bytes", Msg: "the store is full", Size: strconv.Itoa(b.bytes) + " bytes"}
	}
	s.bytes += size
	if s.m == nil {
		s.m = make(map[string]value.Value)
	}
	s.m[string(key)] = v
	return nil
}

// entryCost is what an entry of a table costs beside its key and value.
const entryCost = 64

func entrySize(key []byte, v value.Value) int { return entryCost + len(key) + v.Weight() }

func (s *store) del(key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.m[string(key)]; ok {
		s.bytes -= entrySize(key, v)
		delete(s.m, string(key))
	}
}

// key returns a value as the key of a table: its JSON text, which tells 1 from '1'.
// It is gone with the arena's next buffer.
func (c *Ctx) key(v value.Value) []byte {
	b := c.Arena.AppendJSON(c.Arena.Buffer(64), v)
	c.Arena.Spend(len(b))
	return b
}

func kvPut(c *Ctx, args []value.Value) (value.Value, error) {
	return value.Bool(true), c.Env.store.put(c.Env.bounds(), c.key(args[0]), args[1])
}

func kvGet(c *Ctx, args []value.Value) (value.Value, error) {
	v, ok := c.Env.store.get(c.key(args[0]))
	if !ok && len(args) > 1 {
		return args[1], nil
	}
	return v, nil
}

func kvDel(c *Ctx, args []value.Value) (value.Value, error) {
	c.Env.store.del(c.key(args[0]))
	return value.Bool(true), nil
}

// clientKey returns a value as a key of the event's client.
func (c *Ctx) clientKey(v value.Value) []byte {
	b := c.Arena.AppendJSON(value.AppendJSON(c.Arena.Buffer(64), c.column("clientid")), v)
	c.Arena.Spend(len(b))
	return b
}

func dictPut(c *Ctx, args []value.Value) (value.Value, error) {
	if err := args[1].CheckDepth(); err != nil {
		return value.Undefined(), err
	}
	return c.Env.clients.swap(c.Env.bounds(), c.clientKey(args[0]), args[1].Clone())
}

func dictGet(c *Ctx, args []value.Value) (value.Value, error) {
	return c.Env.clients.get(c.Env.bounds(), c.clientKey(args[0])), nil
}

func dictDel(c *Ctx, args []value.Value) (value.Value, error) {
	return c.Env.clients.swap(c.Env.bounds(), c.clientKey(args[0]), value.Undefined())
}

// dict is a table that forgets what is not used: when the young generation is full
// it becomes the old one, and what is then in the old one goes.
type dict struct {
	mu         sync.Mutex
	young, old map[string]value.Value
	bytes      int // of the young generation
}

func (d *dict) get(b bounds, key []byte) value.Value {
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.young[string(key)]
	if ok {
		return v
	}
	if v, ok = d.old[string(key)]; ok {
		d.keep(b, key, v)
	}
	return v
}

// swap stores a value and returns the one that was there; undefined is not stored.
func (d *dict) swap(b bounds, key []byte, v value.Value) (value.Value, error) {
	if entrySize(key, v) > b.bytes/2 {
		return value.Undefined(), &value.BudgetError{Budget: "kv_bytes", Msg: "the value is too large", Size: strconv.Itoa(b.bytes/2) + " bytes"}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	was, ok := d.young[string(key)]
	if !ok {
		was = d.old[string(key)]
		delete(d.old, string(key))
	}
	if v.IsUndefined() {
		d.drop(key)
	} else {
		d.keep(b, key, v)
	}
	return was, nil
}

// drop takes a value out of the young generation.
func (d *dict) drop(key []byte) {
	if v, ok := d.young[string(key)]; ok {
		d.bytes -= entrySize(key, v)
		delete(d.young, string(key))
	}
}

// keep puts a value into the young generation. The bounds are those of both
// generations together.
func (d *dict) keep(b bounds, key []byte, v value.Value) {
	d.drop(key)
	size := entrySize(key, v)
	if len(d.young) >= max(b.entries/2, 1) || d.bytes+size > b.bytes/2 || d.young == nil {
		d.old, d.young, d.bytes = d.young, make(map[string]value.Value), 0
	}
	d.bytes += size
	d.young[string(key)] = v
}

func getenv(c *Ctx, args []value.Value) (value.Value, error) {
	name := bytesOf(args[0].AsString())
	if v, ok := c.Env.environ.get(name); ok {
		return v, nil
	}
	v := value.String(c.Env.cfg.Getenv(args[0].AsString()))
	return v, c.Env.environ.put(c.Env.bounds(), name, v)
}
