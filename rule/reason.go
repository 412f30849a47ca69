package rule

import (
	"fmt"
	"strings"

	"github.com/sluiceio/sluice/internal/sqlparse"
	"github.com/sluiceio/sluice/internal/value"
)

// whyFalse says for people why a condition did not hold on the run's message.
func whyFalse(r *run, c cond, x sqlparse.Expr) string {
	switch b, _ := x.(*sqlparse.Binary); c := c.(type) {
	case *andCond:
		if ok, _ := c.x.test(r); !ok {
			return whyFalse(r, c.x, b.X)
		}
		return whyFalse(r, c.y, b.Y)
	case *orCond:
		return whyFalse(r, c.x, b.X) + "; and " + whyFalse(r, c.y, b.Y)
	case *compareCond:
		return falseOf(r, x, c.x, c.y)
	case *matchCond:
		return falseOf(r, x, c.x, c.y)
	case *inCond:
		return falseOf(r, x, c.x)
	default:
		return sqlparse.Format(x) + " is false"
	}
}

// falseOf names an expression that is false and the values of its operands.
func falseOf(r *run, x sqlparse.Expr, operands ...expr) string {
	var values []string
	for _, o := range operands {
		if _, ok := o.(*constant); ok {
			continue
		}
		if v, err := o.eval(r); err == nil {
			values = append(values, show(v))
		}
	}
	text := sqlparse.Format(x) + " is false"
	if len(values) > 0 {
		text += ", with " + strings.Join(values, " and ")
	}
	return text
}

// show is a value for people, cut when it is long.
func show(v value.Value) string {
	if v.IsUndefined() {
		return "undefined"
	}
	return shorten(string(value.AppendJSON(nil, v)))
}

// whyNoMatch says why FROM does not name a topic.
func (p *program) whyNoMatch(trigger string) string {
	quoted := make([]string, len(p.filters))
	for i, f := range p.filters {
		quoted[i] = fmt.Sprintf("%q", f)
	}
	return fmt.Sprintf("%q is not matched by %s", trigger, strings.Join(quoted, ", "))
}

// whyEmpty says why FOREACH made no rows.
func (p *program) whyEmpty(r *run) string {
	items, err := r.items()
	if err != nil {
		return err.Error()
	}
	what := sqlparse.Format(p.stmt.Fields[len(p.stmt.Fields)-1].Expr)
	if len(items) > 0 {
		return fmt.Sprintf("INCASE %s is false for all %d items", sqlparse.Format(p.stmt.InCase), len(items))
	}
	v := r.frames[frameSelect][p.items]
	if v.Kind() == value.KindList {
		return what + " is an empty list"
	}
	return what + " is no list but " + show(v)
}
