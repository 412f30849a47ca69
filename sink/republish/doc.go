// Package republish is a sink that publishes records as MQTT messages: the Dest
// of a record is the topic, its data the payload, and its attributes are what
// else a PUBLISH packet has, all of them templates in a rule's action.
//
//	qos               0, 1 or 2; default 1
//	retain            true, false, 1 or 0; default false
//	user:<name>       a user property
//	content_type, response_topic, correlation_data
//	message_expiry    seconds
//	payload_format    0 or 1
//
// A value that cannot be used is left out, as EMQX does, with the default in its
// place.
//
// The sink marks messages with the name of the rule that made them, and Guard
// makes a rule pass over messages with its own mark, so that a rule which
// publishes to what it listens to does not feed itself. As in EMQX, a loop over
// several rules is not found.
package republish
