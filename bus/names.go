package bus

// Names are the addresses of a domain ("org.clacks"). They are plain; a transport writes them as its broker wants them.
type Names string

// Command is the queue that all agents with a capability share. "core" is the capability that every agent has.
func (n Names) Command(capability string) string { return string(n) + ".command." + capability }

// Agent is the queue of one agent for commands of a capability.
func (n Names) Agent(capability, node string) string { return n.Command(capability) + "." + node }

// Events is where all events can be had.
func (n Names) Events() string { return string(n) + ".events" }

// Subscription is where the events of one subscription can be had.
func (n Names) Subscription(id string) string { return string(n) + ".subscription." + id }

// Reply is a queue for replies to one client, at brokers without dynamic nodes.
func (n Names) Reply(id string) string { return string(n) + ".reply." + id }

// Core is the capability that every agent has.
const Core = "core"
