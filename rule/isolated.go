package rule

import "math/rand/v2"

// Isolated returns an engine with the same functions, limits and settings, for
// statements of people who may not see or change what rules work with: getenv
// finds nothing, and the key-value store is another one.
func (e *Engine) Isolated() *Engine {
	c := *e
	c.env, c.id = e.env.Isolated(), rand.Uint64()
	return &c
}
