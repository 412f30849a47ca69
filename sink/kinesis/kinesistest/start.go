package kinesistest

// TB is the part of testing.TB that Start uses. It is here so that programs
// which use this package do not link package testing.
type TB interface {
	Cleanup(func())
	Fatalf(format string, args ...any)
	Helper()
}

// Start starts a server that is closed when the test ends, or ends the test.
func Start(t TB, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("kinesistest.Start: %v", err)
		return nil
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
