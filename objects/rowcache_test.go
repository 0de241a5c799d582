package objects

import "testing"

// TestRowCacheFollows lets commits of one object come to the cache in any order: the newest row stays, and what was
// dropped is not put back.
func TestRowCacheFollows(t *testing.T) {
	version := func(n int64) *row { return &row{uuid: "u", dnKey: "cn=a", version: n} }
	for _, test := range []struct {
		name string
		do   func(c *rowCache)
		want int64 // the version in the cache; 0 for none
	}{
		{"in order", func(c *rowCache) {
			c.follow([]*row{version(1)}, []*row{version(2)})
			c.follow([]*row{version(2)}, []*row{version(3)})
		}, 3},
		{"the later one first", func(c *rowCache) {
			c.follow([]*row{version(2)}, []*row{version(3)})
			c.follow([]*row{version(1)}, []*row{version(2)})
		}, 3},
		{"dropped by the later one", func(c *rowCache) {
			c.drop(version(2))
			c.follow([]*row{version(1)}, []*row{version(2)})
		}, 0},
		{"renamed", func(c *rowCache) {
			c.follow([]*row{version(1)}, []*row{{uuid: "u", dnKey: "cn=b", version: 2}})
		}, 0},
		{"not known after", func(c *rowCache) { c.follow([]*row{version(1)}, []*row{nil}) }, 0},
		{"a slow reader of the row before", func(c *rowCache) {
			mark := c.mark()
			c.follow([]*row{version(1)}, []*row{version(2)})
			c.put(version(1), mark)
		}, 2},
		{"a slow reader, and nothing cached", func(c *rowCache) {
			c.drop(version(1))
			mark := c.mark()
			c.follow([]*row{version(1)}, []*row{version(2)})
			c.put(version(1), mark)
		}, 0},
		{"off", func(c *rowCache) {
			c.turn(false)
			c.follow([]*row{version(1)}, []*row{version(2)})
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newRowCache()
			c.put(version(1), c.mark())
			test.do(c)
			got := int64(0)
			if r := c.get("u"); r != nil {
				got = r.version
			}
			if got != test.want || (c.get("cn=a") != nil) != (test.want > 0) || c.get("cn=b") != nil {
				t.Errorf("version %d, want %d", got, test.want)
			}
		})
	}
}
