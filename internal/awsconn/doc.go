// Package awsconn is what the sinks for services of AWS share: configuration and
// credentials that follow changes of their files, connections, and the meaning of
// answers.
package awsconn
