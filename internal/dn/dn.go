// Package dn handles distinguished names (RFC 4514). Names are strings everywhere; Key is the form in which two of them
// are compared.
package dn
