package busevents_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"clacks/bus"
)

// BenchmarkFanOut measures from the commit of 20 events until the last of 100 receivers in this process has them.
func BenchmarkFanOut(b *testing.B) {
	for name, query := range map[string]func(i int) string{
		"all": func(int) string { return "" },
		"distinct": func(i int) string {
			return fmt.Sprintf(`Event/ObjectChanged/Attributes/Attribute[@name = 'sn']/New != '%d'`, i)
		},
	} {
		b.Run(name, func(b *testing.B) {
			const receivers, burst = 100, 20
			a := newAgent(b, "sqlite::memory:")
			connection := a.connect(admin)
			ctx, cancel := context.WithCancel(b.Context())
			came := make(chan struct{}, receivers*burst)
			var group sync.WaitGroup
			for i := range receivers {
				var filters []bus.Filter
				if q := query(i); q != "" {
					filters = queryFilter(q)
				}
				r := receiver(b, connection, "org.clacks.events", bus.ReceiverOptions{Filters: filters, Settled: true})
				group.Go(func() {
					for {
						if _, err := r.Receive(ctx); err != nil {
							return
						}
						came <- struct{}{}
					}
				})
			}
			n := 0
			for b.Loop() {
				a.commit(burst)
				for range receivers * burst {
					<-came
				}
				n += receivers * burst
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "deliveries/s")
			cancel()
			group.Wait()
		})
	}
}
