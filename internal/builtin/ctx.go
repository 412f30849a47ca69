package builtin

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/sluiceio/sluice/internal/value"
)

// Ctx is what a function works with. Each worker has its own; it is not safe for
// concurrent use.
type Ctx struct {
	// Env is shared by all rules of an engine. It must be set.
	Env *Env
	// Arena takes what the functions make during one evaluation; nil means the
	// heap.
	Arena *value.Arena
	// Event is the event that the rule runs on; nil when there is none.
	Event Event
}

// Event gives functions such as clientid() the columns of an event.
type Event interface {
	// Column returns the event's column of this name, undefined when it has none.
	Column(name string) value.Value
}

// Config sets the limits and the surroundings of functions. The zero Config has
// the defaults.
type Config struct {
	// CacheSize is how many compiled regular expressions and how many jq programs
	// are kept for patterns that are not constant, default 256 of each.
	CacheSize int
	// Getenv reads the variable that getenv(name) asks for, default the process's
	// environment variable EMQXVAR_<name>.
	Getenv func(name string) string
	// JQTimeout is how long a jq program may run when the call does not say,
	// default as long as the arena allows.
	JQTimeout time.Duration
	// JQUnbounded lets jq programs make and take what they like.
	JQUnbounded bool
	// Location is the local time zone, default time.Local.
	Location *time.Location
	// MaxEntries is how many entries kv_store_put may keep, and how many
	// proc_dict_put keeps before it forgets the oldest, default 100,000.
	MaxEntries int
	// MaxBytes is how many bytes of keys and values kv_store_put may keep, and
	// about how many proc_dict_put keeps, default 64 MiB each.
	MaxBytes int
	// MaxList is how many elements a list that a function makes may have, default
	// 1,000,000.
	MaxList int
	// Now is the clock, default time.Now.
	Now func() time.Time
	// Random gives random bits, default a generator that is seeded by chance.
	Random func() uint64
	// RegexTimeout is how long a regular expression that needs backtracking may
	// run, default 100 ms. Others run in linear time and need no limit.
	RegexTimeout time.Duration
}

// Env is the state that all rules of an engine share: limits, the key-value store
// and caches of compiled programs. It is safe for concurrent use.
type Env struct {
	cfg      Config
	regexes  cache[*regex]
	programs cache[*program]
	// The tables are shared with the Envs that With returns.
	store   *store
	environ *store
	clients *dict
	// deflaters are idle *flate.Writer, which are costly to make.
	deflaters sync.Pool
}

// NewEnv returns an Env with the configuration's limits.
func NewEnv(cfg Config) *Env {
	setDefault(&cfg.CacheSize, 256)
	setDefault(&cfg.MaxEntries, 100_000)
	setDefault(&cfg.MaxBytes, 64<<20)
	setDefault(&cfg.MaxList, 1_000_000)
	setDefault(&cfg.RegexTimeout, 100*time.Millisecond)
	if cfg.Getenv == nil {
		cfg.Getenv = func(name string) string { return os.Getenv("EMQXVAR_" + name) }
	}
	if cfg.Location == nil {
		cfg.Location = time.Local
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Uint64
	}
	return &Env{
		cfg:      cfg,
		regexes:  cache[*regex]{size: cfg.CacheSize},
		programs: cache[*program]{size: cfg.CacheSize},
		store:    new(store),
		environ:  new(store),
		clients:  new(dict),
	}
}

// With returns an Env with other limits, and otherwise the configuration of e, that
// has its tables.
func (e *Env) With(limits Config) *Env {
	cfg := e.cfg
	cfg.JQTimeout, cfg.JQUnbounded, cfg.RegexTimeout = limits.JQTimeout, limits.JQUnbounded, limits.RegexTimeout
	cfg.MaxBytes, cfg.MaxEntries, cfg.MaxList = limits.MaxBytes, limits.MaxEntries, limits.MaxList
	c := NewEnv(cfg)
	c.store, c.environ, c.clients = e.store, e.environ, e.clients
	return c
}

// bounds are the limits of a table.
type bounds struct {
	entries int
	bytes   int // of keys and values, about
}

func (e *Env) bounds() bounds { return bounds{e.cfg.MaxEntries, e.cfg.MaxBytes} }

func setDefault[T int | time.Duration](p *T, v T) {
	if *p <= 0 {
		*p = v
	}
}

// text returns a parameter of type Text as a string.
func text(v value.Value) string {
	if v.Kind() == value.KindBool {
		if v.AsBool() {
			return "true"
		}
		return "false"
	}
	return v.AsString()
}

// keep makes b, which was appended to a buffer of the arena, a string value.
func (c *Ctx) keep(b []byte) (value.Value, error) { return value.String(c.Arena.Keep(b)), nil }

// room checks that a function may make a list of n elements.
func (c *Ctx) room(n int) error {
	if n > c.Env.cfg.MaxList {
		return &value.BudgetError{Budget: "list", Msg: fmt.Sprintf("%d elements", n), Size: strconv.Itoa(c.Env.cfg.MaxList)}
	}
	return c.Arena.Room(24 * n)
}

// intArg returns an integer argument as an int, limited to what an int can hold.
func intArg(v value.Value) int {
	i, ok := v.AsInt()
	switch {
	case ok && i >= int64(minInt) && i <= int64(maxInt):
		return int(i)
	case ok && i < 0, !ok && v.AsBig().Sign() < 0:
		return minInt
	default:
		return maxInt
	}
}

const (
	maxInt = int(^uint(0) >> 1)
	minInt = -maxInt - 1
)
