package container_test

import (
	"strings"
	"testing"

	"clacks/bus"
	"clacks/bus/bustest"
	"clacks/bus/container"
)

// forbidden lets everybody use everything but addresses that begin so.
type forbidden string

func (f forbidden) Allowed(_ bus.Peer, _ container.Action, address string) bool {
	return !strings.HasPrefix(address, string(f))
}

func TestConformance(t *testing.T) {
	c := container.New(forbidden("forbidden."), container.Options{
		Rules: []container.Rule{{Address: "full", Settings: container.Settings{MaxMessages: 1}}},
	})
	t.Cleanup(c.Close)
	bustest.Run(t, bustest.Transport{
		Connect: func(testing.TB) bus.Bus { return c.Connect(peer("ann")) },
		Lose:    func(_ testing.TB, b bus.Bus) { b.(*container.Connection).Abort() },
		Refused: map[string]string{
			"forbidden.q": bus.Unauthorized, "": bus.InvalidField, container.DynamicPrefix + "none": bus.NotFound,
		},
		Full:         "full",
		Capabilities: bustest.Capabilities{Dynamic: true, Drain: true, DeliveryCount: true, Annotations: true},
	})
}
