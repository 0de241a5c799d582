package definitions

// Queries are all queries that stand in the sources' attributes, whatever else is wrong there: in attributes that are not
// available, in amendments of types that nobody defines, beside files that cannot be read. It is for those who look for
// more problems; what the queries mean is not known here.
func Queries(sources []Source) []*Query {
	var queries []*Query
	for _, source := range sources {
		f := &file{Source: source}
		f.read()
		for _, d := range f.declarations {
			for _, a := range d.attributes {
				queries = append(queries, a.queries()...)
			}
		}
		for _, m := range f.amendments {
			for _, a := range m.attributes {
				queries = append(queries, a.queries()...)
			}
		}
	}
	return queries
}

func (a *declared) queries() []*Query {
	var queries []*Query
	for i := range a.Mappings {
		m := &a.Mappings[i]
		if m.Inbound != nil {
			queries = append(queries, m.Inbound)
		}
		for k := range m.Outbounds {
			queries = append(queries, &m.Outbounds[k].Query)
		}
	}
	for _, q := range []*Query{a.DefaultQuery, a.ValuesQuery} {
		if q != nil {
			queries = append(queries, q)
		}
	}
	for i := range a.Asserts {
		queries = append(queries, &a.Asserts[i].Test)
	}
	return queries
}
