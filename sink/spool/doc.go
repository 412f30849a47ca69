// Package spool is a buffer in front of a slow or unreliable sink. It keeps
// records on disk through an outage of hours with flat memory, and through a
// restart or a crash of the program.
//
// A [Buffer] has two sides. [Buffer.Sink] is where rules send their records to:
// a record counts as stored, and its message is acknowledged, when it is in the
// buffer. [Buffer.Source] hands the records out again in the order in which they
// were appended, and [Buffer.Forward] is the rule that turns them back into
// records for the real sink:
//
//	mqtt ──► rule ──► buffer sink ──► disk ──► buffer source ──► Forward ──► kinesis
//
// A record leaves the buffer when the real sink has stored it, so that everything
// appended and not stored is handed out again after a crash: at least once, and
// in order. What a crash may take along is said by [Mode]. See docs/buffers.md
// for sizing.
//
// # Segments
//
// A buffer is a list of segments, in memory or in files, whose records are
// numbered through. Only the newest one is written, in transactions that
// concurrent writes share; a file whose transaction failed is not written again.
// A segment of which everything is stored downstream is removed, which needs no
// free space, and when the quota is half used, files of which little is left are
// made into one.
//
// Records lie in chunks of a few kilobytes under the number of their first
// record. Every record has its own CRC-32C.
//
// # Damage
//
// The files are those of the bbolt store, which trusts what it reads. So it is
// used for writing only: reading goes page by page and trusts nothing, and what
// the store will touch is looked at before each transaction. What is below a
// damaged page, or has a wrong checksum, is skipped, counted and reported; the
// rest is handed out, and a damaged file is kept aside with the suffix
// ".corrupt". The numbers tell what is missing.
package spool
