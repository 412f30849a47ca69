package http

// RetryAfter is retryAfter, for tests.
var RetryAfter = retryAfter
