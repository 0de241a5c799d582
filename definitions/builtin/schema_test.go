package builtin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"clacks/definitions"
)

// ldapSchema is what OpenLDAP's schema files say, by names in lower case.
type ldapSchema struct {
	single  map[string]bool   // SINGLE-VALUE attributes
	alias   map[string]string // any name of an attribute -> its first one
	classes map[string]class
}

type class struct{ must, may, sup []string }

var (
	element = regexp.MustCompile(`(?mi)^(attributetype|objectclass)\s*\(`)
	namesOf = regexp.MustCompile(`(?i)\bNAME\s+(?:'([^']*)'|\(([^)]*)\))`)
	listOf  = map[string]*regexp.Regexp{"MUST": listForm("MUST"), "MAY": listForm("MAY"), "SUP": listForm("SUP")}
)

func listForm(word string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)\b` + word + `\s+(?:\(([^)]*)\)|([A-Za-z0-9-]+))`)
}

func readSchema(t *testing.T) *ldapSchema {
	t.Helper()
	s := &ldapSchema{single: map[string]bool{}, alias: map[string]string{}, classes: map[string]class{}}
	for _, name := range []string{"core", "cosine", "inetorgperson", "nis"} {
		data, err := os.ReadFile(filepath.Join("/etc/ldap/schema", name+".schema"))
		if err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip("OpenLDAP's schema files are not installed: ", err)
		}
		text := regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAllString(string(data), "")
		starts := element.FindAllStringIndex(text, -1)
		for i, start := range starts {
			end := len(text)
			if i+1 < len(starts) {
				end = starts[i+1][0]
			}
			s.add(text[start[0]:end])
		}
	}
	// objectClass and its like are built into slapd; of the attributes of users, these are too.
	for _, name := range []string{"cn", "description", "userPassword", "uid", "seeAlso", "member", "owner", "uidNumber", "gidNumber", "labeledURI"} {
		s.alias[strings.ToLower(name)] = strings.ToLower(name)
	}
	s.single["uidnumber"], s.single["gidnumber"] = true, true
	return s
}

func (s *ldapSchema) add(text string) {
	found := namesOf.FindStringSubmatch(text)
	if found == nil {
		return
	}
	names := words(found[1] + " " + found[2])
	if strings.HasPrefix(strings.ToLower(text), "objectclass") {
		s.classes[names[0]] = class{list(text, "MUST"), list(text, "MAY"), list(text, "SUP")}
		return
	}
	for _, name := range names {
		s.alias[name] = names[0]
	}
	s.single[names[0]] = strings.Contains(text, "SINGLE-VALUE")
}

func list(text, word string) []string {
	found := listOf[word].FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	return words(found[1] + " " + found[2])
}

func words(text string) []string {
	return strings.Fields(strings.ToLower(strings.NewReplacer("$", " ", "'", " ").Replace(text)))
}

// content is what entries of these classes must and may hold.
func (s *ldapSchema) content(t *testing.T, names []string) (must, may []string) {
	t.Helper()
	for _, name := range names {
		if name == "top" {
			continue
		}
		c, known := s.classes[name]
		if !known {
			t.Errorf("OpenLDAP's schema has no object class %s", name)
		}
		supMust, supMay := s.content(t, c.sup)
		must = slices.Concat(must, c.must, supMust)
		may = slices.Concat(may, c.may, supMay)
	}
	for i := range must {
		must[i] = s.name(must[i])
	}
	for i := range may {
		may[i] = s.name(may[i])
	}
	return must, may
}

func (s *ldapSchema) name(name string) string {
	name, _, _ = strings.Cut(strings.ToLower(name), ";")
	if first, ok := s.alias[name]; ok {
		return first
	}
	return name
}

// TestShippedTypesFitOpenLDAP holds the shipped types against the schema files that OpenLDAP installs: each attribute must
// be allowed by the object classes, each that they demand must be mandatory, and none may hold more values than allowed.
func TestShippedTypesFitOpenLDAP(t *testing.T) {
	schema := readSchema(t)
	for _, typ := range load(t).Types() {
		t.Run(typ.Name, func(t *testing.T) {
			classes := words(strings.ReplaceAll(typ.Parameters[0].Values["objectClasses"], ",", " "))
			must, may := schema.content(t, classes)
			fixed, _, _ := strings.Cut(typ.FixedRDN, "=")
			mandatory := []string{schema.name(fixed)}
			for _, a := range typ.Attributes {
				name := schema.name(written(a))
				if !slices.Contains(must, name) && !slices.Contains(may, name) && !a.Foreign {
					t.Errorf("%s: %s is not allowed by %v", a.Name, name, classes)
				}
				if schema.single[name] && a.MultiValue {
					t.Errorf("%s: %s has one value in OpenLDAP's schema", a.Name, name)
				}
				if a.Mandatory {
					mandatory = append(mandatory, name)
				}
			}
			for _, name := range must {
				if !slices.Contains(mandatory, name) {
					t.Errorf("%s must have a value, but is not mandatory", name)
				}
			}
		})
	}
}

// written is the attribute of the entry that holds an attribute's value.
func written(a *definitions.Attribute) string {
	if len(a.Mappings) == 0 {
		return a.Name
	}
	m := a.Mappings[0]
	if m.Attribute != "" {
		return m.Attribute
	}
	return m.Outbounds[0].Attribute
}
