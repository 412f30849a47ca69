package main

import (
	"strings"
	"testing"
)

func TestSummary(t *testing.T) {
	in := `{"Action":"start","Package":"p/a"}
{"Action":"output","Package":"p/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"p/a","Test":"TestGood"}
{"Action":"output","Package":"p/a","Test":"TestSkip","Output":"    x_test.go:1: no broker\n"}
{"Action":"skip","Package":"p/a","Test":"TestSkip"}
{"Action":"output","Package":"p/a","Output":"PASS\n"}
{"Action":"output","Package":"p/a","Output":"ok  \tp/a\t0.1s\n"}
{"Action":"pass","Package":"p/a"}
not json
{"Action":"output","Package":"p/b","Test":"TestBad","Output":"    y_test.go:2: wrong\n"}
{"Action":"fail","Package":"p/b","Test":"TestBad"}
{"Action":"output","Package":"p/b","Output":"FAIL\tp/b\t0.1s\n"}
{"Action":"fail","Package":"p/b"}
{"ImportPath":"p/c","Action":"build-output","Output":"c.go:1: syntax error\n"}
{"Action":"output","Package":"p/c","Output":"FAIL\tp/c [build failed]\n"}
{"Action":"fail","Package":"p/c"}`
	s := summary{output: map[string][]string{}, noskip: true}
	var shown strings.Builder
	if err := s.read(strings.NewReader(in), &shown); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no broker", "ok  \tp/a", "not json", "y_test.go:2: wrong", "c.go:1: syntax error"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, shown.String())
		}
	}
	if strings.Contains(shown.String(), "chatter") {
		t.Errorf("output of a test that passed is shown:\n%s", shown.String())
	}
	want := "ok  \tp/a\t0.1s\nFAIL\tp/b\t0.1s\nFAIL\tp/c [build failed]\n" +
		"1 passed, 1 failed, 1 skipped, 1 packages broken (a skip counts as a failure here)\n"
	if got := s.text(); got != want {
		t.Errorf("summary:\n%s\nwant:\n%s", got, want)
	}
}
