package objects

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// benchWorld has some users on slapd and PostgreSQL.
func benchWorld(b *testing.B, users int) (*world, []*Result) {
	b.Helper()
	w := serverWorld(b, true)
	people := w.house()
	var made []*Result
	for i := range users {
		attributes := person(fmt.Sprintf("user%05d", i), "badgeNumber", fmt.Sprintf("B-%04d", i), "mail", fmt.Sprintf("user%d@example.net", i))
		attributes["telephoneNumber"] = []any{fmt.Sprintf("+49 2932 %05d", i)}
		attributes["title"], attributes["l"], attributes["roomNumber"] = "Engineer", "Arnsberg", "17"
		made = append(made, w.create("User", people, attributes))
	}
	b.ReportAllocs()
	b.ResetTimer()
	return w, made
}

// BenchmarkGet opens objects of a directory entry and a row, from 16 clients.
func BenchmarkGet(b *testing.B) {
	w, made := benchWorld(b, 300)
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.Get(context.Background(), admin, made[int(n.Add(1))%len(made)].DN, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkList searches for all users with all attributes, a page of 1,000 at a time.
func BenchmarkList(b *testing.B) {
	w, made := benchWorld(b, 1000)
	for range b.N {
		page, err := w.Search(context.Background(), admin, SearchRequest{Type: "User", Limit: 1000})
		if err != nil || len(page.Objects) != len(made) {
			b.Fatalf("%d objects, %v", len(page.Objects), err)
		}
	}
	b.ReportMetric(float64(b.N*len(made))/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkUpdate commits a value in the directory and one in the table, from 16 clients.
func BenchmarkUpdate(b *testing.B) {
	w, made := benchWorld(b, 300)
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			i := n.Add(1)
			_, err := w.Update(context.Background(), admin, UpdateRequest{ID: made[int(i)%len(made)].UUID,
				Changes: map[string]any{"title": fmt.Sprintf("Engineer %d", i), "costCenter": i}})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}
