package client_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"clacks/rpc/client"
)

// BenchmarkCall is a command over AMQP, through the listener, with clients that each wait for their answer.
func BenchmarkCall(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) { benchCall(b, clients) })
	}
}

func benchCall(b *testing.B, clients int) {
	s := startExample()
	defer s.stop()
	all := make([]*client.Client, clients)
	for i := range all {
		all[i] = &client.Client{URL: s.url, User: "jane", Password: "secret"}
		if _, err := all[i].Call(b.Context(), "greet", []string{"Joe"}); err != nil {
			b.Fatal(err)
		}
		defer func() { _ = all[i].Close(b.Context()) }()
	}
	times := make([][]time.Duration, clients)
	b.ResetTimer()
	var calling sync.WaitGroup
	for i, c := range all {
		calling.Go(func() {
			for range (b.N + clients - 1) / clients {
				began := time.Now()
				if _, err := c.Call(b.Context(), "greet", []string{"Joe"}); err != nil {
					b.Error(err)
					return
				}
				times[i] = append(times[i], time.Since(began))
			}
		})
	}
	calling.Wait()
	b.StopTimer()
	sorted := slices.Sorted(slices.Values(slices.Concat(times...)))
	b.ReportMetric(float64(sorted[len(sorted)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(sorted[len(sorted)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(len(sorted))/b.Elapsed().Seconds(), "calls/s")
}
