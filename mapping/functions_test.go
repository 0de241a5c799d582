package mapping

import (
	"os"
	"strings"
	"testing"

	"clacks/xquery"
)

const manual = "../docs/functions.md"

// typesManual is what the manual says of the types of values.
const typesManual = "" +
	"What an `Inbound` reads has the type that its backend gave it: `xs:integer`, `xs:double`, `xs:boolean`, `xs:dateTime`,\n" +
	"`xs:base64Binary`, and `xs:string` for anything else. So `number eq 5` and `max(number)` work, and a text that is to be a\n" +
	"number is converted first: `xs:integer(employeeNumber) > 5`. The values of an object, which all other queries read, and\n" +
	"those of `clacks:object` are untyped: `uidNumber > 5` and `active = true()` compare as the other side is typed, while `eq`\n" +
	"and `lt`, and comparisons of two attributes, need a conversion: `xs:integer(uidNumber) eq 5`.\n"

// functionManual is the content of the manual of Clacks' own functions.
func functionManual() string {
	var b strings.Builder
	b.WriteString("# Clacks' own XQuery functions\n\n" +
		"Queries in definitions (`Inbound`, `Outbound`, `Default@query`, `Values@query`, `Assert@test`) may use all functions of\n" +
		"XPath and XQuery 3.1, and these. They lie in the namespace `" + Namespace + "`; the prefix `clacks:` is declared for it\n" +
		"already. This page is made from the table in `mapping/functions.go`.\n\n" + typesManual)
	for i := range ownFunctions {
		f := &ownFunctions[i]
		b.WriteString("\n## " + f.name + "\n\n    " + f.signature() + "\n\n" + f.doc + "\n")
		if f.effect {
			b.WriteString("\nIt has an effect, or another result each time: it may be used in `Outbound` and `Default` only, and runs once.\n")
		}
		b.WriteString("\nExample:\n\n    " + f.example + "\n")
	}
	return b.String()
}

// TestFunctionManual fails when the manual is not what the table says; UPDATE_DOCS=1 writes it.
func TestFunctionManual(t *testing.T) {
	want := functionManual()
	if os.Getenv("UPDATE_DOCS") != "" {
		if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(manual)
	if err != nil || string(got) != want {
		t.Errorf("docs/functions.md is stale (%v): run UPDATE_DOCS=1 go test ./mapping -run TestFunctionManual", err)
	}
}

func TestTransliterate(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "plain ASCII": "plain ASCII", "Jörg Łukasz": "Joerg Lukasz", "Ångström": "Angstroem", "Þór": "Thor", "Straße": "Strasse",
		"naïve café": "naive cafe", "Nguyễn": "Nguyen", "Щука": "Shchuka", "Ψυχή": "Psychi", "漢字": "", "ﬁ": "fi", "u\u0308ber": "ueber", "İstanbul": "Istanbul",
	} {
		if got := transliterate(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestFunctionArguments calls each function with arguments that it must refuse, or answer with nothing.
func TestFunctionArguments(t *testing.T) {
	env := &environment{options: Options{Lookup: &counter{object: &Object{}}}}
	for expression, want := range map[string]string{ // "": refused
		"clacks:days(())":                                                     "()",
		"clacks:days('yesterday')":                                            "",
		"clacks:days(('2006-01-02', '2006-01-03'))":                           "",
		"clacks:days(xs:date('1969-12-31'))":                                  "-1",
		"clacks:date-of-days(())":                                             "()",
		"clacks:date-of-days(99999999999)":                                    "",
		"clacks:date-of-days('x')":                                            "",
		"clacks:generalized-time(())":                                         "()",
		"clacks:generalized-time(xs:dateTime('2006-01-02T15:04:05.5+01:00'))": "20060102140405.5Z",
		"clacks:parse-generalized-time('2006')":                               "",
		"clacks:parse-generalized-time(())":                                   "()",
		"clacks:rdn('cn', ())":                                                "",
		"clacks:rdn('c=n', 'a')":                                              "",
		"clacks:rdn('cn', 'a,b+c=d')":                                         `cn=a\,b\+c=d`,
		"clacks:rdn-value('no name')":                                         "()",
		"clacks:rdn-value(())":                                                "()",
		"clacks:parent-dn(())":                                                "",
		"clacks:transliterate(())":                                            "",
		"clacks:transliterate(('a', 'b'))":                                    "",
		"clacks:password-hash(())":                                            "()",
		"clacks:password-hash('')":                                            "()",
		"clacks:password-hash('{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=')":           "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
		"clacks:next-number('a', 'b', ())":                                    "",
		"clacks:next-number('a', 'b', 'x')":                                   "",
		"clacks:object('a', 'b', ())":                                         "()",
		"clacks:object((), 'b', 'c')":                                         "",
	} {
		got, err := evaluate(t, env, expression)
		if err != nil {
			got = ""
		}
		if got != want {
			t.Errorf("%s: got %q (%v), want %q", expression, got, err, want)
		}
	}
}

// evaluate runs an expression; "()" stands for nothing.
func evaluate(t *testing.T, env *environment, expression string) (string, error) {
	t.Helper()
	q, err := xquery.Compile(expression, xquery.Options{Namespaces: map[string]string{"clacks": Namespace}, Functions: functions(env)})
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	result, err := q.Evaluate(t.Context(), xquery.Input{})
	if err != nil {
		return "", err
	}
	if result == nil || result.Len() == 0 {
		return "()", nil
	}
	texts, err := result.Strings()
	return strings.Join(texts, " "), err
}
