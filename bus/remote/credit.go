package remote

import (
	"github.com/Azure/go-amqp"

	"clacks"
)

// given is the credit of a receiver at RabbitMQ 3, which reckons wrongly when credit comes while messages are on their way:
// it sends more than it may, and go-amqp, which counts below zero then, never gives credit again. So we give credit only when
// the link has none, which leaves nothing to reckon.
type given struct {
	link      *amqp.Receiver // nil elsewhere
	open      uint32         // credit that the broker has, or has used for what is on its way
	unsettled uint32         // deliveries that came and are not settled, of a receiver that is not manual
}

// give gives credit, if it is time. The lock is held.
func (r *receiver) give() error {
	g := &r.given
	if g.open > 0 {
		return nil
	}
	credit := r.options.Credit - min(g.unsettled, r.options.Credit)
	if r.options.Manual {
		credit = r.credit
	}
	if credit == 0 {
		return nil
	}
	g.open = credit
	if err := g.link.IssueCredit(credit); err != nil {
		return clacks.E(clacks.Conflict, "remote.credit", "no credit now: %w", err)
	}
	return nil
}

// came counts a delivery that came on a link.
func (r *receiver) came(a *living[*amqp.Receiver]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.options.Manual && r.credit > 0 {
		r.credit--
	}
	if r.given.link != a.link {
		return
	}
	if r.given.open > 0 {
		r.given.open--
	}
	if !r.options.Settled {
		r.given.unsettled++
	}
	_ = r.give() // it fails during a drain, and there is none
}

// went counts a delivery that was settled.
func (r *receiver) went(a *living[*amqp.Receiver]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.given.link != a.link || r.given.unsettled == 0 {
		return
	}
	r.given.unsettled--
	_ = r.give()
}
