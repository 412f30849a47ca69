package mqtt

import "slices"

// Subscriptions returns the filters of all subscriptions that are wanted, in their
// alphabetical order, without those that others cover.
func (s *Source) Subscriptions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, l := range s.links {
		l.mu.Lock()
		for _, sub := range l.subs.want {
			list = append(list, sub.Filter)
		}
		l.mu.Unlock()
	}
	slices.Sort(list)
	return slices.Compact(list)
}
