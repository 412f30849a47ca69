// Package topic knows MQTT topic names and topic filters: it checks them,
// matches one against the other, and finds among many filters those that match
// a topic, in time that does not grow with the filters that do not.
//
// The rules are those of MQTT 5.0, section 4.7:
//
//   - levels are separated by "/" and may be empty;
//   - "+" as a whole level of a filter matches exactly one level;
//   - "#" as the last level of a filter matches any number of levels, also none:
//     "a/#" matches "a";
//   - a filter that starts with a wildcard does not match a topic that starts
//     with "$".
//
// The names of events ("$events/client/connected") follow the same rules, so
// "$events/#" matches every event and "#" none.
package topic
