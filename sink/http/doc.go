// Package http is a sink that posts records to a web service, one by one or
// many in a JSON array.
package http
