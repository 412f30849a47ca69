package sched

import (
	"testing"

	"pgregory.net/rapid"
)

// A laneTable is a map.
func TestLaneTable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var table laneTable[int]
		want := make(map[uint64]*lane[int])
		// Ids that collide: many of few, and such as share their first bits when
		// multiplied. 0 is an id like any other.
		ids := rapid.OneOf(rapid.Uint64Range(0, 100), rapid.Map(rapid.Uint64Range(0, 100), func(n uint64) uint64 { return n * inverse }))
		add := func(id uint64) {
			if want[id] == nil {
				want[id] = &lane[int]{id: id}
				table.add(want[id])
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"add": func(r *rapid.T) { add(ids.Draw(r, "id")) },
			"add many": func(r *rapid.T) {
				first := rapid.Uint64().Draw(r, "first")
				for id := first; id < first+1500; id++ {
					add(id)
				}
			},
			"remove": func(r *rapid.T) {
				id := ids.Draw(r, "id")
				if want[id] != nil {
					table.remove(id)
					delete(want, id)
				}
			},
			"remove many": func(*rapid.T) {
				for id := range want {
					if id%8 != 0 {
						table.remove(id)
						delete(want, id)
					}
				}
			},
			"": func(r *rapid.T) {
				id := ids.Draw(r, "id")
				if table.get(id) != want[id] || table.len != len(want) {
					r.Fatalf("lane %d: %v, want %v; %d lanes, want %d", id, table.get(id), want[id], table.len, len(want))
				}
				all := 0
				for l := range table.all() {
					if all++; want[l.id] != l || table.get(l.id) != l {
						r.Fatalf("lane %d is not found", l.id)
					}
				}
				if all != len(want) {
					r.Fatalf("%d lanes, want %d", all, len(want))
				}
			},
		})
	})
}

// inverse of the multiplier of laneTable.home, modulo 2^64.
const inverse = 0xf1de83e19937733d
