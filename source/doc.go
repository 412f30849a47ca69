// Package source has small sources: functions and a ticker. The larger ones are
// in packages of their own below this one.
package source
