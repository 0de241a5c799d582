package busevents

import (
	"strconv"
	"time"

	"clacks/bus"
)

// The filter that selects events by an XQuery, as Qpid had it; descriptors come numeric or symbolic.
const (
	QueryFilter     = "apache.org:xquery-filter:string"
	QueryFilterCode = 0x0000468C00000005
)

// FromFilter says where in the log to begin: a sequence number, or a time (a timestamp, or text as in RFC 3339). The link's
// property "from" says the same.
const FromFilter = "clacks:from"

// fromProperty is the name of the link property.
const fromProperty = "from"

// wishes are what a receiver asks for.
type wishes struct {
	query, from string
	applied     []bus.Filter
}

// wishesOf reads the filters and properties of an attach. Filters that are not known are not applied; a second one of a kind
// is an error, since the receiver could not tell which is.
func wishesOf(q *bus.SourceRequest) (wishes, error) {
	var w wishes
	var queried, placed bool
	for _, f := range q.Filters {
		var err error
		switch {
		case f.Descriptor == QueryFilter || f.Code == QueryFilterCode:
			if queried {
				return wishes{}, invalid("there are two queries")
			}
			queried = true
			w.query, err = queryIn(f.Value)
		case f.Descriptor == FromFilter:
			if placed {
				return wishes{}, invalid("there are two places to begin at")
			}
			placed = true
			w.from, err = placeIn(f.Value)
		default:
			continue
		}
		if err != nil {
			return wishes{}, err
		}
		w.applied = append(w.applied, f)
	}
	if value, ok := q.Properties[fromProperty]; ok && !placed {
		var err error
		if w.from, err = placeIn(value); err != nil {
			return wishes{}, err
		}
	}
	return w, nil
}

func invalid(why string) *bus.Condition {
	return &bus.Condition{Name: bus.InvalidField, Description: why}
}

// queryIn is the text of a query filter.
func queryIn(value any) (string, error) {
	switch value := value.(type) {
	case string:
		if value == "" {
			return "", invalid("the query is empty")
		}
		return value, nil
	case bus.Symbol:
		return queryIn(string(value))
	}
	return "", invalid("the query must be a string")
}

// placeIn is a place in the log as events.Log.Behind takes it.
func placeIn(value any) (string, error) {
	switch value := value.(type) {
	case string:
		if value != "" {
			return value, nil
		}
	case bus.Symbol:
		return placeIn(string(value))
	case int64:
		return strconv.FormatInt(value, 10), nil
	case int32:
		return placeIn(int64(value))
	case int16:
		return placeIn(int64(value))
	case int8:
		return placeIn(int64(value))
	case int:
		return placeIn(int64(value))
	case uint64:
		return strconv.FormatUint(value, 10), nil
	case uint32:
		return placeIn(uint64(value))
	case uint16:
		return placeIn(uint64(value))
	case uint8:
		return placeIn(uint64(value))
	case time.Time:
		return value.UTC().Format(time.RFC3339Nano), nil
	}
	return "", invalid("where to begin must be a sequence number or a time")
}
