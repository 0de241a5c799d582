package directory

import (
	"crypto/sha256"
	"encoding/hex"

	"clacks/internal/store"
)

// indexed are the attributes whose values can be found without looking at each entry: those that logins, references and
// administrators ask for.
var indexed = map[string]bool{
	"uid": true, "cn": true, "mail": true, "uidnumber": true, "gidnumber": true, "employeenumber": true, "member": true,
	"memberuid": true, "uniquemember": true,
}

const maxIndexKey = 200

// indexKey is the normal form of a value in the index; long ones are hashed, since the entry itself is looked at again.
func (t *attributeType) indexKey(value string) string {
	key := t.rule.key(value)
	if len(key) > maxIndexKey {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:])
	}
	return key
}

type indexRow struct{ attribute, value string }

func indexRows(r *record) map[indexRow]bool {
	rows := map[indexRow]bool{}
	if r == nil {
		return rows
	}
	for i := range r.attributes {
		a := &r.attributes[i]
		if !indexed[a.typ.key] {
			continue
		}
		for _, v := range a.values {
			rows[indexRow{a.typ.key, a.typ.indexKey(v)}] = true
		}
	}
	return rows
}

// indexStatements bring the index from what before has to what after has; either may be nil.
func indexStatements(before, after *record) []store.Statement {
	was, is := indexRows(before), indexRows(after)
	var list []store.Statement
	for row := range was {
		if !is[row] {
			list = append(list, store.Statement{SQL: "DELETE FROM directory_values WHERE attribute = ? AND value = ? AND uuid = ?",
				Args: []any{row.attribute, row.value, before.uuid}})
		}
	}
	for row := range is {
		if !was[row] {
			list = append(list, store.Statement{SQL: "INSERT INTO directory_values (attribute, value, uuid) VALUES (?, ?, ?)",
				Args: []any{row.attribute, row.value, after.uuid}})
		}
	}
	return list
}
