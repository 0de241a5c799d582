package objects

import (
	"context"
	"strconv"
	"sync"
	"time"

	"clacks"
	"clacks/internal/dn"
	"clacks/mapping"
)

var _ mapping.Lookup = (*Service)(nil)

// Object implements mapping.Lookup by the index: the object of a type whose attribute has this value ("dn" and "uuid"
// besides attributes), without secrets; nil when there is none.
func (s *Service) Object(ctx context.Context, typeName, attribute, value string) (*mapping.Object, error) {
	cat := s.catalogue.Load()
	typ := cat.set.Definitions().Type(typeName)
	if typ == nil {
		return nil, clacks.E(clacks.Invalid, "objects.lookup", "there is no type %q", clip(typeName, 100))
	}
	where, args, err := cat.lookup(attribute, value)
	if err != nil {
		return nil, err
	}
	if typ.Base {
		where += ` AND o.type = ?`
		args = append(args, typeName)
	} else {
		where += ` AND o.uuid IN (SELECT uuid FROM clacks_values WHERE attribute = ? AND value_key = ?)`
		args = append(args, extensionKey, typeName)
	}
	var found *mapping.Object
	err = s.db.Query(ctx, `SELECT o.uuid, o.dn, o.type, o.extensions, o.document FROM clacks_objects o WHERE `+where+
		` ORDER BY o.path_key LIMIT 1`, args, func(scan func(...any) error) error {
		var object mapping.Object
		var extensions, text string
		err := scan(&object.UUID, &object.DN, &object.Type, &extensions, &text)
		if err != nil {
			return err
		}
		if object.Extensions, err = decodeExtensions(extensions); err != nil {
			return err
		}
		shape, err := cat.set.Shape(object.Type, object.Extensions)
		if err != nil {
			return err
		}
		object.Values, err = decodeDocument(shape, []byte(text), nil)
		found = &object
		return err
	})
	return found, err
}

// lookup is the condition for an attribute's value.
func (c *catalogue) lookup(attribute, value string) (string, []any, error) {
	switch attribute {
	case mapping.UUIDKey:
		return `o.uuid = ?`, []any{value}, nil
	case mapping.DNAttribute:
		key, err := dn.Key(value)
		return `o.dn_key = ?`, []any{key}, err
	}
	definitions := c.attributes[attribute]
	if len(definitions) == 0 {
		return "", nil, clacks.E(clacks.Invalid, "objects.lookup", "no type has an attribute %q", clip(attribute, 100))
	}
	args := []any{attribute}
	for _, a := range definitions {
		if v, err := a.Parse(value); err == nil && indexed(a) {
			args = append(args, indexKey(a, v))
		}
	}
	if len(args) == 1 {
		return `1 = 0`, nil, nil
	}
	return `o.uuid IN (SELECT uuid FROM clacks_values WHERE attribute = ? AND value_key IN (` + repeated("?", ", ", len(args)-1) + `))`, args, nil
}

// numbers remembers what NextNumber gave out, until the objects that got them are in the index, and where the next search
// for a gap may begin.
type numbers struct {
	mu    sync.Mutex
	given map[string]map[int64]time.Time // by attribute
	from  map[string]int64               // by what was asked: below it, nothing was free when it was last looked at
}

// numberHold is how long a given number is kept for the commit that asked for it.
const numberHold = 2 * time.Minute

// NextNumber implements mapping.Lookup. Agents that share a state database may be given the same number at the same time;
// where that must not be, the attribute is Unique, and the commit that comes second is refused.
func (s *Service) NextNumber(ctx context.Context, typeName, attribute string, from int64) (int64, error) {
	cat := s.catalogue.Load()
	if a := cat.definition(typeName, attribute); a == nil || a.Type != "Integer" {
		return 0, clacks.E(clacks.Invalid, "objects.next-number", "%s has no Integer attribute %q", clip(typeName, 100), clip(attribute, 100))
	}
	s.numbers.mu.Lock()
	defer s.numbers.mu.Unlock()
	key := typeName + "." + attribute + "/" + strconv.FormatInt(from, 10)
	given := s.numbers.held(attribute, s.now())
	next := from
	if known, ok := s.numbers.from[key]; ok {
		next = known
	}
	err := s.db.Query(ctx, `SELECT DISTINCT value_key FROM clacks_values WHERE attribute = ? AND value_key >= ? ORDER BY value_key`,
		[]any{attribute, orderedInteger(next)}, func(scan func(...any) error) error {
			var text string
			if err := scan(&text); err != nil {
				return err
			}
			for given[next] {
				next++
			}
			if text > orderedInteger(next) {
				return errGap
			}
			if text == orderedInteger(next) {
				next++
			}
			return nil
		})
	if err != nil && err != errGap {
		return 0, err
	}
	for given[next] {
		next++
	}
	s.numbers.give(attribute, key, next, s.now())
	return next, nil
}

// errGap ends a search at the first number that is free.
var errGap = clacks.E(clacks.Internal, "objects.next-number", "a gap")

// held are the numbers given out lately.
func (n *numbers) held(attribute string, now time.Time) map[int64]bool {
	held := make(map[int64]bool, len(n.given[attribute]))
	for number, since := range n.given[attribute] {
		if now.Sub(since) > numberHold {
			delete(n.given[attribute], number)
			continue
		}
		held[number] = true
	}
	return held
}

func (n *numbers) give(attribute, key string, number int64, now time.Time) {
	if n.given == nil {
		n.given, n.from = map[string]map[int64]time.Time{}, map[string]int64{}
	}
	if n.given[attribute] == nil {
		n.given[attribute] = map[int64]time.Time{}
	}
	n.given[attribute][number] = now
	n.from[key] = number
}

// freed forgets where to begin: a number below may be free again.
func (n *numbers) freed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.from)
}
