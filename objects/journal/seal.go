package journal

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"sync"

	"clacks"
)

// The form of a plan in its row is a byte for the form, the nonce, and the plan sealed by AES-256-GCM (NIST SP 800-38D) with
// the operation as additional data, so that no plan can be moved to another row. A large plan is compressed before, by
// DEFLATE (RFC 1951), so that it fits into a page of the database together with its row, if it can; for the plan of a common
// change that would cost more than it saves.
const (
	plainForm  = 1
	packedForm = 2
	packFrom   = 4 << 10 // bytes
)

// compressors are kept, since one is much larger than a plan.
var compressors = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // only a level that does not exist is refused
	}
	return w
}}

func compress(plan []byte) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(len(plan)/2 + 64)
	w, _ := compressors.Get().(*flate.Writer)
	defer compressors.Put(w)
	w.Reset(&b)
	if _, err := w.Write(plan); err != nil {
		return nil, err
	}
	err := w.Close()
	return b.Bytes(), err
}

func (j *Journal) seal(operation string, plan []byte) ([]byte, error) {
	form := byte(plainForm)
	if len(plan) >= packFrom {
		var err error
		if plan, err = compress(plan); err != nil {
			return nil, clacks.E(clacks.Internal, "journal.seal", "the plan cannot be compressed: %w", err)
		}
		form = packedForm
	}
	size := 1 + j.aead.NonceSize()
	sealed := make([]byte, size, size+len(plan)+j.aead.Overhead())
	sealed[0] = form
	if _, err := rand.Read(sealed[1:]); err != nil {
		return nil, clacks.E(clacks.Internal, "journal.seal", "no randomness: %w", err)
	}
	return j.aead.Seal(sealed, sealed[1:], plan, []byte(operation)), nil
}

// open is the plan of a row; nil when the row keeps none any more.
func (j *Journal) open(operation string, stored []byte) ([]byte, error) {
	switch {
	case len(stored) == 0:
		return nil, nil
	case stored[0] == '{':
		return j.openDocument(operation, stored)
	case stored[0] != plainForm && stored[0] != packedForm:
		return nil, clacks.E(clacks.Internal, "journal.open", "operation %s: its plan has an unknown form", operation)
	}
	plan, err := j.unseal(operation, stored[1:])
	if err == nil && stored[0] == packedForm {
		plan, err = io.ReadAll(flate.NewReader(bytes.NewReader(plan)))
	}
	if err != nil {
		return nil, clacks.E(clacks.Internal, "journal.open", "operation %s: its plan cannot be read: %w", operation, err)
	}
	return plan, nil
}

// openDocument reads the form of the tables' version 1, of an operation that was left open when the tables were brought up
// to date: a JSON document whose member "sealed" is the nonce and the sealed plan in base64.
func (j *Journal) openDocument(operation string, stored []byte) ([]byte, error) {
	var document struct {
		Sealed string `json:"sealed"`
	}
	if err := json.Unmarshal(stored, &document); err != nil {
		return nil, clacks.E(clacks.Internal, "journal.open", "operation %s: its plan is no document: %w", operation, err)
	}
	data, err := base64.RawStdEncoding.DecodeString(document.Sealed)
	if err != nil {
		return nil, clacks.E(clacks.Internal, "journal.open", "operation %s: its plan is damaged: %w", operation, err)
	}
	return j.unseal(operation, data)
}

func (j *Journal) unseal(operation string, data []byte) ([]byte, error) {
	size := j.aead.NonceSize()
	if len(data) < size {
		return nil, clacks.E(clacks.Internal, "journal.open", "operation %s: its plan is damaged", operation)
	}
	text, err := j.aead.Open(nil, data[:size], data[size:], []byte(operation))
	if err != nil {
		return nil, clacks.E(clacks.Internal, "journal.open",
			"operation %s: its plan was sealed with another key, or changed: %w", operation, err)
	}
	return text, nil
}
