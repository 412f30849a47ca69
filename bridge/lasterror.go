package bridge

import "time"

// lastError is the text of a recent error and when it was. The error itself is
// not kept: it may refer to the message.
type lastError struct {
	text string
	at   time.Time
}

const (
	lastErrorInterval = time.Second // between texts, because making them costs
	lastErrorText     = 1000        // bytes
)

// next returns what to remember after err: the same, or err if it comes long
// enough after.
func (l *lastError) next(err error) *lastError {
	now := time.Now()
	if l != nil && now.Sub(l.at) < lastErrorInterval {
		return l
	}
	text := err.Error()
	if len(text) > lastErrorText {
		text = string(cutText([]byte(text), lastErrorText)) + "…"
	}
	return &lastError{text, now}
}
