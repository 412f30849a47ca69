package kinesis

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluiceio/sluice/internal/awsconn"
)

// stream is what is known about a stream; none of it is needed for being right,
// so that it may be forgotten and read again.
type stream struct {
	dest string               // name or ARN, as records give it
	put  *sdk.PutRecordsInput // names the stream; the entries are encoded apart
	tail []byte               // closes the JSON of a request

	settings atomic.Pointer[settings]
	shards   atomic.Pointer[shardMap]
	landed   [256]atomic.Uint64 // by a hash's first bits, the shard that took it; see group

	first   turn         // of the Write that reads the settings first
	asked   atomic.Bool  // whether the settings were ever asked for
	due     atomic.Int64 // when to read them again, Unix nanoseconds
	soonest atomic.Int64 // before which they are not read again
	reading atomic.Bool
	denied  atomic.Bool  // whether it was said that it cannot be described
	sampled atomic.Int64 // when a reply was last decoded for its shards
	used    atomic.Int64 // when it was last written to

	blame     awsconn.Blame
	placement placement
	counters  streamCounters
}

var errNoStream = errors.New("the record names no stream and the sink has no default stream")

// streamName is the service's rule for names.
var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// parseStream makes a stream of a name or an ARN.
func parseStream(dest string) (*stream, error) {
	st := &stream{dest: dest, first: newTurn(), put: &sdk.PutRecordsInput{Records: []types.PutRecordsRequestEntry{}}}
	if !strings.HasPrefix(dest, "arn:") {
		if !streamName.MatchString(dest) {
			return nil, fmt.Errorf("%q is not a stream name: 1 to 128 letters, digits and _ . -", dest)
		}
		st.put.StreamName = &dest
		st.tail = []byte(`],"StreamName":"` + dest + `"}`)
		return st, nil
	}
	a, err := arn.Parse(dest)
	name, isStream := strings.CutPrefix(a.Resource, "stream/")
	if err != nil || a.Service != "kinesis" || !isStream || !streamName.MatchString(name) || strings.ContainsAny(dest, `"\`) {
		return nil, fmt.Errorf("%q is not the ARN of a stream: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME", dest)
	}
	st.put.StreamARN = &dest
	st.tail = []byte(`],"StreamARN":"` + dest + `"}`)
	return st, nil
}

// region is the region that the stream's ARN names, "" for a name.
func (st *stream) region() string {
	a, _ := arn.Parse(st.dest)
	return a.Region
}

// maxStreams bounds the memory for streams whose names come from messages.
const maxStreams = 1000

// streams finds streams by the Dest of records.
type streams struct {
	byDefault *stream // nil for none
	mu        sync.RWMutex
	byDest    map[string]*stream
}

// get returns the stream that dest names, whatever it has to remember of it.
func (ss *streams) get(dest string) (*stream, error) {
	if dest == "" {
		if ss.byDefault == nil {
			return nil, errNoStream
		}
		return ss.byDefault, nil
	}
	ss.mu.RLock()
	st := ss.byDest[dest]
	ss.mu.RUnlock()
	if st != nil {
		return st, nil
	}
	st, err := parseStream(strings.Clone(dest))
	if err != nil {
		return nil, err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if other := ss.byDest[dest]; other != nil {
		return other, nil
	}
	if len(ss.byDest) >= maxStreams {
		ss.forgetOldest()
	}
	st.used.Store(time.Now().UnixNano())
	ss.byDest[st.dest] = st
	return st, nil
}

func (ss *streams) forgetOldest() {
	var oldest *stream
	for _, st := range ss.byDest {
		if st != ss.byDefault && (oldest == nil || st.used.Load() < oldest.used.Load()) {
			oldest = st
		}
	}
	if oldest != nil {
		delete(ss.byDest, oldest.dest)
	}
}

// all returns the streams that are known at the moment.
func (ss *streams) all() []*stream {
	ss.mu.RLock()
	defer ss.mu.RUnlock()
	all := make([]*stream, 0, len(ss.byDest))
	for _, st := range ss.byDest {
		all = append(all, st)
	}
	return all
}
