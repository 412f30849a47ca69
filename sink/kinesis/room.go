package kinesis

import (
	"math"
	"sync"
)

// room is how many bytes the entries of a request may take at the moment. It
// starts without a bound and learns two things.
//
// What is slow: on a slow line a request of the highest size would not get through
// before it times out, however often it is tried, and leave duplicates each time.
// What broke off is halved, what is answered grows again.
//
// What is too large: a proxy may take less than the service, and a stream less
// than others. What was refused for its size is halved, and grows again to below
// the size that was refused.
type room struct {
	mu   sync.Mutex
	now  int
	most int // below what was refused
}

const minRoom = 64 << 10

func (r *room) init() { r.now, r.most = math.MaxInt, math.MaxInt }

func (r *room) get() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// brokeOff halves the room after a request of that size, if it was not sent
// before the room was halved for another one.
func (r *room) brokeOff(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if size > minRoom && size <= r.now {
		r.now = max(size/2, minRoom)
	}
}

// refused bounds the room below the size of a request that was too large.
func (r *room) refused(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bound := size - size/8; bound < r.most {
		r.most = bound
	}
	r.now = min(r.now, size/2)
}

// answered makes room after a request that used most of what there was.
func (r *room) answered(size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now < r.most && size > r.now/2 {
		r.now += r.now / 8
		if r.now > maxWireBytes {
			r.now = math.MaxInt
		}
		r.now = min(r.now, r.most)
	}
}

// maxWireBytes is more than the entries of any request take.
const maxWireBytes = 2 * maxRequestBytes
