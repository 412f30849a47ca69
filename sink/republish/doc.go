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
// The sink marks messages with the name of the rule that made them and with how
// often they were published, by user properties of MQTT 5. A rule that publishes
// to what it listens to, and rules that do so to each other, thus come to an end:
// after Config.MaxHops rounds the record fails for good, with ErrLoop. Guard makes
// a rule pass over messages with its own mark in the first place. A client that
// repeats messages without their user properties undoes both.
//
// A source of type broker acknowledges a message when what rules made of it is
// stored. A loop through it with QoS 1 or 2 therefore waits for itself until
// Config.Timeout is over, again and again; only Guard, QoS 0 or EarlyAck helps.
package republish
