package store

import (
	"encoding/binary"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// encoded are a statement's arguments, and the formats of its results, as they are sent.
type encoded struct {
	values           [][]byte
	formats, results []int16
}

// encode gives arguments the form that the server expects. Nearly all are texts, numbers and bytes, for which pgx would
// ask itself each time how that is done; it does all others.
func encode(types *pgtype.Map, prepared *pgconn.StatementDescription, args []any) (encoded, error) {
	e, ok := encodeCommon(prepared.ParamOIDs, args)
	if !ok {
		var b pgx.ExtendedQueryBuilder
		err := b.Build(types, prepared, args)
		return encoded{values: b.ParamValues, formats: b.ParamFormats, results: b.ResultFormats}, err
	}
	for i := range prepared.Fields {
		e.results = append(e.results, types.FormatCodeForOID(prepared.Fields[i].DataTypeOID))
	}
	return e, nil
}

// encodeCommon does it for the common types; it reports false when there is another. A text is any parameter's text, and
// the others are sent in the binary format of their type (PostgreSQL, "Formats and Format Codes").
func encodeCommon(types []uint32, args []any) (e encoded, ok bool) {
	size, ok := commonSize(types, args)
	if !ok {
		return e, false
	}
	all := make([]byte, 0, size)
	e.values, e.formats = make([][]byte, len(args)), make([]int16, len(args))
	for i, arg := range args {
		start := len(all)
		switch v := arg.(type) {
		case string:
			all = append(all, v...)
		case []byte:
			all = append(all, v...)
			e.formats[i] = pgx.BinaryFormatCode
		case int64:
			all = binary.BigEndian.AppendUint64(all, uint64(v)) //nolint:gosec // two's complement is the format
			e.formats[i] = pgx.BinaryFormatCode
		default:
			continue // NULL
		}
		e.values[i] = all[start:len(all):len(all)]
	}
	return e, true
}

// commonSize is how many bytes the arguments take. It reports false when one is of another type than these, or not for a
// parameter of its kind.
func commonSize(types []uint32, args []any) (size int, ok bool) {
	if len(types) != len(args) {
		return 0, false
	}
	for i, arg := range args {
		switch v := arg.(type) {
		case nil:
		case string:
			size += len(v)
		case []byte:
			if types[i] != pgtype.ByteaOID || v == nil {
				return 0, false
			}
			size += len(v)
		case int64:
			if types[i] != pgtype.Int8OID {
				return 0, false
			}
			size += 8
		default:
			return 0, false
		}
	}
	return size, true
}
