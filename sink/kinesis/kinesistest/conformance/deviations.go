package conformance

// KinesisTest are the deviations of package kinesistest: none that a check
// could show. What cannot be checked without AWS is in docs/kinesistest.md.
var KinesisTest = map[string]string{}

// KinesisLocal are the deviations of npm's kinesis-local 0.6.2.
var KinesisLocal = map[string]string{
	"hash ranges of 4 shards":                         "each range ends one early",
	"summary shows size limit, mode and distribution": "shows neither size limit nor distribution",
	"bad stream name":                                 "InvalidArgumentException",
	"provisioned stream without shard count":          "accepts it",
	"no such stream":                                  "other message",
	"AUTO distribution of on-demand streams only":     "ignores AUTO",
	"list shards in pages":                            "other message for NextToken with StreamName",
	"split: lineage and ranges":                       "EndingSequenceNumber is 2^63-1",
	"split at the first key":                          "accepts it",
	"split a closed shard":                            "ResourceInUseException",
	"list shards at the trim horizon":                 "lists children too",
	"merge shards that are no neighbours":             "other message",
	"PutRecord with SequenceNumberForOrdering":        "other message",
	"DryRun of PutRecords writes nothing":             "writes",
	"no records":                                      "accepts it",
	"501 records":                                     "accepts them",
	"empty key":                                       "InvalidArgumentException",
	"key of 257 characters":                           "InvalidArgumentException",
	"explicit hash key 2^128":                         "other message",
	"explicit hash key 00":                            "InvalidArgumentException",
	"explicit hash key abc":                           "error without a type",
	"1 MiB + 1 byte of data":                          "fails only that record, stores the others",
	"1 MiB of data with its key":                      "accepts it",
	"request of more than 10 MiB":                     "accepts it",
	"UpdateMaxRecordSize":                             "summary does not show the limit",
	"iterator of a foreign sequence number":           "accepts it",
	"iterator of no shard":                            "other message",
	"iterator that is none":                           "error without a type",
	"retention period":                                "other message",
}

// Kinesalite are the deviations of npm's kinesalite 3.3.3.
var Kinesalite = map[string]string{
	"summary shows size limit, mode and distribution": "shows none of them",
	"reached by ARN alone":                            "needs the name",
	"on-demand stream has 4 shards":                   "no on-demand streams",
	"AUTO distribution of on-demand streams only":     "no on-demand streams",
	"list shards in pages":                            "ignores MaxResults",
	"split a closed shard":                            "accepts it",
	"list only open shards":                           "ignores filters",
	"list shards at the trim horizon":                 "ignores filters",
	"UpdateShardCount":                                "unknown operation",
	"UpdateShardCount to more than double":            "unknown operation",
	"DryRun of PutRecords writes nothing":             "writes",
	"explicit hash key 00":                            "accepts it",
	"1 MiB of data with its key":                      "accepts it",
	"request of 6 MiB":                                "refuses bodies above 7 MiB",
	"request of more than 10 MiB":                     "error without a type",
	"UpdateMaxRecordSize":                             "unknown operation",
	"end of a parent names its children":              "names none",
	"UpdateStreamMode":                                "unknown operation",
	"encryption is shown":                             "unknown operation",
}
