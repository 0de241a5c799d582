package xquery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"clacks/xquery"
)

const library = `<library xmlns="urn:example:library">
  <book year="1843"><title>Notes on the Analytical Engine</title><author>Lovelace</author></book>
  <book year="1936"><title>On Computable Numbers</title><author>Turing</author></book>
</library>`

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func ExampleCompile() {
	query := must(xquery.Compile(`upper-case("clacks")`, xquery.Options{}))
	result := must(query.Evaluate(context.Background(), xquery.Input{}))
	fmt.Println(result.Item(0))
	// Output: CLACKS
}

// Errors say where they are, in terms of the file that the query stands in.
func ExampleCompile_error() {
	_, err := xquery.Compile("for $person in //person\nreturn $persn/name", xquery.Options{File: "User.xml", Line: 12, Column: 9})
	fmt.Println(err)
	// Output: User.xml:13:8: XPST0008: the variable $persn is not declared; did you mean "$person"? (near "$persn")
}

func ExampleQuery_Evaluate() {
	document := must(xquery.ParseDocument([]byte(library), xquery.ParseLimits{}))
	query := must(xquery.Compile(`
		declare default element namespace "urn:example:library";
		for $book at $i in //book
		where $book/@year > 1800
		order by $book/title descending
		return $i || ": " || $book/title`, xquery.Options{}))
	result := must(query.Evaluate(context.Background(), xquery.Input{Context: document}))
	for i := range result.Len() {
		fmt.Println(result.Item(i))
	}
	// Output:
	// 2: On Computable Numbers
	// 1: Notes on the Analytical Engine
}

// The clock of a query is the caller's.
func ExampleQuery_Evaluate_now() {
	query := must(xquery.Compile(`year-from-date(current-date()) - 1843`, xquery.Options{}))
	result := must(query.Evaluate(context.Background(), xquery.Input{Now: time.Date(2043, 1, 1, 0, 0, 0, 0, time.UTC)}))
	fmt.Println(result.Item(0))
	// Output: 200
}

func ExampleQuery_Matches() {
	document := must(xquery.ParseDocument([]byte(library), xquery.ParseLimits{}))
	query := must(xquery.Compile(`//book[author = "Turing"]`, xquery.Options{ElementNamespace: "urn:example:library"}))
	fmt.Println(query.Matches(context.Background(), xquery.Input{Context: document}))
	// Output: true <nil>
}

func ExampleQuery_Reads() {
	query := must(xquery.Compile(`
		let $o := $old/address
		return string-join((givenName, sn), " ") || $o/street[@kind = "home"]`,
		xquery.Options{Variables: []string{"old"}}))
	print := func(root string, paths []xquery.Path) {
		for _, path := range paths {
			fmt.Print(root)
			for _, step := range path.Steps {
				fmt.Print("/", step.Name)
			}
			fmt.Println()
		}
	}
	reads := query.Reads()
	print(".", reads.Context)
	print("$old", reads.Variables["old"])
	// Output:
	// ./givenName
	// ./sn
	// $old/address/street
	// $old/address/street/kind
}

func ExampleQuery_Effects() {
	number := 0
	query := must(xquery.Compile(`"user" || nextNumber()`, xquery.Options{Functions: []xquery.Function{{
		Name: "nextNumber", Effect: true, Doc: "the next free number",
		Call: func(context.Context, []xquery.Sequence) (xquery.Sequence, error) {
			number++
			return xquery.Of(number), nil
		},
	}}}))
	fmt.Println(query.Effects())
	fmt.Println(must(query.Evaluate(context.Background(), xquery.Input{})).Item(0))
	// Output:
	// [nextNumber]
	// user1
}

func ExampleQuery_Source() {
	fmt.Println(must(xquery.Compile(`1 + 1`, xquery.Options{})).Source())
	// Output: 1 + 1
}

func ExampleOf() {
	query := must(xquery.Compile(`sum($numbers) || " " || $text`, xquery.Options{Variables: []string{"numbers", "text"}}))
	result := must(query.Evaluate(context.Background(), xquery.Input{Variables: map[string]xquery.Sequence{
		"numbers": xquery.Of(1, 2, 3), "text": xquery.Of("apples"),
	}}))
	fmt.Println(result.Strings())
	// Output: [6 apples] <nil>
}

func ExampleLimits() {
	query := must(xquery.Compile(`some $a in 1 to 100000, $b in 1 to 100000 satisfies $a = -$b`, xquery.Options{}))
	_, err := query.Evaluate(context.Background(), xquery.Input{Limits: xquery.Limits{Steps: 200_000}})
	fmt.Println(err)
	fmt.Println(errors.Is(err, xquery.ErrLimit))
	// Output:
	// 1:1: XPDY0130: the query takes more than 200000 steps (near "some")
	// true
}

func ExampleBuilder() {
	b := xquery.NewBuilder("user")
	b.Element("givenName", "Ada")
	b.Open("phones")
	b.Attribute("kind", "work")
	b.Element("number", "+44 20 1843")
	b.Close()
	b.Element("sn", "Lovelace")
	document := b.Document()
	defer document.Free()
	query := must(xquery.Compile(`givenName || " " || sn || ", " || phones[@kind = "work"]/number`, xquery.Options{}))
	fmt.Println(must(query.Evaluate(context.Background(), xquery.Input{Context: document.Element()})).Item(0))
	// Output: Ada Lovelace, +44 20 1843
}

func ExampleParseDocument() {
	_, err := xquery.ParseDocument([]byte("<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>"), xquery.ParseLimits{})
	fmt.Println(err)
	// Output: 1:1: FODC0006: a document type declaration is not allowed (near "<")
}

func ExampleError() {
	query := must(xquery.Compile("let $n := 0\nreturn 1 div $n", xquery.Options{}))
	_, err := query.Evaluate(context.Background(), xquery.Input{})
	var e *xquery.Error
	fmt.Println(errors.As(err, &e), e.Code, e.Line, e.Column)
	// Output: true FOAR0001 2 10
}

// A query imports library modules from where the program finds them.
func ExampleOptions_modules() {
	query := must(xquery.Compile(`
		import module namespace m = "urn:example:math";
		m:square(12)`, xquery.Options{
		Modules: func(namespace string, _ []string) ([]xquery.Module, error) {
			if namespace != "urn:example:math" {
				return nil, errors.New("no such module")
			}
			return []xquery.Module{{File: "math.xqm", Source: `
				module namespace m = "urn:example:math";
				declare function m:square($x as xs:integer) as xs:integer { $x * $x };`}}, nil
		},
	}))
	result := must(query.Evaluate(context.Background(), xquery.Input{}))
	fmt.Println(result.Item(0))
	// Output: 144
}

// Documents come from where the program finds them.
func ExampleInput_documents() {
	query := must(xquery.Compile(`count(doc("http://example.org/library.xml")//*:book)`, xquery.Options{}))
	result := must(query.Evaluate(context.Background(), xquery.Input{
		Documents: func(_ context.Context, _ string) (*xquery.Document, error) {
			return xquery.ParseDocument([]byte(library), xquery.ParseLimits{})
		},
	}))
	fmt.Println(result.Item(0))
	// Output: 2
}

func ExampleSerialize() {
	query := must(xquery.Compile(`
		declare option output:method "json";
		map { "title": "Notes", "year": 1843 }`, xquery.Options{
		Namespaces: map[string]string{"output": "http://www.w3.org/2010/xslt-xquery-serialization"},
	}))
	result := must(query.Evaluate(context.Background(), xquery.Input{}))
	if err := xquery.Serialize(os.Stdout, result, query.Output()); err != nil {
		panic(err)
	}
	// Output: {"title":"Notes","year":1843}
}

func ExampleQuery_Uses() {
	query := must(xquery.Compile(`$old/sn != sn`, xquery.Options{Variables: []string{"old", "other"}}))
	fmt.Printf("%+v\n", query.Uses())
	// Output: {Variables:[old] Functions:[] XPath:true}
}

// Each item of a long result is there as soon as it is computed.
func ExampleQuery_Each() {
	query := must(xquery.Compile(`for $i in 1 to 3 return $i * $i`, xquery.Options{}))
	err := query.Each(context.Background(), xquery.Input{}, func(item xquery.Sequence) error {
		_, err := fmt.Println(item.Item(0))
		return err
	})
	fmt.Println(err)
	// Output:
	// 1
	// 4
	// 9
	// <nil>
}

func ExampleQuery_Stream() {
	document := must(xquery.ParseDocument([]byte(library), xquery.ParseLimits{}))
	query := must(xquery.Compile(`
		declare default element namespace "urn:example:library";
		for $book in //book return <year xmlns="">{ data($book/@year) }</year>`, xquery.Options{}))
	if err := query.Stream(context.Background(), xquery.Input{Context: document}, os.Stdout, query.Output()); err != nil {
		panic(err)
	}
	// Output:
	// <year>1843</year>
	// <year>1936</year>
}

// Texts from outside become values of the declared type.
func ExampleQuery_Supply() {
	query := must(xquery.Compile(`declare variable $day as xs:date external; $day + xs:dayTimeDuration("P1D")`, xquery.Options{}))
	day := must(query.Supply("day", "2026-01-31"))
	result := must(query.Evaluate(context.Background(), xquery.Input{Variables: map[string]xquery.Sequence{"day": day}}))
	fmt.Println(result.Strings())
	// Output: [2026-02-01] <nil>
}

// The items of a result are Go values; atomized, nodes become their values.
func ExampleSequence() {
	document := must(xquery.ParseDocument([]byte(`<person born="1815-12-10"><name>Ada</name></person>`), xquery.ParseLimits{}))
	query := must(xquery.Compile(`1, 2.5, 3e0, "four", true(), xs:date(/person/@born), /person/name`, xquery.Options{}))
	result := must(query.Evaluate(context.Background(), xquery.Input{Context: document}))
	for i := range result.Len() {
		fmt.Printf("%T\n", result.Item(i))
	}
	fmt.Println(must(result.Atoms())[6])
	fmt.Println(must(result.Strings()))
	// Output:
	// int64
	// *big.Rat
	// float64
	// string
	// bool
	// time.Time
	// *helium.Element
	// Ada
	// [1 2.5 3 four true 1815-12-10 Ada]
}

// A function of the program: a query calls it by its name, and catches its errors.
func ExampleFunction() {
	lookup := xquery.Function{
		Name: "badge", Arity: 1, Doc: "the badge of a person",
		Call: func(_ context.Context, args []xquery.Sequence) (xquery.Sequence, error) {
			names, err := args[0].Strings()
			if err != nil {
				return nil, err
			}
			if len(names) != 1 || names[0] != "Ada" {
				return nil, errors.New("nobody of that name")
			}
			return xquery.Of("B-1800"), nil
		},
	}
	query := must(xquery.Compile(`for $n in ("Ada", "Bob") return try { badge($n) } catch * { $err:description }`,
		xquery.Options{Functions: []xquery.Function{lookup}}))
	fmt.Println(must(query.Evaluate(context.Background(), xquery.Input{})).Strings())
	// Output: [B-1800 badge: nobody of that name] <nil>
}

// Texts and collections come from where the program finds them, too.
func ExampleInput_texts() {
	query := must(xquery.Compile(`unparsed-text("http://example.org/note") || collection("people")//name`, xquery.Options{}))
	people := must(xquery.ParseDocument([]byte(`<people><name>Ada</name></people>`), xquery.ParseLimits{}))
	result := must(query.Evaluate(context.Background(), xquery.Input{
		Texts: func(_ context.Context, uri string) ([]byte, error) { return []byte("from " + uri + ": hello "), nil },
		Collections: func(_ context.Context, uri string) (xquery.Sequence, error) {
			if uri != "people" {
				return nil, errors.New("no such collection")
			}
			return xquery.Of(people), nil
		},
	}))
	fmt.Println(result.Item(0))
	// Output: from http://example.org/note: hello Ada
}

// A query says how its result wants to be written.
func ExampleQuery_Output() {
	query := must(xquery.Compile(`
		declare namespace output = "http://www.w3.org/2010/xslt-xquery-serialization";
		declare option output:method "xml";
		declare option output:indent "yes";
		<a/>`, xquery.Options{}))
	fmt.Println(query.Output())
	// Output: map[indent:yes method:xml]
}

// The result of one evaluation can be the variable of another one.
func ExampleInput_variables() {
	ages := must(xquery.Compile(`map { "Ada": 36, "Alan": 41 }`, xquery.Options{}))
	query := must(xquery.Compile(`declare variable $ages as map(xs:string, xs:integer) external; $ages?Alan - $ages?Ada`, xquery.Options{}))
	given := must(ages.Evaluate(context.Background(), xquery.Input{}))
	result := must(query.Evaluate(context.Background(), xquery.Input{Variables: map[string]xquery.Sequence{"ages": given}}))
	fmt.Println(result.Item(0))
	// Output: 5
}

// Numbers are written as it is usual where the program is used.
func ExampleOptions_decimalFormats() {
	query := must(xquery.Compile(`format-number(1234.5, "#.##0,00")`, xquery.Options{
		DecimalFormats: map[string]map[string]string{"": {"decimal-separator": ",", "grouping-separator": "."}},
	}))
	fmt.Println(must(query.Evaluate(context.Background(), xquery.Input{})).Item(0))
	// Output: 1.234,50
}

// Parameters of the serialization that many queries share stand in a document.
func ExampleOptions_parameters() {
	query := must(xquery.Compile(`
		declare namespace output = "http://www.w3.org/2010/xslt-xquery-serialization";
		declare option output:parameter-document "http://example.org/output.xml";
		<price currency="EUR">5 €</price>`, xquery.Options{
		Parameters: func(string) ([]byte, error) {
			return []byte(`<output:serialization-parameters xmlns:output="http://www.w3.org/2010/xslt-xquery-serialization">
				<output:use-character-maps><output:character-map character="€" map-string="EUR"/></output:use-character-maps>
			</output:serialization-parameters>`), nil
		},
	}))
	result := must(query.Evaluate(context.Background(), xquery.Input{}))
	if err := xquery.Serialize(os.Stdout, result, query.Output()); err != nil {
		fmt.Println(err)
	}
	// Output: <price currency="EUR">5 EUR</price>
}
