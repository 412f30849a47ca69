package kinesis

import "sync/atomic"

// room is how many bytes of data and keys a request may have at the moment. On
// a slow line a request of the highest size would not get through before it
// times out, however often it is tried, and leave duplicates each time: what
// timed out is halved, what is answered grows again.
type room struct {
	now atomic.Int64
	max int64
}

const minRoom = 64 << 10

func (r *room) init(most int) {
	r.max = int64(most)
	r.now.Store(r.max)
}

func (r *room) get() int { return int(r.now.Load()) }

func (r *room) timedOut(size int) {
	if was := r.now.Load(); int64(size) > minRoom && int64(size) <= was {
		r.now.CompareAndSwap(was, max(int64(size)/2, minRoom))
	}
}

// answered makes room after a request that used most of what there was.
func (r *room) answered(size int) {
	if was := r.now.Load(); was < r.max && int64(size) > was/2 {
		r.now.CompareAndSwap(was, min(was+was/8, r.max))
	}
}
