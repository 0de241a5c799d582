package mapping

import "clacks/xquery"

// Functions are Clacks' own XQuery functions.
func Functions(options Options) []xquery.Function { return nil }
