package remote

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/go-amqp"
	"github.com/sethvargo/go-retry"

	"clacks"
	"clacks/bus"
)

// link is a sender or a receiver over all its connections: L is *amqp.Sender or *amqp.Receiver.
type link[L any] struct {
	client *Client
	what   string // "sender", for messages
	open   func(ctx context.Context, conn *connection, session *amqp.Session) (L, error)
	shut   func(ctx context.Context, l L) error
	life   context.Context // ends with close
	end    context.CancelFunc
	once   sync.Once
	now    atomic.Pointer[living[L]]

	busy    chan struct{} // of one place: who has put something in may attach, and owns what follows
	backoff retry.Backoff // of attaches that failed; nil after one that did not
	after   time.Time     // no attach before
}

// living is a link on one connection, with the session that is its own.
type living[L any] struct {
	link    L
	conn    *connection
	session *amqp.Session
	since   time.Time
	dead    atomic.Bool
}

func (a *living[L]) alive() bool { return !a.dead.Load() && a.conn.alive() }

// shortLife is how long a link has to live for the next attach to follow at once.
const shortLife = time.Second

func newLink[L any](c *Client, what string) *link[L] {
	l := &link[L]{client: c, what: what, busy: make(chan struct{}, 1)}
	l.life, l.end = context.WithCancel(context.Background())
	return l
}

// get gives the living link; when there is none it waits for the connection and attaches. A refusal is a *bus.Condition.
func (l *link[L]) get(ctx context.Context) (*living[L], error) {
	if a := l.now.Load(); a != nil && a.alive() && l.life.Err() == nil {
		return a, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.life, cancel)()
	a, err := l.attach(ctx)
	if l.life.Err() != nil {
		return nil, closedError(l.what)
	}
	return a, err
}

func (l *link[L]) attach(ctx context.Context) (*living[L], error) {
	select {
	case l.busy <- struct{}{}:
	case <-ctx.Done():
		return nil, waited(ctx, l.client.State())
	}
	defer func() { <-l.busy }()
	if a := l.now.Load(); a != nil {
		if a.alive() {
			return a, nil
		}
		l.bury(a)
	}
	for {
		if err := l.pause(ctx); err != nil {
			return nil, err
		}
		conn, err := l.client.current(ctx)
		if err != nil {
			return nil, err
		}
		a, err := l.attempt(ctx, conn)
		if err == nil {
			l.backoff = nil
			l.now.Store(a)
			return a, nil
		}
		l.postpone()
		switch refused := conditionOf(err); {
		case refused != nil:
			return nil, refused
		case ctx.Err() != nil:
			return nil, waited(ctx, l.client.State())
		case conn.alive():
			return nil, clacks.E(clacks.Unavailable, "remote.attach", "the %s could not be attached: %w", l.what, err)
		}
	}
}

// bury ends what is left of a link that died, and postpones the next when it died young. The caller is the one who may
// attach.
func (l *link[L]) bury(a *living[L]) {
	l.now.Store(nil)
	if time.Since(a.since) < shortLife {
		l.postpone()
	}
	if a.conn.alive() {
		l.discard(a.session)
	}
}

// discard ends a session in the background.
func (l *link[L]) discard(session *amqp.Session) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), l.client.options.CloseTimeout)
		defer cancel()
		_ = session.Close(ctx) // it goes with the connection at the latest
	}()
}

// postpone makes the next attach wait, longer each time.
func (l *link[L]) postpone() {
	if l.backoff == nil {
		l.backoff = l.client.backoff()
	}
	pause, _ := l.backoff.Next()
	l.after = time.Now().Add(pause)
}

// pause waits until an attach may be tried.
func (l *link[L]) pause(ctx context.Context) error {
	wait := time.Until(l.after)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return waited(ctx, l.client.State())
	}
}

// attempt begins a session and attaches.
func (l *link[L]) attempt(ctx context.Context, conn *connection) (*living[L], error) {
	ctx, cancel := context.WithTimeout(ctx, l.client.options.ConnectTimeout)
	defer cancel()
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		return nil, err
	}
	opened, err := l.open(ctx, conn, session)
	if err != nil {
		if conn.alive() {
			l.discard(session)
		}
		return nil, err
	}
	return &living[L]{link: opened, conn: conn, session: session, since: time.Now()}, nil
}

// lose says that a link is dead: the next get attaches anew.
func (l *link[L]) lose(a *living[L]) { a.dead.Store(true) }

// close ends the link for good.
func (l *link[L]) close(ctx context.Context) error {
	var err error
	l.once.Do(func() {
		ctx, cancel := l.client.closing(ctx)
		defer cancel()
		l.end()
		select {
		case l.busy <- struct{}{}: // never given back
		case <-ctx.Done():
		}
		a := l.now.Swap(nil)
		if a == nil || !a.alive() {
			return
		}
		if a.conn.dialect == RabbitMQ3 {
			err = l.leave(ctx, a.session)
			return
		}
		err = errors.Join(l.shut(ctx, a.link), a.session.Close(ctx))
	})
	if err != nil {
		return clacks.E(clacks.Unavailable, "remote.close", "the %s did not end in order: %w", l.what, err)
	}
	return nil
}

// leave ends the session of a link at RabbitMQ 3, which does not answer the detach, and not always the end of the session either: it
// gives the answer to a process, and ends that process at once. The session is over there all the same, so that nobody waits long.
func (l *link[L]) leave(ctx context.Context, session *amqp.Session) error {
	waiting, cancel := context.WithTimeout(ctx, l.client.options.CloseTimeout/2)
	defer cancel()
	err := session.Close(waiting)
	if ctx.Err() == nil && waiting.Err() != nil {
		l.client.log.Debug("RabbitMQ has not answered the end of a session", "link", l.what)
		return nil
	}
	return err
}

// conditionOf is what the peer said when it ended a link or a session, or refused one; nil for what was lost with its
// connection.
func conditionOf(err error) *bus.Condition {
	var lost *amqp.ConnError
	var said *amqp.Error
	if errors.As(err, &lost) || !errors.As(err, &said) {
		var c *bus.Condition
		errors.As(err, &c)
		return c
	}
	return &bus.Condition{Name: string(said.Condition), Description: said.Description, Info: said.Info}
}
