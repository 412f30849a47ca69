package sqlparse

// Walk calls visit for every expression in the statement, each before its parts.
func (s *Statement) Walk(visit func(Expr)) {
	for _, list := range [][]Field{s.Fields, s.Do} {
		for i := range list {
			Walk(list[i].Expr, visit)
		}
	}
	Walk(s.InCase, visit)
	Walk(s.Where, visit)
}

// Walk calls visit for x and for every expression in it, each before its parts.
// The columns that are indexes of a path count as parts of it.
func Walk(x Expr, visit func(Expr)) {
	if x == nil {
		return
	}
	visit(x)
	all := func(list []Expr) {
		for _, e := range list {
			Walk(e, visit)
		}
	}
	switch x := x.(type) {
	case *List:
		all(x.Elems)
	case *Path:
		for _, s := range x.Steps {
			if s.Var != nil {
				Walk(s.Var, visit)
			}
		}
	case *Call:
		all(x.Args)
	case *Unary:
		Walk(x.X, visit)
	case *Binary:
		Walk(x.X, visit)
		Walk(x.Y, visit)
	case *In:
		Walk(x.X, visit)
		all(x.List)
	case *Case:
		Walk(x.Operand, visit)
		for _, w := range x.Whens {
			Walk(w.Cond, visit)
			Walk(w.Then, visit)
		}
		Walk(x.Else, visit)
	}
}
