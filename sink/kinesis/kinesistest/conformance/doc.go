// Package conformance is a suite of checks that any implementation of the
// Kinesis Data Streams API should pass: AWS itself, kinesistest, emulators. It
// speaks through the AWS SDK only.
//
// A Target names the checks that it is known not to pass, and why. Such a
// check must fail: one that passes is reported, so that the list, from which
// the table of the documentation is made, stays true.
package conformance
