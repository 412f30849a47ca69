// Package template renders texts with placeholders, such as the partition key
// "$<clientid>" or the payload "{"t":$<payload.temp>}" of a rule's action.
//
// A template is compiled once and then appended to a caller's buffer, without
// allocating. Where the values come from is up to the [Vars] it is given: the
// row that a rule selected, a map ([MapVars]), fields or a function that are made
// for the call ([Template.AppendFields], [Template.AppendFunc]).
//
// # Placeholders
//
// A placeholder is "$<" path ">" or "${" path "}"; both mean the same. A path is one
// or more names separated by dots; the first is a column, each further one a key of
// the object before it. A text on the way is read as JSON. A leading dot means
// nothing, and "$<.>" is the whole row.
//
// Templates know no escaping: a value is inserted verbatim, also within quotes,
// and it is not searched for placeholders again. What is not a placeholder is
// literal text, an unfinished "$<" included. A placeholder without a value
// renders as "undefined", or is an error of [Template.AppendStrict]; one with a
// value that has no text is an error always.
//
// There are three dialects: see [Bridge], [JSON], which escapes values, and
// [Republish].
//
// # Values as text
//
// Texts and bytes are inserted as they are, integers in decimal. A float has at
// least one and at most ten decimals and no exponent. Booleans are "true" and
// "false", null is "null". An object is JSON, with sorted keys. A list of
// printable code points is a text, any other list is JSON.
package template
