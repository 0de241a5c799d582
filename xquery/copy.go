package xquery

import "github.com/lestrrat-go/helium"

// copier copies trees.
type copier struct {
	*budget
	preserve, inherit bool
	types             map[helium.Node]string // of the nodes, if the copies keep them
}

// element copies an element with everything in it. The root of a copy gets all namespaces that are in its scope.
func (c *copier) element(e *helium.Element, root bool) (*helium.Element, error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	if err := c.construct(nodeCost); err != nil {
		return nil, err
	}
	copied, err := c.newElement(name{local: e.LocalName()})
	if err != nil {
		return nil, err
	}
	if ns := e.Namespace(); ns != nil && ns.URI() != "" {
		if err := setName(copied, ns.Prefix(), ns.URI()); err != nil {
			return nil, err
		}
	}
	if err := c.attributes(copied, e); err != nil {
		return nil, err
	}
	if c.preserve {
		c.namespaces(copied, e, root)
	}
	for child := range helium.Children(e) {
		var made helium.Node
		if inner, ok := child.(*helium.Element); ok {
			n, err := c.element(inner, false)
			if err != nil {
				return nil, err
			}
			c.trim(n, copied)
			made = n
		} else if made = c.copyLeaf(child); made == nil {
			continue
		} else if err := c.construct(nodeCost + len(child.Content())); err != nil {
			return nil, err
		}
		appendTo(copied, made)
	}
	c.own(copied)
	if kind, typed := c.types[e]; typed {
		c.types[copied] = kind
	}
	return copied, nil
}

// trim drops the declarations of a copied child that its parent has.
func (c *copier) trim(child, parent *helium.Element) {
	dropDeclared(child, parent)
	if ns := child.Namespace(); (ns == nil || ns.URI() == "") && defaultNamespace(parent) != "" {
		_ = declare(child, "", "")
	}
}

func (c *copier) attributes(copied, e *helium.Element) error {
	var failed error
	e.ForEachAttribute(func(a *helium.Attribute) bool {
		var ns *helium.Namespace
		if uri := a.URI(); uri != "" {
			ns = helium.NewNamespace(a.Prefix(), uri)
			if uri != namespaceXML {
				failed = declare(copied, a.Prefix(), uri)
			}
		}
		value := a.Value()
		if failed == nil {
			failed = c.construct(nodeCost + len(value))
		}
		if failed == nil {
			failed = setAttributeNS(copied, a.LocalName(), value, ns)
		}
		return failed == nil
	})
	return failed
}

// namespaces declares what the original declares, for a root also what is declared around it.
func (c *copier) namespaces(copied, e *helium.Element, root bool) {
	seen := make(map[string]bool)
	for cur := e; cur != nil; {
		for _, ns := range cur.Namespaces() {
			if seen[ns.Prefix()] {
				continue
			}
			seen[ns.Prefix()] = true
			if ns.URI() != "" || !root {
				// A prefix that is in use keeps its namespace.
				_ = declare(copied, ns.Prefix(), ns.URI())
			}
		}
		if !root {
			return
		}
		cur, _ = cur.Parent().(*helium.Element)
	}
}
