package journal

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"

	"github.com/klauspost/compress/s2"

	"clacks"
)

// The form of a plan in its row is a byte for the form, the nonce, and the packed plan sealed by AES-256-GCM (NIST SP
// 800-38D) with the operation as additional data, so that no plan can be moved to another row. Every commit writes a plan
// and waits until it is on disk: a short one takes less of the log and of the table.
const (
	plainForm   = 1 // not packed; no longer written
	deflateForm = 2 // packed by DEFLATE (RFC 1951); no longer written
	wordsForm   = 3 // packed by S2, an extension of Snappy, with words as its dictionary
)

// words are what most plans say, the most frequent last. They belong to wordsForm: with others the plans that a journal
// holds could not be read any more.
const words = `"Vacated":"","Below":"Parents":["create","Renamed":true,"Extensions":["PosixUser","` +
	`"Release":[{"Type":"Reserve":[{"Op":"insert"rename"delete","To":{"dn":"","Whole":{"objectClass":["s","sinetOrgPerson"` +
	`{"Operation":"","Time":"2026-11-29T12:00:00.000Z","Actor":"admin","Rows":[{"Op":"update","UUID":"","DN":"cn=","DNKey":"cn=` +
	`","Type":"User","Old":1,"Version":2,"Modified":1795994273008,"Actor":"","Document":"{\"cn\":[\"\"],\"givenName\":[\"` +
	`\"],\"mail\":[\"\"],\"sn\":[\"\"],\"telephoneNumber\":[\"+\"],\"title\":[\"\"],\"uid\":[\"` +
	`\"]}","Guards":{"v":{"LDAP":"20261129120000.000000Z#000000#000#000000"},"h":[{"v":1,"a":"admin"},{"v":2,"a":"admin","n":["` +
	`"]}],"s":""},"Keys":"{}","Keys":"{\"SQL/\":\"s\"}","Add":[{"Attribute":"","Key":"` +
	`"}],"Drop":[{"Attribute":"","Key":""},{"Attribute":""}]}],"Result":{"uuid":"","dn":"","version":"2"},"Steps":[{"Backend":"SQL","Object":"` +
	`","Op":"modify","Ref":{"table":"","column":"","children":{"":""},"key":"s"},"Mods":[{"a":"","Delete":["s"],"Add":["s` +
	`"]}],"Old":{"":["i"]}},{"Backend":"LDAP","Object":"","Op":"modify","Ref":{"dn":"","uuid":""},"Mods":[{"a":"","Delete":["s` +
	`"]}],"Version":"","GuardUUID":""}],"Events":[{"UUID":"","DN":"","NewDN":"","ObjectType":"User","ChangeType":"update","EventID":"` +
	`-1","Origin":"service","Attributes":[{"Name":"","Old":[""],"New":[""]},{"Name":"","Old":null,"New":[""]}]}]}`

var dictionary = s2.MakeDictManual([]byte(words), 0)

func (j *Journal) seal(operation string, plan []byte) ([]byte, error) {
	start := 1 + j.aead.NonceSize()
	sealed := make([]byte, start+s2.MaxEncodedLen(len(plan))+j.aead.Overhead())
	packed := dictionary.Encode(sealed[start:], plan) // in its place
	sealed = sealed[:start]
	sealed[0] = wordsForm
	if _, err := rand.Read(sealed[1:]); err != nil {
		return nil, clacks.E(clacks.Internal, "journal.seal", "no randomness: %w", err)
	}
	return j.aead.Seal(sealed, sealed[1:], packed, []byte(operation)), nil
}

// open is the plan of a row; nil when the row keeps none any more.
func (j *Journal) open(operation string, stored []byte) ([]byte, error) {
	switch {
	case len(stored) == 0:
		return nil, nil
	case stored[0] == '{':
		return j.openDocument(operation, stored)
	case stored[0] < plainForm || stored[0] > wordsForm:
		return nil, clacks.E(clacks.Internal, "journal.open", "operation %s: its plan has an unknown form", operation)
	}
	plan, err := j.unseal(operation, stored[1:])
	if err != nil {
		return nil, err
	}
	switch stored[0] {
	case deflateForm:
		plan, err = io.ReadAll(flate.NewReader(bytes.NewReader(plan)))
	case wordsForm:
		plan, err = dictionary.Decode(nil, plan)
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
