// Package xquery is XQuery 3.1 (W3C Recommendation, 21 March 2017) on helium's XPath 3.1.
package xquery
