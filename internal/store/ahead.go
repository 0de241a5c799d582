package store

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ahead are statements that the server works on while nobody waits for them. No Sync was sent behind them, so that the
// server keeps its answers until it is asked for them, or until what comes next ends with one.
type ahead struct {
	wire       *wire
	statements []Statement
	cancel     context.CancelFunc // gives the connection up
}

// settle reads the answers to what was sent ahead.
func (t *postgresTx) settle(ctx context.Context) error {
	a := t.ahead
	if a == nil {
		return nil
	}
	t.ahead = nil
	stop := context.AfterFunc(ctx, a.cancel)
	defer a.cancel()
	defer stop()
	if err := a.wire.sync(); err != nil {
		return err
	}
	_, err := a.wire.results(a.statements, false)
	return a.wire.close(err, len(a.statements))
}

// commitAhead sends the end of the transaction behind what was sent ahead, and reads the answers to both. It reports false,
// and has done nothing, when the connection does not know some of the statements yet.
func (t *postgresTx) commitAhead(ctx context.Context, b batch) (results []Result, done bool, err error) {
	a := t.ahead
	list := t.db.batchItems(b)
	known := notesOf(t.conn)
	for i := range list {
		if known.prepared[list[i].text] == nil {
			return nil, false, nil
		}
	}
	if err := ready(ctx, t.conn, list); err != nil {
		return nil, true, err
	}
	t.ahead = nil
	stop := context.AfterFunc(ctx, a.cancel)
	defer a.cancel()
	defer stop()
	w := a.wire
	w.lost = commitSent
	w.queue(list)
	if err := w.sync(); err != nil {
		return nil, true, err
	}
	if _, err = w.results(a.statements, false); err == nil {
		results, err = w.readAll(b, b.before())
	}
	if err = w.close(err, len(b.statements)); err != nil {
		return nil, true, err
	}
	return results, true, nil
}

// execAndBegin sends everything at once: a transaction with its COMMIT, the beginning of the next, and what belongs to
// that. A refusal makes the server leave out all that is behind it. After the second part the server is told to answer so
// far, and is left alone with the third.
func (p *postgres) execAndBegin(ctx context.Context, first, second, later []Statement) (tx transaction, refused, err error) {
	if !p.atOnce(first) || p.define(second) || p.define(later) {
		return beginAfter(ctx, p, first, second, later)
	}
	conn, err := p.acquire(ctx)
	if err != nil {
		return nil, nil, err
	}
	t := &postgresTx{db: p, conn: conn}
	if refused, err = t.open(ctx, first, second, later); refused != nil || err != nil {
		t.rollback()
		return nil, refused, err
	}
	return t, nil, nil
}

// open sends all and reads the answers to the first two parts. The caller rolls back after an error.
func (t *postgresTx) open(ctx context.Context, first, second, later []Statement) (refused, err error) {
	// What was sent ahead outlives the caller's context, which governs as long as he waits here.
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	defer stop()
	number := t.db.flushes.begin()
	w, err := sendAhead(detached, t.conn, t.parts(first, second, later))
	if err != nil {
		cancel()
		return nil, err
	}
	refused, err = w.opened(first, second, func() { t.db.flushes.done(number) })
	if refused == nil && err == nil && len(later) > 0 {
		t.ahead = &ahead{wire: w, statements: later, cancel: cancel}
		return nil, nil
	}
	defer cancel()
	if len(later) > 0 && !t.conn.Conn().PgConn().IsClosed() { // Close waits for the answer to a Sync
		w.pipeline.SendPipelineSync()
		_ = w.pipeline.Flush() // Close tells of its error
	}
	closeErr := w.pipeline.Close()
	if refused == nil && err == nil && closeErr != nil {
		refused = classifyPostgres(closeErr, len(second), 0, beforeCommit)
	}
	w.note(refused)
	w.note(err)
	return refused, err
}

// parts are the items up to the second part, and those of the third.
func (t *postgresTx) parts(first, second, later []Statement) [2][]item {
	list := make([]item, 0, len(first)+len(second)+3)
	list = append(list, plainItem("BEGIN"))
	list = t.db.items(list, first, true)
	list = append(list, plainItem("COMMIT AND CHAIN")) // which begins the next
	list = t.db.items(list, second, false)
	return [2][]item{list, t.db.items(nil, later, false)}
}

func sendAhead(ctx context.Context, conn *pgxpool.Conn, parts [2][]item) (*wire, error) {
	for _, list := range parts {
		if err := ready(ctx, conn, list); err != nil {
			return nil, err
		}
	}
	w := &wire{conn: conn, pipeline: conn.Conn().PgConn().StartPipeline(ctx), lost: commitSent}
	w.queue(parts[0])
	if len(parts[1]) == 0 {
		return w, w.sync()
	}
	w.pipeline.SendFlushRequest()
	w.queue(parts[1])
	return w, w.flush()
}

// opened reads the answers to the first transaction and to the beginning of the second. It calls flushed when the first has
// written and is on disk.
func (w *wire) opened(first, second []Statement, flushed func()) (refused, err error) {
	if _, err := w.command(); err != nil {
		return nil, classifyPostgres(err, 0, 0, answered(err, w.lost))
	}
	if _, err := w.results(first, true); err != nil {
		return nil, err
	}
	if err := w.committed(len(first)); err != nil {
		return nil, err
	}
	if w.wrote {
		flushed()
	}
	w.lost = beforeCommit
	_, err = w.results(second, false)
	return err, nil
}

// beginAfter is execAndBegin step by step.
func beginAfter(ctx context.Context, e engine, first, second, later []Statement) (tx transaction, refused, err error) {
	if _, err := e.exec(ctx, first); err != nil {
		return nil, nil, err
	}
	if tx, refused = e.begin(ctx); refused != nil {
		return nil, refused, nil
	}
	for _, statements := range [][]Statement{second, later} {
		if len(statements) == 0 {
			continue
		}
		if _, refused = tx.exec(ctx, statements); refused != nil {
			tx.rollback()
			return nil, refused, nil
		}
	}
	return tx, nil, nil
}
