// Package rule turns messages into records by rules in EMQX's SQL.
//
// A rule is a statement and the actions that are carried out for each row that it
// makes of a message:
//
//	r, err := rule.New(rule.Config{
//		Name: "temps",
//		SQL:  `SELECT payload.temp AS temp, clientid FROM "sensors/#" WHERE payload.temp > 20`,
//		Actions: []rule.Action{{Sink: "kinesis", Key: "${clientid}"}},
//	})
//
// A [Rule] is a bridge.Rule. It is compiled once and then evaluated without
// allocating: the places of the payload that a statement names are read in one
// pass over the JSON when the first of them is needed, and nothing else of it is
// decoded; SELECT * does not look into the payload at all.
//
// # Statements
//
//	SELECT fields FROM "topic filter", … WHERE condition
//	FOREACH fields DO fields INCASE condition FROM "topic filter", … WHERE condition
//
// Fields are expressions with aliases: columns of the event (clientid, topic,
// payload, …), paths into values (payload.a.b[1], payload.list[-1],
// payload.list[2..4]), constants, calculations, CASE, and calls of functions. An
// alias may be a path too, and then builds a nested value. FOREACH makes one row
// of each element of the last field's list. WHERE sees what was selected and the
// event; INCASE and DO see the item, too.
//
// A name that is not there is undefined, which is not JSON's null. Undefined
// compares equal to undefined only, and every other comparison with it is false.
// A path into the payload, or into any other text, reads it as JSON; a payload
// that is no JSON makes the rule fail on the message. Integers have any size and
// are not floats.
//
// # Limits
//
// A message may cost a rule so many bytes and so much time; one that would cost
// more fails the rule on that message with an [ErrBudget], see [Limits].
//
// # Differences from EMQX
//
// Statements mean what they mean in EMQX 5.8 to 6.3, with the exceptions that
// docs/sql.md lists with their reasons. Package internal/sqlparse lists where the
// grammar is more liberal. Beyond it:
//
//   - AND, OR, comparisons and IN have values, so that they can be selected;
//     NOT of a condition is its opposite;
//   - functions of the event, such as clientid(), work in WHERE and INCASE;
//   - a place in a column that was selected by its path alone does not hide the
//     column: SELECT payload.x … WHERE payload.y = 1 looks into the payload, and
//     FOREACH payload.list DO payload has the whole of it;
//   - SELECT payload, payload.x keeps the other members of the payload;
//   - columns that a source cannot know, such as the client's name for an MQTT
//     client, are not part of SELECT * rather than "undefined" in it;
//   - unknown functions, wrong numbers of arguments, constants with which a call
//     always fails and conditions that are none are refused when the rule is
//     compiled; see [EngineConfig].LateChecks for EMQX's late failure.
//
// What is odd, but not wrong, such as a name that nobody knows, is a warning: see
// [Rule.Warnings] and [Rule.ActionWarnings].
package rule
