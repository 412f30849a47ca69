package mqtt

import "slices"

// divide returns the filters of each connection, without those that others cover. A filter
// stays with the connection that it has in before; others go to that of a filter which
// they overlap with, because each connection is sent copies of its own, or where there are
// the fewest.
func (c Config) divide(before [][]Subscription) [][]Subscription {
	d := division{parts: make([][]Subscription, c.Connections), own: make([]int, c.Connections)}
	d.subs, _ = uncovered(c.Filters)
	d.near = neighbors(d.subs)
	d.place = make([]int, len(d.subs))
	had := map[string]int{}
	for i, subs := range before {
		for _, s := range subs {
			had[s.Filter] = i
		}
	}
	for n := range d.subs {
		i, ok := had[d.subs[n].Filter]
		switch {
		case isShared(d.subs[n].Filter):
			d.place[n] = everywhere
		case ok:
			d.place[n] = i
			d.own[i]++
		default:
			d.place[n] = nowhere
		}
	}
	for n := range d.subs {
		if d.place[n] == nowhere {
			d.put(n)
		}
	}
	for n, s := range d.subs {
		for i := range d.parts {
			if d.place[n] == i || d.place[n] == everywhere {
				d.parts[i] = append(d.parts[i], s)
			}
		}
	}
	return d.parts
}

// division is a distribution of subscriptions over connections.
type division struct {
	subs  []Subscription
	near  [][]int // numbers of the subscriptions that overlap with each
	place []int   // connection of each, or one of the constants
	own   []int   // subscriptions per connection, without shared ones
	parts [][]Subscription
}

const (
	nowhere    = -1
	everywhere = -2
)

// put places a subscription together with all that overlap with it, directly or by others,
// and have no place yet.
func (d *division) put(n int) {
	group, at := []int{n}, nowhere
	seen := map[int]bool{n: true}
	for k := 0; k < len(group); k++ {
		for _, other := range d.near[group[k]] {
			switch {
			case d.place[other] >= 0 && at == nowhere:
				at = d.place[other]
			case d.place[other] == nowhere && !seen[other]:
				seen[other] = true
				group = append(group, other)
			}
		}
	}
	if at == nowhere {
		at = slices.Index(d.own, slices.Min(d.own))
	}
	for _, g := range group {
		d.place[g] = at
		d.own[at]++
	}
}
