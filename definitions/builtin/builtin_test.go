package builtin_test

import (
	"slices"
	"testing"

	"clacks/definitions"
	"clacks/definitions/builtin"
)

var options = definitions.Options{Backends: []string{"LDAP", "SQL", "NULL"}}

func load(t *testing.T, more ...string) *definitions.Set {
	t.Helper()
	sources := builtin.Sources()
	for _, path := range more {
		read, err := definitions.ReadPath(path)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, read...)
	}
	set, problems := definitions.Load(sources, options)
	for _, p := range problems {
		t.Error(p.Detail())
	}
	if set == nil {
		t.Fatal("the definitions do not load")
	}
	return set
}

func TestShippedTypesLoadWithoutAProblem(t *testing.T) {
	set := load(t)
	want := []string{
		"Country", "Domain", "DomainComponent", "GroupContainer", "GroupOfNames", "Locality", "Organization",
		"OrganizationalUnit", "PeopleContainer", "PosixGroup", "PosixUser", "ShadowUser", "User",
	}
	var got []string
	for _, typ := range set.Types() {
		got = append(got, typ.Name)
		for _, a := range typ.Attributes {
			if a.Unavailable != "" || a.Backend != "LDAP" || a.Description == "" {
				t.Errorf("%s.%s: unavailable %q, backend %q, description %q", typ.Name, a.Name, a.Unavailable, a.Backend, a.Description)
			}
			for _, assert := range a.Asserts {
				if assert.Message == "" || assert.Test.Text == "" || assert.Test.Pos.Line == 0 {
					t.Errorf("%s.%s: assert %+v", typ.Name, a.Name, assert)
				}
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("types %v, want %v", got, want)
	}
}

func TestShippedTypesSayWhatTheyMust(t *testing.T) {
	set := load(t)
	user := set.Type("User")
	if rdn := user.Parameters[0].Values["RDN"]; rdn != "cn,uid" || !user.Base {
		t.Errorf("User: RDN %q, base %v", rdn, user.Base)
	}
	password := user.Attribute("userPassword")
	if !password.Secret || password.Type != definitions.UnicodeString || password.Mappings[0].Inbound != nil || password.Mappings[0].Outbounds[0].Query.Text != "clacks:password-hash(userPassword)" {
		t.Errorf("userPassword: %+v", password)
	}
	for typ, names := range map[string][]string{
		"User": {"uid"}, "PosixUser": {"uidNumber"}, "PosixGroup": {"cn", "gidNumber"},
	} {
		for _, name := range names {
			if !set.Type(typ).Attribute(name).Unique {
				t.Errorf("%s.%s is not unique", typ, name)
			}
		}
	}
	for _, c := range []struct{ typ, attribute, object, to string }{
		{"User", "manager", "User", "dn"}, {"User", "secretary", "User", "dn"},
		{"PosixGroup", "memberUid", "PosixUser", "uid"}, {"GroupOfNames", "member", "User", "dn"},
	} {
		r := set.Type(c.typ).Attribute(c.attribute).References
		if len(r) != 1 || r[0].Object != c.object || r[0].Attribute != c.to || r[0].Mode != "replace" {
			t.Errorf("%s.%s references %+v", c.typ, c.attribute, r)
		}
	}
	if uid := set.Type("PosixUser").Attribute("uid"); !uid.Foreign || !uid.Mandatory || uid.Type != definitions.String {
		t.Errorf("the foreign uid of PosixUser is %+v", uid)
	}
	if r := set.Type("ShadowUser").RequiresExtension; !slices.Equal(r, []string{"PosixUser"}) {
		t.Errorf("ShadowUser requires %v", r)
	}
	if set.Type("PeopleContainer").FixedRDN != "ou=people" || set.Type("GroupContainer").FixedRDN != "ou=groups" {
		t.Error("the containers have no fixed names")
	}
}

func TestEmployeesExampleLoadsWithoutAProblem(t *testing.T) {
	user := load(t, "../../examples/employees").Type("User")
	if badge := user.Attribute("badgeNumber"); badge == nil || badge.Backend != "SQL" || !badge.Unique || badge.Mappings[0].Attribute != "badge_number" {
		t.Errorf("badgeNumber: %+v", badge)
	}
	if center := user.Attribute("costCenter"); center == nil || center.Backend != "SQL" || center.Mappings[0].Attribute != "cost_center" {
		t.Errorf("costCenter: %+v", center)
	}
	phones := user.Attribute("phones").Mappings[0]
	if phones.Table != "phones" || phones.ForeignKey != "employee" || phones.Attribute != "number" {
		t.Errorf("phones: %+v", phones)
	}
	display := user.Attribute("displayName")
	if display.Backend != "LDAP" || display.Mappings[0].Outbounds[0].Query.Text != "string-join((givenName, sn), ' ')" {
		t.Errorf("displayName: %+v", display)
	}
	i := slices.IndexFunc(user.Parameters, func(p definitions.BackendParameters) bool { return p.Backend == "SQL" })
	if i < 0 || user.Parameters[i].Values["key"] != "uid=login" || user.Parameters[i].Values["table"] != "employees" {
		t.Errorf("parameters %+v", user.Parameters)
	}
}
