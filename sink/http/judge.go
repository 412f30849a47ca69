package http

import (
	"hash/maphash"
	"net/http"
	"strings"
	"sync"
	"time"
)

// judge decides whom a refusal concerns. A status such as 404 or 403 is due to
// the endpoint, when its URL or its credentials are wrong, or to what a device
// has sent, which is in the path, the headers and the body. A sink that paused
// for the latter could be stopped by any device, and one that gave up records
// for the former would lose them all. What tells them apart is how the endpoint
// answers other records; and among them those to targets that it has taken
// records at before, because a device can make up any number of targets, and
// none of those.
type judge struct {
	mu      sync.Mutex
	lastOK  time.Time
	target  uint64 // of the first record
	targets int    // how many different ones there have been: 0, 1 or 2 for more
	doubts  map[uint64]doubt
	good    map[uint64]bool // targets that took records, and whether they refuse them since lastOK
	bad     int             // how many of good do
}

// doubt is a record that was refused with a status that may concern all.
type doubt struct {
	status int
	since  time.Time
}

const (
	// quorum is how many refusals of different records, or at targets that were
	// good before, make a status the endpoint's, if none is taken in between.
	quorum = 3
	// trust is for how long a success speaks for the endpoint.
	trust = 5 * time.Second
	// patience is how often a record is tried while there is no evidence, and
	// longPatience the same when the endpoint has not taken any yet, or did at
	// this target.
	patience     = 5
	longPatience = 10
	// maxDoubts bounds the memory of what was refused, and maxGood that of good
	// targets.
	maxDoubts = 1024
	maxGood   = 1024
)

var seed = maphash.MakeSeed()

// verdict is what a refusal means.
type verdict uint8

const (
	undecided verdict = iota // try again, and let others go on
	ofRecord                 // the record is at fault
	ofAll                    // the endpoint is
)

// target hashes what decides where the request goes and how its head looks; plain
// reports that no record has a part in that.
func (q *request) target() (h *maphash.Hash, plain bool) {
	h = new(maphash.Hash)
	h.SetSeed(seed)
	_, _ = h.WriteString(q.dest)
	plain = q.dest == ""
	for _, a := range q.attrs {
		if strings.HasPrefix(a.Name, HeaderPrefix) {
			plain = false
			_ = h.WriteByte(0)
			_, _ = h.WriteString(a.Name)
			_ = h.WriteByte(0)
			_, _ = h.Write(a.Value)
		}
	}
	return h, plain
}

// answered notes that a request was answered.
func (j *judge) answered(q *request, ok bool) {
	h, _ := q.target()
	target := h.Sum64()
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.targets == 0:
		j.target, j.targets = target, 1
	case j.target != target:
		j.targets = 2
	}
	if !ok {
		return
	}
	j.lastOK = time.Now()
	if j.bad > 0 {
		for t := range j.good {
			j.good[t] = false
		}
		j.bad = 0
	}
	if _, known := j.good[target]; !known {
		if len(j.good) >= maxGood || j.good == nil {
			j.good = make(map[uint64]bool)
		}
		j.good[target] = false
	}
}

// refused decides about an answer whose status may concern all records.
func (j *judge) refused(status int, q *request) verdict {
	h, plain := q.target()
	if plain && byTarget(status) {
		return ofAll // nothing in the request's head was from a record
	}
	target := h.Sum64()
	_ = h.WriteByte(0)
	_, _ = h.Write(q.body)
	j.mu.Lock()
	defer j.mu.Unlock()
	trusted := time.Since(j.lastOK) < trust
	was, good := j.good[target]
	if !plain && good && !was {
		j.good[target] = true
		j.bad++
	}
	switch {
	case !plain && j.bad > 1 && j.bad >= min(quorum, len(j.good)):
		return ofAll
	case byPath(status) && !good && (j.targets > 1 || trusted):
		return ofRecord // of one that asks for what is not there
	case q.records > 1:
		return undecided // one of them may be at fault
	case j.settled(h.Sum64(), status):
		return ofRecord // another one was taken in the meantime
	}
	enough := j.count(status) >= quorum
	limit := patience
	if good && !plain || j.lastOK.IsZero() {
		limit = longPatience
	}
	switch {
	case enough && !trusted && (plain || j.targets < 2):
		return ofAll
	case enough && (plain || j.lastOK.IsZero()):
		return undecided // whatever the number of attempts: it is likely to be all
	case q.attempt >= limit:
		return ofRecord
	}
	return undecided
}

// settled notes that a record was refused, and reports whether that has happened
// before and another one was taken since.
func (j *judge) settled(record uint64, status int) bool {
	first, known := j.doubts[record]
	if known {
		if j.lastOK.After(first.since) {
			delete(j.doubts, record)
			return true
		}
		return false
	}
	if len(j.doubts) >= maxDoubts || j.doubts == nil {
		j.doubts = make(map[uint64]doubt)
	}
	j.doubts[record] = doubt{status, time.Now()}
	return false
}

// count returns how many different records were refused with the status since
// the last success, up to quorum.
func (j *judge) count(status int) (n int) {
	for _, d := range j.doubts {
		if d.status == status && d.since.After(j.lastOK) {
			if n++; n == quorum {
				break
			}
		}
	}
	return n
}

// doubtful reports whether a status may concern all records.
func doubtful(status int) bool {
	return status == http.StatusForbidden || byTarget(status)
}

// byTarget reports whether a status is about the head of a request, which a
// record has no part in unless it has a Dest or headers.
func byTarget(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusProxyAuthRequired:
		return true
	}
	return status < 400 || byPath(status)
}

// byPath reports whether a status says that there is nothing of that name.
func byPath(status int) bool {
	return status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusGone
}
