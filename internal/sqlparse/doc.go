// Package sqlparse reads the rule language: the SELECT and FOREACH statements of
// EMQX's rule engine.
//
// [Parse] turns a statement into a tree whose nodes know their place in the
// text, and [Statement.String] turns the tree back into a statement: parsing
// the result gives the same tree. What a name or a function means is not known
// here.
//
// # Where it is more liberal than EMQX
//
//   - AND, OR, NOT, IN, comparisons and CASE may stand wherever an expression
//     may, in parentheses or not, and CASE may be nested;
//   - x NOT IN (…) and NOT (…) are ordinary conditions;
//   - a field with a comparison may have an alias without AS;
//   - names may start with an underscore and may be quoted with backticks;
//   - DIV and MOD are operators in any case of letters;
//   - a range may have blanks around its dots;
//   - a statement may end in a semicolon or in a comment.
//
// As in EMQX a list may end with a comma: [1, 2,].
//
// # Limits
//
// A statement is at most [MaxLength] bytes long and its expressions are nested
// at most [MaxDepth] deep, so that a hostile statement costs neither memory nor
// stack.
package sqlparse
