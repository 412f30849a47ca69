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
	maxErrorText      = 1000        // bytes; an error can be about a value of the message
)

// errorText is the text of an error, cut when it is long.
func errorText(err error) string {
	text := err.Error()
	if len(text) > maxErrorText {
		text = string(cutText([]byte(text), maxErrorText)) + "…"
	}
	return text
}

// next returns what to remember after err: the same, or err if it comes long
// enough after.
func (l *lastError) next(err error) *lastError {
	now := time.Now()
	if l != nil && now.Sub(l.at) < lastErrorInterval {
		return l
	}
	return &lastError{errorText(err), now}
}
