package listener

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The manual states the limits as they are.
func TestManualStatesTheLimits(t *testing.T) {
	manual, err := os.ReadFile("../../docs/amqp.md")
	if err != nil {
		t.Fatal(err)
	}
	l := Limits{}.withDefaults()
	for what, value := range map[string]any{
		"connections": l.Connections, "connections of one address": l.PerAddress, "connections that are not open yet": l.HalfOpen,
		"of these, of one address": l.HalfOpenEach, "time until a connection is open": l.Handshake,
		"logins that are checked at once": l.Logins, "sessions of a connection": l.Sessions, "links of a session": l.Links,
		"attaches of a connection a second": l.LinksPerSecond, "deliveries of a session that are sent and not settled": l.Unsettled,
		"credit of a sending link": int(l.Credit), "a frame": kib(l.FrameSize), "a message": mib(l.MessageSize),
		"memory for what a connection has sent and no node has taken": mib(l.Memory), "what waits to be written": kib(l.Output),
		"silence of a peer": l.Idle, "time for a peer to take 64 KiB": l.Write, "the shortest `idle-time-out` of a peer": l.MinIdle,
	} {
		if row := rowOf(string(manual), what); !strings.Contains(row, "| "+written(value)+" |") {
			t.Errorf("%s is %s, but the manual says %q", what, written(value), row)
		}
	}
}

// rowOf is the row of a table that begins so.
func rowOf(manual, what string) string {
	_, limits, _ := strings.Cut(manual, "## Limits")
	for line := range strings.Lines(limits) {
		if rest, ok := strings.CutPrefix(line, "| "+what); ok && strings.IndexAny(rest, " ,;") == 0 {
			if what == "connections" && !strings.HasPrefix(rest, " | ") {
				continue
			}
			return line
		}
	}
	return ""
}

type size string

func kib[N int | uint32](n N) size { return size(fmt.Sprintf("%d KiB", n>>10)) }
func mib[N int | uint64](n N) size { return size(fmt.Sprintf("%d MiB", n>>20)) }

func written(v any) string {
	switch v := v.(type) {
	case int:
		if v >= 1000 {
			return fmt.Sprintf("%d,%03d", v/1000, v%1000)
		}
	case time.Duration:
		return v.String()
	}
	return fmt.Sprint(v)
}
