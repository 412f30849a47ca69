package firehose

import (
	"cmp"
	"hash/maphash"

	"github.com/sluiceio/sluice/bridge"
)

var _ bridge.Laner = (*Sink)(nil)

var seed = maphash.MakeSeed()

// Lane makes each delivery stream a group: limits are those of a stream, and one
// that does not exist, perhaps because a device has named it, holds up no other.
// Records without a key have no order, so that each is a lane of its own and a
// request may have any number of them; those with a key keep its order.
func (s *Sink) Lane(r *bridge.Record) (lane, group uint64) {
	group = maphash.String(seed, cmp.Or(r.Dest, s.cfg.Stream))
	if len(r.Key) == 0 {
		return s.unordered.Add(1), group
	}
	return group ^ maphash.Bytes(seed, r.Key), group
}
