// Package spool is a buffer on disk in front of a slow or unreliable sink. It
// keeps records through an outage of hours with flat memory, and through a
// restart or a crash of the program.
//
// A [Buffer] has two sides. [Buffer.Sink] is where rules send their records to:
// a record counts as stored, and its message is acknowledged, when it is on
// disk. [Buffer.Source] hands the records out again in the order in which they
// were appended, and [Buffer.Forward] is the rule that turns them back into
// records for the real sink:
//
//	mqtt ──► rule ──► buffer sink ──► disk ──► buffer source ──► Forward ──► kinesis
//
// A record leaves the disk when the real sink has stored it, so that everything
// appended and not stored is handed out again after a crash: at least once, and
// in order. See docs/buffers.md for sizing and for what the modes promise.
//
// # On disk
//
// A directory holds segments, files of the bbolt store. Only the newest one is
// written, in transactions that concurrent writes share; a segment whose
// transaction failed is not written again, and one whose records are all stored
// downstream is removed, which needs no free space. Records lie in chunks of a
// few kilobytes under the number of their first record. Every record has its
// own CRC-32C, because the store has checksums for its metadata only. What is
// damaged is skipped, counted and reported; a segment that cannot be read at
// all is kept aside with the suffix ".corrupt".
package spool
