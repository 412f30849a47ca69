package certs

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// rereadPause is the time between two looks at the files.
const rereadPause = time.Second

// followed is made of files, and made anew when the contents of one change. Files
// that cannot be used change nothing.
type followed[T any] struct {
	files   Files
	log     *slog.Logger
	build   func(contents) (*T, error)
	current atomic.Pointer[T]
	looked  atomic.Int64 // Unix nanoseconds

	mu     sync.Mutex // of the fields below
	made   contents   // what current is made of
	failed string     // the last trouble with the files, which was logged
}

func follow[T any](files Files, log *slog.Logger, build func(contents) (*T, error)) (*followed[T], error) {
	c, err := files.read()
	if err != nil {
		return nil, err
	}
	first, err := build(c)
	if err != nil {
		return nil, err
	}
	f := &followed[T]{files: files, log: log, build: build, made: c}
	f.looked.Store(time.Now().UnixNano())
	f.current.Store(first)
	return f, nil
}

// get returns what the files are good for. It looks at them, if it is time.
func (f *followed[T]) get() *T {
	now, last := time.Now().UnixNano(), f.looked.Load()
	if f.files != (Files{}) && now-last >= int64(rereadPause) && f.looked.CompareAndSwap(last, now) {
		f.look()
	}
	return f.current.Load()
}

func (f *followed[T]) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.files.read()
	if err == nil && c.equal(f.made) {
		f.failed = ""
		return
	}
	var next *T
	if err == nil {
		next, err = f.build(c)
	}
	if err != nil { // perhaps only half of it is written so far
		if f.failed != err.Error() {
			f.failed = err.Error()
			f.log.Warn("changed certificates cannot be used, the ones before are", slog.Any("error", err))
		}
		return
	}
	f.made, f.failed = c, ""
	f.current.Store(next)
	f.log.Info("certificates were read again", slog.String("cacertfile", f.files.CA), slog.String("certfile", f.files.Cert))
}
