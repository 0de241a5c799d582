package store

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// eachRow calls row for each row and closes rows.
func eachRow(rows pgx.Rows, row RowFunc) error {
	defer rows.Close()
	scan := func(dest ...any) error { return scanPostgres(rows, dest) }
	for rows.Next() {
		if err := row(scan); err != nil {
			return err
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return classifyPostgres(err, 0, 0, beforeCommit)
	}
	return nil
}

// scanPostgres is rows.Scan, but for *any: those get the few Go types that RowFunc promises.
func scanPostgres(rows pgx.Rows, dest []any) error {
	var (
		values []any
		typed  []any
	)
	for i, d := range dest {
		target, ok := d.(*any)
		if !ok {
			continue
		}
		if values == nil {
			var err error
			if values, err = rows.Values(); err != nil {
				return fmt.Errorf("read a row: %w", err)
			}
			typed = append([]any(nil), dest...)
		}
		if i >= len(values) {
			return fmt.Errorf("a row has %d columns, not %d", len(values), len(dest))
		}
		*target = plain(rows, i, values[i])
		typed[i] = nil
	}
	if typed == nil {
		return rows.Scan(dest...)
	}
	return rows.Scan(typed...)
}

// plain turns a value of pgx into one of the types that RowFunc promises; what has no such type becomes text.
func plain(rows pgx.Rows, i int, value any) any {
	switch rows.FieldDescriptions()[i].DataTypeOID {
	case pgtype.JSONOID, pgtype.JSONBOID:
		return jsonText(rows.RawValues()[i])
	}
	switch v := value.(type) {
	case nil, int64, float64, bool, string, []byte:
		return v
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case uint32:
		return int64(v)
	case float32:
		return float64(v)
	case time.Time:
		return v.UTC()
	case [16]byte:
		h := hex.EncodeToString(v[:])
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	case pgtype.Numeric:
		if text, err := v.Value(); err == nil {
			return text
		}
	}
	return fmt.Sprint(value)
}

// jsonText is the text of a json or (with its version byte in front) jsonb value.
func jsonText(raw []byte) any {
	if raw == nil {
		return nil
	}
	if len(raw) > 0 && raw[0] == 1 {
		raw = raw[1:]
	}
	return string(raw)
}
