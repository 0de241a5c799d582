package mapping_test

import (
	"context"
	"fmt"

	"clacks/backends"
	"clacks/definitions"
	"clacks/mapping"
)

// A definition is compiled; an object is written, and read back from what the entry would hold.
func Example() {
	defs, problems := definitions.Load([]definitions.Source{{Name: "town.xml", Data: []byte(`
<Objects xmlns="http://www.gonicus.de/Objects">
  <Object>
    <Name>Town</Name>
    <Backend>LDAP</Backend>
    <BackendParameters><Backend objectClasses="locality" RDN="name">LDAP</Backend></BackendParameters>
    <BaseObject>true</BaseObject>
    <Attributes>
      <Attribute><Name>name</Name><Type>UnicodeString</Type><Mandatory>true</Mandatory><Mapping attribute="l"/></Attribute>
      <Attribute>
        <Name>sign</Name>
        <Type>UnicodeString</Type>
        <Mapping><Inbound>description</Inbound><Outbound attribute="description">upper-case(name)</Outbound></Mapping>
      </Attribute>
    </Attributes>
  </Object>
</Objects>`)}}, definitions.Options{Backends: []string{"LDAP"}})
	if defs == nil {
		fmt.Println(problems)
		return
	}
	set, problems := mapping.Compile(defs, mapping.Options{Kinds: map[string]backends.Kind{"LDAP": backends.Tree}})
	if set == nil {
		fmt.Println(problems)
		return
	}
	shape, err := set.Shape("Town", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	states, err := shape.Outbound(ctx, nil, &mapping.Object{Type: "Town", Values: mapping.Values{"name": {"Köln"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(states[0].Source.ID, states[0].Touched)
	values, _, err := shape.Inbound(ctx, mapping.After(nil, states))
	fmt.Println(values, err)
	// Output:
	// LDAP map[description:[KÖLN] l:[Köln] objectClass:[locality]]
	// map[name:[Köln] sign:[KÖLN]] <nil>
}
