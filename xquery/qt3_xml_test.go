package xquery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lestrrat-go/helium"
)

// diffQT3XML says where two texts differ as XML, or nothing. What Canonical XML keeps counts: also comments, prefixes and
// the namespaces in scope, unless prefixes are to be ignored.
func diffQT3XML(ctx context.Context, got, want string, ignorePrefixes bool) (string, error) {
	wanted, err := qt3Document(ctx, want)
	if err != nil {
		return "", fmt.Errorf("the expected XML: %w", err)
	}
	gotten, err := qt3Document(ctx, got)
	if err != nil {
		return "", fmt.Errorf("the serialized result: %w", err)
	}
	d := qt3Diff{ignorePrefixes: ignorePrefixes}
	return d.children(gotten, wanted, qt3Scope{}, qt3Scope{}), nil
}

// qt3Scope are the prefixes in scope.
type qt3Scope map[string]string

func (s qt3Scope) with(e *helium.Element) qt3Scope {
	declared := e.Namespaces()
	if len(declared) == 0 {
		return s
	}
	inner := maps.Clone(s)
	for _, ns := range declared {
		if ns.URI() == "" {
			delete(inner, ns.Prefix())
			continue
		}
		inner[ns.Prefix()] = ns.URI()
	}
	return inner
}

type qt3Diff struct{ ignorePrefixes bool }

func (d qt3Diff) children(got, want *helium.Element, gotScope, wantScope qt3Scope) string {
	a, b := slices.Collect(helium.Children(got)), slices.Collect(helium.Children(want))
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			return fmt.Sprintf("%s is missing in %s", qt3Describe(b[i]), want.Name())
		case i >= len(b):
			return fmt.Sprintf("%s is too much in %s", qt3Describe(a[i]), want.Name())
		}
		if difference := d.nodes(a[i], b[i], gotScope, wantScope); difference != "" {
			return difference
		}
	}
	return ""
}

func (d qt3Diff) nodes(got, want helium.Node, gotScope, wantScope qt3Scope) string {
	a, isElement := got.(*helium.Element)
	b, wantElement := want.(*helium.Element)
	if isElement != wantElement {
		return fmt.Sprintf("%s instead of %s", qt3Describe(got), qt3Describe(want))
	}
	if isElement {
		return d.elements(a, b, gotScope.with(a), wantScope.with(b))
	}
	same := got.Type() == want.Type() && string(got.Content()) == string(want.Content())
	if _, isPI := got.(*helium.ProcessingInstruction); isPI {
		same = same && got.Name() == want.Name()
	}
	if !same {
		return fmt.Sprintf("%s instead of %s", qt3Describe(got), qt3Describe(want))
	}
	return ""
}

func (d qt3Diff) elements(got, want *helium.Element, gotScope, wantScope qt3Scope) string {
	if got.LocalName() != want.LocalName() || got.URI() != want.URI() ||
		!d.ignorePrefixes && got.Prefix() != want.Prefix() {
		return fmt.Sprintf("%s instead of %s", qt3Describe(got), qt3Describe(want))
	}
	if !d.ignorePrefixes && !maps.Equal(gotScope, wantScope) {
		return fmt.Sprintf("the namespaces %v instead of %v in %s", gotScope, wantScope, want.Name())
	}
	a, b := d.attributes(got), d.attributes(want)
	if !maps.Equal(a, b) {
		return fmt.Sprintf("the attributes %v instead of %v in %s", a, b, want.Name())
	}
	return d.children(got, want, gotScope, wantScope)
}

func (d qt3Diff) attributes(e *helium.Element) map[string]string {
	all := make(map[string]string)
	for _, a := range e.Attributes() {
		key := "Q{" + a.URI() + "}" + a.LocalName()
		if !d.ignorePrefixes {
			key = a.Prefix() + ":" + key
		}
		all[key] = a.Value()
	}
	return all
}

func qt3Describe(n helium.Node) string {
	switch n.Type() {
	case helium.ElementNode:
		return "<" + n.Name() + ">"
	case helium.TextNode, helium.CDATASectionNode:
		return fmt.Sprintf("the text %.60q", n.Content())
	}
	return fmt.Sprintf("%s %s %.60q", strings.ToLower(n.Type().String()), n.Name(), n.Content())
}
