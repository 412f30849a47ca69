package bridge

// ages lists the records of a queue by age, for the policy that drops the
// oldest. Records that are settled stay in it until they come to its head or
// outnumber the others.
type ages struct {
	list []aged
}

// aged is a record in the list. It is gone when its seq is another.
type aged struct {
	node *node
	lane *lane
	seq  uint64
}

// add appends a record; live is how many records the queue holds.
func (a *ages) add(n *node, l *lane, live int) {
	if len(a.list) > 2*live+1024 {
		kept := a.list[:0]
		for _, e := range a.list {
			if e.node.seq == e.seq {
				kept = append(kept, e)
			}
		}
		a.list = kept
	}
	a.list = append(a.list, aged{n, l, n.seq})
}

// take removes and returns the oldest record that is not in a Write.
func (a *ages) take() (aged, bool) {
	for len(a.list) > 0 && a.list[0].node.seq != a.list[0].seq {
		a.list = a.list[1:]
	}
	for i, e := range a.list {
		if e.node.seq != e.seq || e.lane.afterFlying() != e.node {
			continue
		}
		copy(a.list[1:i+1], a.list[:i]) // what is in a Write may come back
		a.list = a.list[1:]
		return e, true
	}
	return aged{}, false
}
