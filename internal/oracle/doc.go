// Package oracle knows what a bridge must do. It makes random messages and random
// rules, with the meaning of each rule written in Go, apart from the rule engine. From
// what was sent, and which rules there were when, it tells what must have arrived.
// Packages torture and sim ask it.
package oracle
