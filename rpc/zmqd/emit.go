package zmqd

import (
	"context"
	"time"

	"clacks"
	"clacks/events"
)

// serveEmitter takes what one connection pushes, one message after the other.
func (g *Gateway) serveEmitter(ctx context.Context, l *link) {
	for {
		frames, err := l.receive()
		if err != nil {
			g.ended(l, err)
			return
		}
		g.pushed.Add(1)
		if len(frames) != 1 {
			g.wrong.Add(1)
			g.tell(l, "a message of %d frames was dropped, it has to be one: name, NUL, payload", len(frames))
			continue
		}
		g.take(ctx, l, frames[0])
	}
}

// take brings a message into the log, or passes it on.
func (g *Gateway) take(ctx context.Context, l *link, m []byte) {
	name, payload, reason := parse(m)
	if reason != "" {
		g.wrong.Add(1)
		g.tell(l, "a message was dropped: %s", reason)
		return
	}
	if g.belongsIntoLog(name, payload) {
		_, err := g.options.Events.Send(ctx, g.options.User, payload)
		switch {
		case err == nil:
			g.logged.Add(1)
			return // subscribers get it from the log
		case clacks.IsKind(err, clacks.InDoubt):
			g.tell(l, "whether an event of the type %s entered the log is not known; if so, it comes from there: %v", name, err)
			return
		}
		g.tell(l, "an event of the type %s did not enter the log and is only passed on: %v", name, err)
	}
	g.publisher.publish(m)
}

// belongsIntoLog reports whether a message claims to be an event of the type that it is named by, and somebody answers
// for it.
func (g *Gateway) belongsIntoLog(name string, payload []byte) bool {
	if g.options.Events == nil || g.options.User.Anonymous() || !g.options.Events.Schemas().Known(name) {
		return false
	}
	eventType, err := events.TypeOf(payload)
	return err == nil && eventType == name
}

// pace bounds how many messages a second are taken: it lets a second's worth through at once, then one by one.
type pace struct {
	rate int
	due  time.Time // when the message before this one would have come at the rate
}

// wait waits for the turn of a message that came now.
func (p *pace) wait(ctx context.Context, now time.Time) error {
	if earliest := now.Add(-time.Second); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(time.Second / time.Duration(p.rate))
	early := p.due.Sub(now)
	if early <= 0 {
		return nil
	}
	timer := time.NewTimer(early)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
