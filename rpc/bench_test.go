package rpc

import (
	"testing"
)

// A call of a command that does nothing: what the registry and the dialects cost.
func BenchmarkCall(b *testing.B) {
	r, _ := testRegistry(b)
	for name, body := range map[string]string{
		"jsonrpc": `{"jsonrpc":"2.0","method":"rest","params":{"ref":"6ba7b810-9dad-11d1-80b4-00c04fd430c8"},"id":1}`,
		"legacy":  `{"method":"rest","params":["6ba7b810-9dad-11d1-80b4-00c04fd430c8"],"id":1}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if reply := serve(b, r, admin, body); reply.Status != 200 {
					b.Fatal(string(reply.Body))
				}
			}
		})
	}
}
