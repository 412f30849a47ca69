// Package hocon reads the configuration format of EMQX: the subset of HOCON
// (https://github.com/lightbend/config/blob/main/HOCON.md) that EMQX's own files
// and the output of "emqx ctl conf show" consist of, with EMQX's indented texts
// between """~ and ~""".
//
// An object, with or without braces around the whole, has fields a.b = value,
// a: value or a {…}, divided by line breaks or commas. A field that is given
// again replaces the earlier one, unless both are objects, which are merged.
// Values are objects, lists, numbers, true, false, null, texts in quotes, and
// texts without, such as 15s or 256MB. JSON is part of all this.
//
// What takes more than one file or one pass is refused, with a message that says
// what to do: include, substitution (${…} outside of quotes) and appending (+=).
package hocon
