package client

import "encoding/json"

// ReadAnswer is the result in the body of a message that answers a command, or the *Error in it: for who sends commands over
// a bus himself.
func ReadAnswer(body []byte) (json.RawMessage, error) { return readBusAnswer(body) }
