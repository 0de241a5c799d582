// Package busd is the AMQP door to the commands of package rpc, and what agents need to share a bus.
//
//	{domain}.command.core           one queue for all agents: each message goes to one of them
//	{domain}.command.core.{node}    the queue of this agent
//	  -> credit, expiry                                       door.go
//	  -> who is asking: user-id, or the signed pass of an     identity.go, pass.go
//	     agent that forwards
//	  -> body -> rpc.Registry                                 call.go
//	  -> the answer to reply-to, then the outcome             replies.go
//
// # What a message may come to
//
// The reply is sent before the message is accepted. An agent that dies in between leaves the message to another one, which
// runs it again: that is why a command that changes something takes the message-id as its idempotency key, and answers the
// first outcome. What could not be read is answered with an error as well, and rejected when it names no reply-to.
//
// # Sessions
//
// Open objects belong to a user at one agent, as with HTTP Basic; the application-property clacks-session, when a client
// sets it, tells sessions of one user apart. Every reply names its agent in the application-property clacks-node: a client
// sends what belongs to an open object to {domain}.command.core.{node}.
//
// # Agents, and programs with commands of their own
//
// Who lives on the domain stands in the table clacks_nodes of the state database that the agents share: there is no second
// broker-wide topic to keep in step with it, and it works with every broker. An agent writes its row at the start, with the
// commands that it has (NodeAnnounce, NodeCapabilities), its load every few seconds (NodeStatus), and removes it at the end
// (NodeLeave); programs of others do the same by the commands nodeAnnounce, nodeStatus and nodeLeave. Who misses three
// statuses is gone.
//
//	a command that the registry does not have
//	  -> Agents: the least loaded node that has it            agents.go, nodes.go
//	  -> {domain}.command.{capability}.{node}, with a pass    forward.go, pass.go
//	  -> its answer
//
// A pass says for whom an agent asks; it is signed with a key that the agents of a domain share, good for one message to one
// node, for a short time and for a few hops. Programs that are no agents find the user in the application-property
// clacks-user: only agents may write into their queues.
package busd
