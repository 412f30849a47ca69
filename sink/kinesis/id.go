package kinesis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/sluiceio/sluice/internal/jsonx"
	"github.com/sluiceio/sluice/internal/kpl"
)

// idMember is the name of the member of a JSON object that has its ID.
const idMember = "sluice_id"

// idProblem says why an ID cannot be stored, "" if it can.
func idProblem(id []byte) string {
	switch {
	case len(id) > kpl.MaxID:
		return fmt.Sprintf("the ID has %d bytes, more than %d", len(id), kpl.MaxID)
	case !utf8.Valid(id):
		return fmt.Sprintf("the ID %.20q is not UTF-8", id)
	}
	return ""
}

// withID adds an ID to data that is a JSON object. An object that has such a member
// already would pass for another record, so it is a problem.
func withID(data, id []byte) (with []byte, problem string) {
	if len(id) == 0 {
		return data, ""
	}
	with, ok := jsonx.WithMembers(data, jsonx.Text{Name: idMember, Value: string(id)})
	if !ok && bytes.Contains(data, []byte(`"`+idMember+`"`)) {
		return nil, "the data has a member " + idMember + " of its own"
	}
	return with, ""
}

// idIn returns the ID that withID has added, "" for none. An object within the
// object that ends with such a member does not parse as the end of the outer one.
func idIn(data []byte) string {
	at := bytes.LastIndex(data, []byte(`"`+idMember+`":`))
	if at < 0 {
		return ""
	}
	var end map[string]string
	if json.Unmarshal(append([]byte{'{'}, data[at:]...), &end) != nil || len(end) != 1 {
		return ""
	}
	return end[idMember]
}
