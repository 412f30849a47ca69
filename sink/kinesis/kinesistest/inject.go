package kinesistest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// faultState is a plan in force.
type faultState struct {
	plan      Plan
	onRecords bool

	mu    sync.Mutex
	seen  []int // matches of each fault
	hits  []int
	dices []*rand.Rand
}

// SetFaults puts a plan in force instead of the one before, from its start.
func (s *Server) SetFaults(p Plan) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("kinesistest: invalid plan: %w", err)
	}
	n := len(p.Faults)
	if n == 0 {
		s.faults.Store(nil)
		return nil
	}
	fs := &faultState{plan: p, seen: make([]int, n), hits: make([]int, n), dices: make([]*rand.Rand, n)}
	for i, f := range p.Faults {
		fs.dices[i] = rand.New(rand.NewPCG(p.Seed, uint64(i)))
		fs.onRecords = fs.onRecords || f.Kind.onRecord()
	}
	s.faults.Store(fs)
	return nil
}

// FaultHits is how often each fault of the plan in force has hit, by its index.
func (s *Server) FaultHits() []int {
	fs := s.faults.Load()
	if fs == nil {
		return nil
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return append([]int(nil), fs.hits...)
}

// roll counts a match of fault i and reports whether it is hit.
func (fs *faultState) roll(i int) bool {
	f := &fs.plan.Faults[i]
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.seen[i]++
	if fs.seen[i] <= f.Skip || f.Times > 0 && fs.hits[i] >= f.Times {
		return false
	}
	if f.Rate > 0 && fs.dices[i].Float64() >= f.Rate {
		return false
	}
	fs.hits[i]++
	return true
}

// call is a request on its way through the server.
type call struct {
	op     string
	stream string // name, "" for operations of the account
	shard  string // id, "" when the request names none
	// entries are the records of a put.
	entries []types.PutRecordsRequestEntry

	// What faults do to the reply:
	truncate bool
	drop     bool
}

// around carries out a call under the faults in force.
func (s *Server) around(ctx context.Context, c *call, do func() error) error {
	s.count(c.op)
	fs := s.faults.Load()
	if fs == nil {
		return do()
	}
	f, err := s.before(ctx, fs, c)
	if err != nil {
		return err
	}
	if f == nil {
		return do()
	}
	switch f.Kind {
	case FailCall:
		return s.faultError(f, c)
	case ResetBefore:
		return errReset
	case Hang:
		return s.hang(ctx)
	}
	c.truncate, c.drop = f.Kind == Truncate, f.Kind == DropResults
	if err := do(); err != nil {
		return err
	}
	switch f.Kind {
	case FailCallAfter:
		return s.faultError(f, c)
	case ResetAfter:
		return errReset
	case HangAfter:
		return s.hang(ctx)
	}
	return nil
}

// before waits for the slow faults that hit, and finds the first other one.
func (s *Server) before(ctx context.Context, fs *faultState, c *call) (*Fault, error) {
	for i := range fs.plan.Faults {
		f := &fs.plan.Faults[i]
		if f.Kind.onRecord() || !s.matches(f, c) || !fs.roll(i) {
			continue
		}
		if f.Kind != Slow {
			return f, nil
		}
		if err := s.sleep(ctx, cmp.Or(f.Delay, defaultSlow)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// matches reports whether the call is one that the fault is about.
func (s *Server) matches(f *Fault, c *call) bool {
	if f.Kind == DropResults && c.op != "PutRecords" {
		return false
	}
	if !f.about(c.op, c.stream) {
		return false
	}
	if f.Key == "" && (f.Shard == "" || f.Shard == c.shard) {
		return true
	}
	for i := range c.entries {
		e := &c.entries[i]
		if f.Key != "" && (e.PartitionKey == nil || *e.PartitionKey != f.Key) {
			continue
		}
		if f.Shard == "" || s.shardOf(c.stream, e) == f.Shard {
			return true
		}
	}
	return false
}

func (f *Fault) about(op, stream string) bool {
	return glob(f.Op, op) && glob(f.Stream, stream)
}

// glob matches a pattern, of which "" matches everything.
func glob(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	ok, _ := path.Match(pattern, name) // Plan.Validate has checked the pattern.
	return ok
}

// shardOf is the id of the shard that e would go to now, "" for none.
func (s *Server) shardOf(name string, e *types.PutRecordsRequestEntry) (id string) {
	_ = s.with(streamRef{name: &name}, func(st *stream, _ time.Time) error {
		if h, ok := entryHash(e); ok {
			id = st.owner(h).id
		}
		return nil
	})
	return id
}

// onRecord applies the faults to one record that is about to go to the shard.
// It reports whether to split the shard first, and the fault that fails the
// record, if any.
func (fs *faultState) onRecord(c *call, shard, key string) (split bool, fail *Fault) {
	for i := range fs.plan.Faults {
		f := &fs.plan.Faults[i]
		if !f.Kind.onRecord() || !f.about(c.op, c.stream) ||
			f.Shard != "" && f.Shard != shard || f.Key != "" && f.Key != key || !fs.roll(i) {
			continue
		}
		if f.Kind == FailRecord {
			return split, f
		}
		split = true
	}
	return split, nil
}

// faultError is the answer a fault gives.
func (s *Server) faultError(f *Fault, c *call) *Error {
	code := cmp.Or(f.Code, CodeInternalFailure)
	return &Error{
		Code: code, Message: cmp.Or(f.Message, s.usualMessage(code, c, f.Shard)),
		Status: cmp.Or(f.Status, statusOf(code)),
	}
}

// usualMessage is what the service says with a code.
func (s *Server) usualMessage(code string, c *call, shard string) string {
	account := s.config.AccountID
	switch code {
	case CodeThroughputExceeded:
		return fmt.Sprintf("Rate exceeded for shard %s in stream %s under account %s.", cmp.Or(shard, shardID(0)), c.stream, account)
	case CodeLimitExceeded:
		return fmt.Sprintf("Rate exceeded for stream %s under account %s.", c.stream, account)
	case CodeThrottling, CodeKMSThrottling:
		return "Rate exceeded"
	case CodeAccessDenied:
		return fmt.Sprintf("User: arn:aws:iam::%s:user/test is not authorized to perform: kinesis:%s on resource: %s", account, c.op, s.arn(c.stream))
	case CodeExpiredToken:
		return "The security token included in the request is expired"
	case CodeInternalFailure:
		return "Internal service failure."
	case CodeResourceNotFound:
		return s.notFound(c.stream).Message
	case CodeKMSDisabled:
		return "The KMS key of the stream is disabled."
	case CodeKMSInvalidState:
		return "The KMS key of the stream is not in a valid state for this request."
	case CodeKMSNotFound:
		return "The KMS key of the stream was not found."
	case CodeKMSAccessDenied:
		return "The ciphertext refers to a KMS key that does not exist, does not exist in this region, or that you are not allowed to access."
	}
	return http.StatusText(statusOf(code))
}

// errReset is what the caller of a method gets when the connection would have
// been reset; over a socket it is.
var errReset = fmt.Errorf("kinesistest: injected fault: %w", syscall.ECONNRESET)

// hang waits until the caller gives up or the server is closed.
func (s *Server) hang(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.done:
		return errReset
	}
}

func (s *Server) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.done:
		return errReset
	}
}
