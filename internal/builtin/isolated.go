package builtin

// Isolated returns an Env with the same limits and settings, but without the
// process's environment and with stores of its own: what runs there learns nothing
// of the outside and changes nothing.
func (e *Env) Isolated() *Env {
	cfg := e.cfg
	cfg.Getenv = func(string) string { return "" }
	return NewEnv(cfg)
}
