package kinesistest

import (
	"context"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	maxPutRecords = 500
	maxPutBytes   = 10 << 20 // keys and data of a PutRecords
)

// putResult is what became of a record: stored at seq, or refused.
type putResult struct {
	shard   string
	seq     sequence
	code    string // "" when stored
	message string
}

// putReply is the answer to PutRecords before it is encoded.
type putReply struct {
	results    []putResult
	failed     int
	encryption types.EncryptionType
}

// PutRecords is the operation of that name. It copies the data.
func (s *Server) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	own := *in
	own.Records = cloneEntries(in.Records)
	c := &call{op: "PutRecords"}
	reply, err := s.putRecords(ctx, c, &own)
	if err != nil {
		return nil, err
	}
	if c.truncate {
		return nil, io.ErrUnexpectedEOF
	}
	return reply.output(), nil
}

// putRecords keeps the memory of the entries.
func (s *Server) putRecords(ctx context.Context, c *call, in *kinesis.PutRecordsInput) (*putReply, error) {
	name, err := s.resolve(streamRef{in.StreamName, in.StreamARN})
	if err != nil {
		return nil, err
	}
	c.stream, c.entries = name, in.Records
	var reply *putReply
	err = s.around(ctx, c, func() error {
		reply, err = s.storeRecords(c, in)
		return err
	})
	if err == nil && c.drop && len(reply.results) > 0 {
		reply.results = reply.results[:len(reply.results)-1]
	}
	return reply, err
}

func (s *Server) storeRecords(c *call, in *kinesis.PutRecordsInput) (*putReply, error) {
	if err := s.putRules(c.stream).checkRecords(in); err != nil {
		return nil, err
	}
	var reply *putReply
	err := s.with(streamRef{name: &c.stream}, func(st *stream, now time.Time) error {
		hashes, err := st.placePut(c.entries)
		if err != nil {
			return err
		}
		if in.DryRun != nil && *in.DryRun {
			return errDryRun()
		}
		reply = s.putAll(st, now, c, hashes)
		return nil
	})
	return reply, err
}

// placePut checks that the stream takes records, and hashes them.
func (st *stream) placePut(entries []types.PutRecordsRequestEntry) ([]hashKey, error) {
	if st.status != types.StreamStatusActive && st.status != types.StreamStatusUpdating {
		return nil, clientError(CodeResourceNotFound, "Stream %s under account %s not found.", st.name, st.config.AccountID)
	}
	hashes := make([]hashKey, len(entries))
	for i := range entries {
		h, ok := entryHash(&entries[i])
		if !ok {
			return nil, invalidArgument("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", *entries[i].ExplicitHashKey)
		}
		hashes[i] = h
	}
	return hashes, nil
}

// entryHash is false when the explicit hash key is out of range.
func entryHash(e *types.PutRecordsRequestEntry) (hashKey, bool) {
	switch {
	case e.ExplicitHashKey != nil:
		return parseHashKey(*e.ExplicitHashKey)
	case e.PartitionKey != nil:
		return hashOf(*e.PartitionKey), true
	}
	return hashKey{}, true
}

func errDryRun() error {
	return clientError(CodeDryRun, "The request would have succeeded, but the DryRun parameter was set.")
}

// putAll stores records one by one, as the service does: that one is refused
// does not keep later ones out, not even of the same key.
func (s *Server) putAll(st *stream, now time.Time, c *call, hashes []hashKey) *putReply {
	st.stats.Requests++
	st.followDemand(now)
	reply := &putReply{results: make([]putResult, len(hashes)), encryption: st.encryption}
	fs := s.faults.Load()
	if fs != nil && !fs.onRecords {
		fs = nil
	}
	for i := range hashes {
		res := &reply.results[i]
		*res = s.putOne(st, now, c, fs, &c.entries[i], hashes[i])
		if res.code != "" {
			reply.failed++
		}
	}
	st.flushDisk()
	return reply
}

func (s *Server) putOne(st *stream, now time.Time, c *call, fs *faultState, e *types.PutRecordsRequestEntry, h hashKey) putResult {
	r := stored{arrival: now.UnixMilli(), data: e.Data}
	if e.PartitionKey != nil {
		r.key = *e.PartitionKey
	}
	if e.ExplicitHashKey != nil {
		r.hash = *e.ExplicitHashKey
	}
	if st.distribution == types.RecordDistributionStrategyAuto {
		st.nextAuto++
		h = st.open[st.nextAuto%len(st.open)].from
	}
	sh := st.owner(h)
	if fs != nil {
		split, fail := fs.onRecord(c, sh.id, r.key)
		if split {
			st.split(now, sh, sh.from.middle(sh.to))
			st.saveMeta()
			sh = st.owner(h)
		}
		if fail != nil {
			err := s.faultError(&Fault{Code: fail.Code, Message: fail.Message, Shard: sh.id}, c)
			sh.stats.refuse(err.Code)
			return putResult{code: err.Code, message: err.Message}
		}
	}
	if !st.admit(now, sh, r.size()) {
		sh.stats.Throttled++
		err := st.throttled(sh)
		return putResult{code: err.Code, message: err.Message}
	}
	seq := sh.put(r)
	st.logDisk(sh)
	st.trim(sh, now.Add(-st.retention))
	return putResult{shard: sh.id, seq: seq}
}

// cloneEntries copies the data into one block.
func cloneEntries(in []types.PutRecordsRequestEntry) []types.PutRecordsRequestEntry {
	n := 0
	for i := range in {
		n += len(in[i].Data)
	}
	block := make([]byte, 0, n)
	out := make([]types.PutRecordsRequestEntry, len(in))
	for i, e := range in {
		if e.Data != nil {
			start := len(block)
			block = append(block, e.Data...)
			e.Data = block[start:len(block):len(block)]
		}
		out[i] = e
	}
	return out
}

func (r *putReply) output() *kinesis.PutRecordsOutput {
	out := &kinesis.PutRecordsOutput{
		EncryptionType:    r.encryption,
		FailedRecordCount: new(int32(r.failed)),
		Records:           make([]types.PutRecordsResultEntry, len(r.results)),
	}
	text := make([]byte, 0, len(r.results)*sequenceDigits)
	for i := range r.results {
		if r.results[i].code == "" {
			text = r.results[i].seq.append(text)
		}
	}
	digits := string(text)
	numbers := make([]string, len(r.results))
	for i := range r.results {
		res, entry := &r.results[i], &out.Records[i]
		if res.code != "" {
			entry.ErrorCode, entry.ErrorMessage = &res.code, &res.message
			continue
		}
		numbers[i], digits = digits[:sequenceDigits], digits[sequenceDigits:]
		entry.SequenceNumber, entry.ShardId = &numbers[i], &res.shard
	}
	return out
}

// PutRecord is the operation of that name. It copies the data.
func (s *Server) PutRecord(ctx context.Context, in *kinesis.PutRecordInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordOutput, error) {
	own := *in
	if in.Data != nil {
		own.Data = append([]byte{}, in.Data...)
	}
	return invoke(ctx, s, "PutRecord", &own, (*Server).putRecord)
}

func (s *Server) putRecord(c *call, in *kinesis.PutRecordInput) (*kinesis.PutRecordOutput, error) {
	if err := s.putRules(c.stream).checkRecord(in); err != nil {
		return nil, err
	}
	var out *kinesis.PutRecordOutput
	err := s.with(streamRef{name: &c.stream}, func(st *stream, now time.Time) error {
		hashes, err := st.placePut(c.entries)
		if err != nil {
			return err
		}
		if err := st.checkOrdering(in, now); err != nil {
			return err
		}
		if in.DryRun != nil && *in.DryRun {
			return errDryRun()
		}
		res := s.putAll(st, now, c, hashes).results[0]
		if res.code != "" {
			return &Error{Code: res.code, Message: res.message, Status: statusOf(res.code)}
		}
		out = &kinesis.PutRecordOutput{EncryptionType: st.encryption, SequenceNumber: new(res.seq.String()), ShardId: &res.shard}
		return nil
	})
	return out, err
}

// checkOrdering refuses a SequenceNumberForOrdering that is not of the past, and
// any where keys do not count. That the record gets a greater number needs no
// more: numbers of a shard only grow.
func (st *stream) checkOrdering(in *kinesis.PutRecordInput, now time.Time) error {
	if in.SequenceNumberForOrdering == nil {
		return nil
	}
	if st.distribution == types.RecordDistributionStrategyAuto {
		return invalidArgument("SequenceNumberForOrdering is not supported for data streams with the AUTO record distribution strategy.")
	}
	q, err := parseSequence(*in.SequenceNumberForOrdering)
	if sh := st.shard(shardID(q.shard)); err != nil || sh != nil && q.index >= sh.log.next || q.at > max(now.Unix(), q.created) {
		return invalidArgument("ExclusiveMinimumSequenceNumber %s used in PutRecord on stream %s under account %s is invalid.",
			*in.SequenceNumberForOrdering, st.name, st.config.AccountID)
	}
	return nil
}
