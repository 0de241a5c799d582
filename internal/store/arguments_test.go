package store

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// TestEncodeAsPgx: what is encoded here is what pgx makes of the same arguments, and what is not is left to it.
func TestEncodeAsPgx(t *testing.T) {
	types := pgtype.NewMap()
	for what, c := range map[string]struct {
		oids   []uint32
		args   []any
		common bool
	}{
		"nothing":          {nil, nil, true},
		"texts":            {[]uint32{pgtype.TextOID, pgtype.JSONBOID, pgtype.UUIDOID}, []any{"a", `{"b":1}`, ""}, true},
		"a text as number": {[]uint32{pgtype.Int8OID}, []any{"5"}, true},
		"numbers":          {[]uint32{pgtype.Int8OID, pgtype.Int8OID}, []any{int64(-1), int64(1 << 60)}, true},
		"bytes":            {[]uint32{pgtype.ByteaOID, pgtype.ByteaOID}, []any{[]byte{0, 255}, []byte{}}, true},
		"nulls":            {[]uint32{pgtype.TextOID, pgtype.Int8OID}, []any{nil, nil}, true},
		"no bytes":         {[]uint32{pgtype.ByteaOID}, []any{[]byte(nil)}, false},
		"bytes as text":    {[]uint32{pgtype.TextOID}, []any{[]byte("a")}, false},
		"a short number":   {[]uint32{pgtype.Int4OID}, []any{int64(7)}, false},
		"a decimal":        {[]uint32{pgtype.NumericOID}, []any{int64(7)}, false},
		"others":           {[]uint32{pgtype.BoolOID, pgtype.Float8OID, pgtype.TimestamptzOID}, []any{true, 1.5, time.Unix(1, 0).UTC()}, false},
		"too many":         {[]uint32{pgtype.TextOID}, []any{"a", "b"}, false},
		"too large":        {[]uint32{pgtype.Int4OID}, []any{int64(1 << 40)}, false},
	} {
		prepared := &pgconn.StatementDescription{ParamOIDs: c.oids, Fields: []pgconn.FieldDescription{{DataTypeOID: pgtype.Int8OID}, {DataTypeOID: pgtype.TextOID}}}
		var b pgx.ExtendedQueryBuilder
		wantErr := b.Build(types, prepared, c.args)
		got, err := encode(types, prepared, c.args)
		if (err != nil) != (wantErr != nil) {
			t.Errorf("%s: %v, and with pgx %v", what, err, wantErr)
		}
		if _, common := encodeCommon(c.oids, c.args); common != c.common {
			t.Errorf("%s: encoded here: %t", what, common)
		}
		if err != nil {
			continue
		}
		if len(got.values) != len(b.ParamValues) || len(got.values) > 0 && !reflect.DeepEqual(got.values, b.ParamValues) || !slices.Equal(got.results, b.ResultFormats) {
			t.Errorf("%s: %q %v, and with pgx %q %v", what, got.values, got.results, b.ParamValues, b.ResultFormats)
		}
		for i := range got.values {
			if got.values[i] != nil && got.formats[i] != b.ParamFormats[i] {
				t.Errorf("%s: argument %d has the format %d, and with pgx %d", what, i, got.formats[i], b.ParamFormats[i])
			}
		}
	}
}
