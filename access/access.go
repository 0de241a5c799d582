// Package access decides what a user may do. Its Policy is an interface, so that access-control sets and roles take the
// place of the static rules without a change elsewhere.
package access

// User is who is asking. The zero User is nobody.
type User struct {
	ID    string // what he logs in with; "" for nobody
	UUID  string // of his object, if he has one
	DN    string // of his object, if he has one
	Admin bool
}

// Anonymous reports whether nobody is logged in.
func (u User) Anonymous() bool { return u.ID == "" }

// Right is one letter of the rights of the GOsa world.
type Right rune

// The rights.
const (
	Create  Right = 'c'
	Read    Right = 'r'
	Write   Right = 'w'
	Delete  Right = 'd'
	Search  Right = 's'
	Execute Right = 'x'
	Receive Right = 'e' // be told of changes
	Move    Right = 'm'
)

// Topic is what a right is asked for: an object (or one attribute of it), a command, or an event type.
type Topic struct {
	Type, Attribute string
	UUID, DN        string
	Command         string
	Event           string
}

// Policy answers whether a user has a right. It is safe for concurrent use and does not block on I/O.
type Policy interface {
	Allowed(user User, right Right, topic Topic) bool
}

// Static is the policy without access-control sets: an administrator may do all; a logged-in user may read himself, be
// told of changes of himself, and call commands; nobody else may do anything. That he may call a command grants nothing
// of what it does: for each object and event the right is asked for again, and a command that is for administrators only
// asks for another right than Execute.
type Static struct{}

var _ Policy = Static{}

// Allowed implements Policy.
func (Static) Allowed(user User, right Right, topic Topic) bool {
	if user.Anonymous() {
		return false
	}
	if user.Admin {
		return true
	}
	switch right {
	case Execute:
		return topic.Command != ""
	case Read, Search, Receive:
		return topic.UUID != "" && topic.UUID == user.UUID
	default:
		return false
	}
}
