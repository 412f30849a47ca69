// Package replay is a source that hands out recorded messages, in their original
// rhythm or as fast as they are read.
//
// A recording is a text with a JSON object in each line; empty lines are
// skipped:
//
//	{"at":"2026-11-22T16:00:00.25Z","topic":"t/1","payload":"{\"temp\":21.5}","clientid":"dev-1","qos":1}
//	{"topic":"t/2","payload":{"temp":20}}
//	{"topic":"t/3","payload_base64":"/wA="}
//	{"event":"$events/client/connected","clientid":"dev-2","columns":{"keepalive":60}}
//
// A payload that is a JSON string is its content, any other JSON value is its
// text as it stands. Further members are username, peerhost, peername, retain, dup
// and props, an object with the MQTT 5 properties payload_format, message_expiry,
// content_type, response_topic, correlation_data (base64), subscription_ids and
// user, an array of pairs. Append writes such lines.
package replay
