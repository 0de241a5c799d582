package xsd

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"strings"
)

const (
	schemaNamespace = "http://www.w3.org/2001/XMLSchema"
	xmlNamespace    = "http://www.w3.org/XML/1998/namespace"
)

// xmlNode is an element of a schema file; elements of other namespaces are left out.
type xmlNode struct {
	name       string // the local one
	attributes []xml.Attr
	children   []*xmlNode
	text       string
	prefixes   map[string]string // in scope; shared with the parent where nothing is declared

	// Of the file, inherited from its root.
	target    string
	qualified bool
	global    bool // a child of the root
}

// readNode reads a schema file; nil for one whose root is none.
func readNode(data []byte) (*xmlNode, error) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil }
	root := &xmlNode{prefixes: map[string]string{"xml": xmlNamespace}}
	open := []*xmlNode{root}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			node := &xmlNode{name: t.Name.Local, attributes: t.Copy().Attr, prefixes: declared(top.prefixes, t.Attr)}
			if t.Name.Space == schemaNamespace {
				top.children = append(top.children, node)
			}
			open = append(open, node)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			top.text += string(t)
		}
	}
	if len(root.children) == 0 || root.children[0].name != "schema" {
		return nil, errors.New("its root is no element schema of XML Schema")
	}
	return root.children[0], nil
}

// declared are the prefixes in scope of an element.
func declared(outer map[string]string, attributes []xml.Attr) map[string]string {
	inner := outer
	for _, a := range attributes {
		prefix := a.Name.Local
		if a.Name == (xml.Name{Local: "xmlns"}) {
			prefix = ""
		} else if a.Name.Space != "xmlns" {
			continue
		}
		inner = maps.Clone(inner) // there are few, on few elements
		inner[prefix] = a.Value
	}
	return inner
}

// inherit tells a global component and all inside it of which file they are.
func (n *xmlNode) inherit(root *xmlNode) {
	n.global = true
	n.pass(root)
}

func (n *xmlNode) pass(root *xmlNode) {
	n.target, n.qualified = root.target, root.qualified
	for _, child := range n.children {
		child.pass(root)
	}
}

func (n *xmlNode) attribute(name string) string {
	for _, a := range n.attributes {
		if a.Name.Space == "" && a.Name.Local == name {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// fields are the parts of an attribute that is a list.
func (n *xmlNode) fields(name string) []string { return strings.Fields(n.attribute(name)) }

// qname resolves a qualified name. One without a prefix in a file without a default namespace is in the file's own: the
// file was included by one that gave it its namespace.
func (n *xmlNode) qname(text string) (namespace, local string) {
	prefix, local, found := strings.Cut(text, ":")
	if !found {
		prefix, local = "", text
	}
	if namespace = n.prefixes[prefix]; namespace == "" {
		namespace = n.target
	}
	return namespace, local
}

// documentation is the text of the annotation, its white space made single.
func (n *xmlNode) documentation() string {
	var texts []string
	for _, annotation := range n.children {
		if annotation.name != "annotation" {
			continue
		}
		for _, d := range annotation.children {
			if d.name == "documentation" {
				texts = append(texts, strings.Join(strings.Fields(d.text), " "))
			}
		}
	}
	return strings.Join(texts, " ")
}
