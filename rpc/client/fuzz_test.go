package client

import (
	"bytes"
	"testing"
)

// FuzzStream reads what is no stream: nothing panics, no event is without its number or holds a line break that the stream
// did not tell by a further line of data.
func FuzzStream(f *testing.F) {
	for _, seed := range []string{"id: 1\nevent: A\ndata: x\n\n", ":\n\nid: 5\n\n", "data\n\n", "id: x\ndata: y\n\n", "id:1\r\ndata:a\r\ndata:b\r\n\r\n", "\n\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		lines := bytes.Count(stream, []byte("data"))
		s := &subscription{client: &Client{}, yield: func(e Event, err error) bool {
			if err != nil || bytes.Count(e.Document, []byte{'\n'}) >= lines {
				t.Errorf("%+v, %v", e, err)
			}
			return true
		}}
		_ = s.read(bytes.NewReader(stream), func() {}) // most of it is wrong
	})
}
