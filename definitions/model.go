package definitions

// Position is a place in a definition file; lines and columns count from 1. A column counts characters, not bytes.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// Set is all types of a service, linked and checked. It is immutable.
type Set struct {
	types map[string]*Type
	order []string
}

// Query is an XQuery that stands in a definition. Pos is the place of its first character, so that a place inside the
// query can be told as a place in the file: Text keeps the query's own lines and columns.
type Query struct {
	Text string
	Pos  Position
}

// Type is one object type: a base type (identified by its primary backend) or an extension of base types.
type Type struct {
	Name, Description, DisplayName string
	Base                           bool   // BaseObject: it can exist alone
	Backend                        string // the primary backend of its attributes
	Parameters                     []BackendParameters
	Attributes                     []*Attribute // amendments applied; in the order of the files
	Extends                        []string     // base types that this extension may extend
	RequiresExtension              []string
	Container                      []string // types allowed as children
	FixedRDN                       string   // the one RDN that entries of this type have ("ou=people")
	StructuralInvisible            bool
	Templates, Dialogs             []string
	Methods                        []Method
	Hooks                          []Hook
	Aspects                        []Aspect
	Conditions                     []ExtensionCondition
	Pos                            Position
}

// Attribute returns the attribute of this name, or nil.
func (t *Type) Attribute(name string) *Attribute {
	for _, a := range t.Attributes {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// BackendParameters are the free parameters of one backend for a type: LDAP objectClasses, RDN, filter; SQL table, key.
type BackendParameters struct {
	Backend string
	Values  map[string]string
	Pos     Position
}

// AttributeType is the type of an attribute's values.
type AttributeType string

// The attribute types, and how an object's values of each look in Go.
const (
	String          AttributeType = "String"          // string
	UnicodeString   AttributeType = "UnicodeString"   // string
	Integer         AttributeType = "Integer"         // int64
	Boolean         AttributeType = "Boolean"         // bool
	Binary          AttributeType = "Binary"          // []byte
	Date            AttributeType = "Date"            // time.Time, midnight UTC
	Timestamp       AttributeType = "Timestamp"       // time.Time, UTC
	AnyType         AttributeType = "AnyType"         // any JSON value, stored as its text
	AclSet          AttributeType = "AclSet"          // unavailable in this version
	AclRole         AttributeType = "AclRole"         // unavailable in this version
	SambaLogonHours AttributeType = "SambaLogonHours" // unavailable in this version
)

// Attribute is one attribute of a type as its definition says.
type Attribute struct {
	Name, Description string
	Type              AttributeType
	BackendType       AttributeType // "" for the same as Type
	Backend           string        // never empty after linking
	Values            []Value       // allowed values; empty for any
	ValuesPopulate    string        // the command that yields them
	ValuesRefresh     bool          // they are asked for again after each update of the object
	ValuesQuery       *Query
	Default           *string
	DefaultQuery      *Query
	Mandatory         bool
	ReadOnly          bool
	MultiValue        bool
	Unique            bool
	CaseSensitive     bool
	Secret            bool
	Auto              bool
	BlockedBy         []Blocker
	DependsOn         []string
	References        []Reference
	Foreign           bool // a ForeignAttribute: a copy of what another type of the same object defines, used here
	InFilter          *FilterChain
	OutFilter         *FilterChain
	Validator         *Condition
	Asserts           []Assert
	Mappings          []Mapping
	InheritFrom       string
	InheritRelation   string
	UpdateHooks       []UpdateHook
	Unavailable       string // why it can be neither read nor written (unknown backend, filter, type); "" when it can
	Pos               Position
}

// Value is an allowed value: what is stored (Key, or Text when there is none) and what is shown.
type Value struct {
	Key, Text string
	Translate bool
}

// Blocker says that the attribute may not be set while another has this value.
type Blocker struct{ Attribute, Value string }

// Reference says that the values are those of another type's attribute ("dn" for its DN) and follow it.
type Reference struct {
	Object, Attribute                              string
	Mode                                           string // "replace" or "inline"
	IdentifyPattern, ReplacePattern, DeletePattern string
	Pos                                            Position
}

// Assert is an XQuery that must hold for the object.
type Assert struct {
	Test    Query
	Message string
}

// Mapping connects an attribute to one backend.
type Mapping struct {
	Backend    string
	Attribute  string     // another name, both ways; or the column of Table
	Table      string     // a child table
	ForeignKey string     // its column that holds the key of the object's row
	Inbound    *Query     // reads the backend's entry, whose values are typed
	Outbounds  []Outbound // read the object, whose values are untyped
	Pos        Position
}

// Outbound fills one backend attribute.
type Outbound struct {
	Attribute string
	Query     Query
}

// FilterChain, Filter, Choice, Condition are the filters and validators by name of the language's first version.
type FilterChain struct{ Entries []FilterEntry }

// FilterEntry is either a filter or a choice.
type FilterEntry struct {
	Filter *Filter
	Choice []When
	Else   []FilterChain
}

// Filter is one named filter with parameters.
type Filter struct {
	Name   string
	Params []string
	Pos    Position
}

// When applies its chains if its condition holds; the first match wins.
type When struct {
	Condition *Condition
	Chains    []FilterChain
}

// Condition is a named validator, or two conditions joined by Operator ("and", "or").
type Condition struct {
	Name        string
	Params      []string
	Operator    string
	Left, Right *Condition
	Pos         Position
}

// Method is a command offered as a method of the object.
type Method struct {
	Name, Command string
	Parameters    []MethodParameter
	Arguments     []string // attribute, parameter, "dn" or "__self__"
	Pos           Position
}

// MethodParameter is one parameter of a method.
type MethodParameter struct {
	Name     string
	Type     AttributeType
	Required bool
	Default  *string
}

// Hook runs a command around a create, update or remove.
type Hook struct {
	Type, Command string
	Arguments     []string
	Pos           Position
}

// UpdateHook notifies another object's attribute of a change of this one.
type UpdateHook struct{ Object, Attribute, NotifyAttribute string }

// ExtensionCondition must hold for an extension to be added to an object that carries Extension.
type ExtensionCondition struct {
	Extension  string
	Properties []string // the attributes that the condition looks at
	Condition  *Condition
}

// Aspect says how objects of a type are found and shown by the search.
type Aspect struct {
	Tag      string
	Keywords []string
	Search   []string
	Resolves []Resolve
	Results  []ResultMap
}

// Resolve adds the texts of other objects to the search.
type Resolve struct{ Attribute, Filter, Type string }

// ResultMap shows Source as Destination (title, description, icon).
type ResultMap struct{ Source, Destination string }

// Type returns the type of this name, or nil.
func (s *Set) Type(name string) *Type { return s.types[name] }

// Types are all types in the order of their names.
func (s *Set) Types() []*Type {
	types := make([]*Type, 0, len(s.order))
	for _, name := range s.order {
		types = append(types, s.types[name])
	}
	return types
}
