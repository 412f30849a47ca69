package sparkplug

import "google.golang.org/protobuf/encoding/protowire"

// kind is how a field's content is read.
type kind uint8

const (
	uint32Kind kind = iota
	uint64Kind
	boolKind
	floatKind
	doubleKind
	stringKind
	bytesKind
	messageKind
)

// field is a field of a message in the schema.
type field struct {
	name     string
	kind     kind
	repeated bool
	message  string // the name of its message, of messageKind
}

// message is the fields of a message by number. Numbers that are not there, and so
// extensions, are skipped.
type message map[protowire.Number]field

// schema is the messages of sparkplug_b.proto by name (Eclipse Tahu, Sparkplug
// 3.0.0, section 6.4).
var schema = map[string]message{
	"Payload": {
		1: {name: "timestamp", kind: uint64Kind},
		2: {name: "metrics", kind: messageKind, repeated: true, message: "Metric"},
		3: {name: "seq", kind: uint64Kind},
		4: {name: "uuid", kind: stringKind},
		5: {name: "body", kind: bytesKind},
	},
	"Metric": {
		1:  {name: "name", kind: stringKind},
		2:  {name: "alias", kind: uint64Kind},
		3:  {name: "timestamp", kind: uint64Kind},
		4:  {name: "datatype", kind: uint32Kind},
		5:  {name: "is_historical", kind: boolKind},
		6:  {name: "is_transient", kind: boolKind},
		7:  {name: "is_null", kind: boolKind},
		8:  {name: "metadata", kind: messageKind, message: "MetaData"},
		9:  {name: "properties", kind: messageKind, message: "PropertySet"},
		10: {name: "int_value", kind: uint32Kind},
		11: {name: "long_value", kind: uint64Kind},
		12: {name: "float_value", kind: floatKind},
		13: {name: "double_value", kind: doubleKind},
		14: {name: "boolean_value", kind: boolKind},
		15: {name: "string_value", kind: stringKind},
		16: {name: "bytes_value", kind: bytesKind},
		17: {name: "dataset_value", kind: messageKind, message: "DataSet"},
		18: {name: "template_value", kind: messageKind, message: "Template"},
	},
	"MetaData": {
		1: {name: "is_multi_part", kind: boolKind},
		2: {name: "content_type", kind: stringKind},
		3: {name: "size", kind: uint64Kind},
		4: {name: "seq", kind: uint64Kind},
		5: {name: "file_name", kind: stringKind},
		6: {name: "file_type", kind: stringKind},
		7: {name: "md5", kind: stringKind},
		8: {name: "description", kind: stringKind},
	},
	"PropertySet": {
		1: {name: "keys", kind: stringKind, repeated: true},
		2: {name: "values", kind: messageKind, repeated: true, message: "PropertyValue"},
	},
	"PropertyValue": {
		1:  {name: "type", kind: uint32Kind},
		2:  {name: "is_null", kind: boolKind},
		3:  {name: "int_value", kind: uint32Kind},
		4:  {name: "long_value", kind: uint64Kind},
		5:  {name: "float_value", kind: floatKind},
		6:  {name: "double_value", kind: doubleKind},
		7:  {name: "boolean_value", kind: boolKind},
		8:  {name: "string_value", kind: stringKind},
		9:  {name: "propertyset_value", kind: messageKind, message: "PropertySet"},
		10: {name: "propertysets_value", kind: messageKind, message: "PropertySetList"},
	},
	"PropertySetList": {
		1: {name: "propertyset", kind: messageKind, repeated: true, message: "PropertySet"},
	},
	"DataSet": {
		1: {name: "num_of_columns", kind: uint64Kind},
		2: {name: "columns", kind: stringKind, repeated: true},
		3: {name: "types", kind: uint32Kind, repeated: true},
		4: {name: "rows", kind: messageKind, repeated: true, message: "Row"},
	},
	"Row": {
		1: {name: "elements", kind: messageKind, repeated: true, message: "DataSetValue"},
	},
	"DataSetValue": {
		1: {name: "int_value", kind: uint32Kind},
		2: {name: "long_value", kind: uint64Kind},
		3: {name: "float_value", kind: floatKind},
		4: {name: "double_value", kind: doubleKind},
		5: {name: "boolean_value", kind: boolKind},
		6: {name: "string_value", kind: stringKind},
	},
	"Template": {
		1: {name: "version", kind: stringKind},
		2: {name: "metrics", kind: messageKind, repeated: true, message: "Metric"},
		3: {name: "parameters", kind: messageKind, repeated: true, message: "Parameter"},
		4: {name: "template_ref", kind: stringKind},
		5: {name: "is_definition", kind: boolKind},
	},
	"Parameter": {
		1: {name: "name", kind: stringKind},
		2: {name: "type", kind: uint32Kind},
		3: {name: "int_value", kind: uint32Kind},
		4: {name: "long_value", kind: uint64Kind},
		5: {name: "float_value", kind: floatKind},
		6: {name: "double_value", kind: doubleKind},
		7: {name: "boolean_value", kind: boolKind},
		8: {name: "string_value", kind: stringKind},
	},
}
