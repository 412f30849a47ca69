package metrics

import (
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// attributeText encodes attributes as "a=1,b=2".
type attributeText struct{}

func (attributeText) Encode(it attribute.Iterator) string {
	var parts []string
	for it.Next() {
		kv := it.Attribute()
		parts = append(parts, string(kv.Key)+"="+kv.Value.String())
	}
	return strings.Join(parts, ",")
}

func (attributeText) ID() attribute.EncoderID { return attribute.NewEncoderID() }
