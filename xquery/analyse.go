package xquery

// Paths are the reads of a query, found by static analysis. They never claim less than what is read.
type Paths struct {
	// Context are the paths read from the context item, Variables those from each external variable.
	Context   []Path
	Variables map[string][]Path
}

// Path is a sequence of child element steps (local names), from the item on.
type Path struct {
	Steps []Step
	All   bool
}

// Step is one child or attribute step and where it stands in the source file.
type Step struct {
	Name         string
	Attribute    bool
	Line, Column int
}

func analyse(q *Query) Paths { return Paths{Context: []Path{{All: true}}} }
