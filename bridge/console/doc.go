// Package console is a page that shows a pipeline at work: what flows from where
// to where, what is stuck, why and since when; and a place to try a statement.
// It is one http.Handler without any request to elsewhere:
//
//	c, err := console.New(console.Config{Pipeline: p})
//	mux.Handle("/console/", http.StripPrefix("/console", c))
//
// It is read-only unless Config.Authorize says otherwise, and it costs nothing
// while nobody looks: counters are read once a second while at least one page is
// open, for all pages together.
//
// The JSON behind the page is documented in OpenAPI, at api/openapi.json.
package console
