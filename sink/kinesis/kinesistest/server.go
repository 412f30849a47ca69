package kinesistest

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Server is an in-process Kinesis Data Streams. Use Start in tests and New
// elsewhere, then Client, AWSConfig or URL to reach it. Its methods that are
// named after operations of the service take and return the SDK's types and
// cost no encoding, so a Server can also stand in for a *kinesis.Client
// wherever an interface is asked for. All methods may be called concurrently.
type Server struct {
	config   Config
	faults   atomic.Pointer[faultState]
	listener net.Listener
	http     *http.Server
	tls      *tls.Config // what a client must trust, nil without TLS
	served   chan struct{}
	client   http.RoundTripper // of HTTPClient
	done     chan struct{}     // closed by Close
	close    sync.Once

	mu      sync.RWMutex
	streams map[string]*stream
	calls   callLimits
	byOp    map[string]int64
}

// New starts a server. The caller must Close it.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		config: cfg.withDefaults(), done: make(chan struct{}),
		streams: map[string]*stream{}, byOp: map[string]int64{},
	}
	if err := s.start(); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) start() error {
	if err := s.SetFaults(s.config.Faults); err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	for _, sc := range s.config.Streams {
		if s.streams[sc.Name] != nil {
			continue
		}
		if _, err := s.addStream(sc, s.now(), 0); err != nil {
			return err
		}
	}
	if !s.config.NoSocket {
		if err := s.listen(); err != nil {
			return err
		}
	}
	s.client = s.newTransport()
	return nil
}

// Close stops the server and frees its port; calls that hang are reset. With
// Config.Dir it writes what is not yet on disk.
func (s *Server) Close() error {
	var err error
	s.close.Do(func() {
		close(s.done)
		if s.http != nil {
			err = s.http.Close()
			s.HTTPClient().CloseIdleConnections()
			<-s.served
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, st := range s.streams {
			st.mu.Lock()
			err = cmp.Or(err, st.closeDisk())
			st.mu.Unlock()
		}
	})
	return err
}

func (s *Server) now() time.Time { return s.config.Now() }

// addStream creates a stream that becomes ACTIVE after the delay.
func (s *Server) addStream(c StreamConfig, now time.Time, delay time.Duration) (*stream, error) {
	n := c.Shards
	if n == 0 {
		n = 1
		if c.OnDemand {
			n = onDemandShards
		}
	}
	st := &stream{
		name: c.Name, arn: s.arn(c.Name), created: now, config: &s.config,
		status: types.StreamStatusActive, mode: c.mode(), retention: minRetention,
		maxRecordKiB: cmp.Or(c.MaxRecordSizeInKiB, defaultMaxRecordKiB), distribution: c.distribution(),
		encryption: types.EncryptionTypeNone, tags: map[string]string{},
	}
	if err := s.openDisk(st); err != nil {
		return nil, err
	}
	if delay > 0 {
		st.status, st.until = types.StreamStatusCreating, now.Add(delay)
	}
	st.createShards(now, n)
	s.streams[c.Name] = st
	st.saveMeta()
	return st, nil
}

func (s *Server) arn(name string) string {
	return fmt.Sprintf("arn:aws:kinesis:%s:%s:stream/%s", s.config.Region, s.config.AccountID, name)
}

// streamRef is how requests name a stream.
type streamRef struct{ name, arn *string }

// resolve is the stream's name, after checking the reference.
func (s *Server) resolve(ref streamRef) (string, error) {
	if ref.arn == nil {
		if ref.name == nil {
			return "", clientError(CodeValidationException, "1 validation error detected: Value null at 'streamName' failed to satisfy constraint: Member must not be null")
		}
		var v validation
		v.name("streamName", ref.name)
		return *ref.name, v.err()
	}
	_, name, ok := strings.Cut(*ref.arn, ":stream/")
	if !ok || !streamNamePattern.MatchString(name) {
		return "", clientError(CodeValidationException, "1 validation error detected: Value '%s' at 'streamARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:.*stream/\\S+", *ref.arn)
	}
	if ref.name != nil && *ref.name != name {
		return "", invalidArgument("StreamARN %s and StreamName %s do not match.", *ref.arn, *ref.name)
	}
	if *ref.arn != s.arn(name) {
		return "", s.notFound(name)
	}
	return name, nil
}

func (s *Server) notFound(name string) *Error {
	return clientError(CodeResourceNotFound, "Stream %s under account %s not found.", name, s.config.AccountID)
}

// with calls f with the stream, locked and settled.
func (s *Server) with(ref streamRef, f func(st *stream, now time.Time) error) error {
	name, err := s.resolve(ref)
	if err != nil {
		return err
	}
	s.mu.RLock()
	st := s.streams[name]
	s.mu.RUnlock()
	if st == nil {
		return s.notFound(name)
	}
	now := s.now()
	st.mu.Lock()
	st.settle(now)
	if st.gone {
		st.mu.Unlock()
		s.remove(st)
		return s.notFound(name)
	}
	defer st.mu.Unlock()
	return f(st, now)
}

// withActive is with for operations that need the stream to be ACTIVE.
func (s *Server) withActive(ref streamRef, f func(st *stream, now time.Time) error) error {
	return s.with(ref, func(st *stream, now time.Time) error {
		if st.status != types.StreamStatusActive {
			return clientError(CodeResourceInUse, "Stream %s under account %s not ACTIVE, instead in state %s", st.name, s.config.AccountID, st.status)
		}
		return f(st, now)
	})
}

// remove forgets a deleted stream.
func (s *Server) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams[st.name] == st {
		delete(s.streams, st.name)
		st.removeDisk()
	}
}

// names lists the streams in order.
func (s *Server) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.streams))
}
