package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"clacks"
)

// batch is what one round trip carries.
type batch struct {
	begin, commit bool // explicit BEGIN in front, COMMIT behind
	early         bool // the COMMIT does not wait for the disk; what is sent behind it does
	loose         bool // nothing is sent behind an early COMMIT: the caller sees to it
	implicit      bool // the end of the batch is the commit
	guard         bool // the server checks the row counts, because the commit is in the same batch
	statements    []Statement
}

// The statements around an early commit (PostgreSQL, "Asynchronous Commit"). The second is a transaction of its own, which
// writes to the log and so waits until all before it in the log is on disk, the early commit among it.
const (
	commitEarly = `SET LOCAL synchronous_commit TO off`
	awaitDisk   = `SELECT pg_logical_emit_message(true, 'clacks', '')`
)

// item is one statement as it is sent.
type item struct {
	text     string
	args     []any
	prepared *pgconn.StatementDescription
	encoded  encoded
	index    int // of the caller's statement, for errors
}

func plainItem(text string) item { return item{text: text} }

func (p *postgres) items(list []item, statements []Statement, guard bool) []item {
	for i := range statements {
		s := &statements[i]
		t := p.texts.get(s.SQL)
		one := item{text: t.plain, args: s.Args, index: i}
		if guard && s.Rows != 0 {
			one.text = t.guarded
			if s.Returning {
				one.text = t.guardedValue
			}
			args := make([]any, 0, len(s.Args)+1) // the caller's slice stays his
			one.args = append(append(args, s.Args...), s.Rows)
		}
		list = append(list, one)
	}
	return list
}

// run sends one batch and reads all answers.
func (p *postgres) run(ctx context.Context, conn *pgxpool.Conn, b batch) ([]Result, error) {
	w, err := send(ctx, conn, p.batchItems(b), moment(b.commit || b.implicit))
	if err != nil {
		return nil, err
	}
	results, err := w.readAll(b, b.before())
	if err = w.close(err, len(b.statements)); err != nil {
		return nil, err
	}
	return results, nil
}

// close ends a batch of so many statements, of which err is known, and returns what is known then. It reads the answer to the
// Sync, which on an implicit transaction is that of the commit.
func (w *wire) close(err error, statements int) error {
	closeErr := w.pipeline.Close()
	if err == nil && closeErr != nil {
		err = classifyPostgres(closeErr, statements, 0, w.lost)
	}
	if err != nil {
		w.note(err)
	}
	return err
}

// batchItems are a batch's statements with those around them.
func (p *postgres) batchItems(b batch) []item {
	list := make([]item, 0, len(b.statements)+4)
	if b.begin {
		list = append(list, plainItem("BEGIN"))
	}
	if b.early {
		list = append(list, plainItem(commitEarly))
	}
	list = p.items(list, b.statements, b.guard)
	if b.commit {
		list = append(list, plainItem("COMMIT"))
	}
	if b.early && !b.loose {
		list = append(list, plainItem(awaitDisk))
	}
	return list
}

// before is how many items come before the batch's own statements.
func (b *batch) before() int {
	n := 0
	for _, yes := range []bool{b.begin, b.early} {
		if yes {
			n++
		}
	}
	return n
}

// wire is a connection on which statements were sent.
type wire struct {
	conn     *pgxpool.Conn
	pipeline *pgconn.Pipeline
	lost     moment // what an answer that does not come may hide
	wrote    bool   // a row was written
}

// send prepares what is not prepared yet, encodes all arguments, and sends the items. Nothing is sent when an argument
// does not fit.
func send(ctx context.Context, conn *pgxpool.Conn, list []item, lost moment) (*wire, error) {
	if err := ready(ctx, conn, list); err != nil {
		return nil, err
	}
	w := &wire{conn: conn, pipeline: conn.Conn().PgConn().StartPipeline(ctx), lost: lost}
	w.queue(list)
	return w, w.sync()
}

// ready prepares and encodes items.
func ready(ctx context.Context, conn *pgxpool.Conn, list []item) error {
	if err := prepare(ctx, conn, list); err != nil {
		return err
	}
	types := conn.Conn().TypeMap()
	for i := range list {
		one := &list[i]
		var err error
		if one.encoded, err = encode(types, one.prepared, one.args); err != nil {
			// The text quotes the argument.
			return &ConstraintError{Index: one.index, Kind: ConstraintType, Err: &serverError{code: "encode",
				message: "an argument does not fit its parameter"}}
		}
	}
	return nil
}

func (w *wire) queue(list []item) {
	for i := range list {
		e := &list[i].encoded
		w.pipeline.SendQueryStatement(list[i].prepared, e.values, e.formats, e.results)
	}
}

// sync ends what was queued and sends it.
func (w *wire) sync() error {
	if err := w.pipeline.Sync(); err != nil {
		_ = w.pipeline.Close()
		return classifyPostgres(err, 0, 0, w.lost)
	}
	return nil
}

// flush sends what was queued, and does not end it.
func (w *wire) flush() error {
	if err := w.pipeline.Flush(); err != nil {
		_ = w.pipeline.Close()
		return classifyPostgres(err, 0, 0, w.lost)
	}
	return nil
}

// readAll reads the answers to a batch whose own statements come after the first few.
func (w *wire) readAll(b batch, before int) ([]Result, error) {
	for range before {
		if _, err := w.command(); err != nil {
			return nil, classifyPostgres(err, 0, 0, answered(err, w.lost))
		}
	}
	results, err := w.results(b.statements, b.guard)
	if err != nil || !b.commit {
		return results, err
	}
	if err := w.committed(len(b.statements)); err != nil {
		return nil, err
	}
	if b.early && !b.loose {
		if _, err := w.command(); err != nil {
			return nil, fail(clacks.InDoubt, "the database did not say that the commit is on disk", err)
		}
	}
	return results, nil
}

// results reads the answers to statements. When the server has not made the checks of row counts, they are made here.
func (w *wire) results(statements []Statement, guarded bool) ([]Result, error) {
	results := make([]Result, len(statements))
	var rowsErr error
	for i := range statements {
		s := &statements[i]
		result, err := w.result(s, guarded && s.Rows != 0)
		if err != nil {
			return nil, classifyPostgres(err, i, s.Rows, answered(err, w.lost))
		}
		results[i] = result
		if s.Rows != 0 && result.Rows != s.Rows && rowsErr == nil {
			rowsErr = &RowsError{Index: i, Got: result.Rows, Want: s.Rows}
		}
	}
	return results, rowsErr
}

// answered is the moment of an error that came instead of a statement's result: one from the server means that it never
// got to the commit; any other leaves it open.
func answered(err error, lost moment) moment {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return beforeCommit
	}
	return lost
}

// next is the reader of the next answer.
func (w *wire) next() (*pgconn.ResultReader, error) {
	results, err := w.pipeline.GetResults()
	if err != nil {
		return nil, err
	}
	reader, ok := results.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("an answer of the wrong kind came: %T", results)
	}
	return reader, nil
}

// command reads the answer to a statement without rows of interest.
func (w *wire) command() (pgconn.CommandTag, error) {
	reader, err := w.next()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	return reader.Close()
}

func (w *wire) result(s *Statement, guarded bool) (Result, error) {
	reader, err := w.next()
	if err != nil {
		return Result{}, err
	}
	var result Result
	for reader.NextRow() {
		if !s.Returning {
			continue
		}
		if result.Value, err = w.integer(reader); err != nil {
			return Result{}, err
		}
	}
	tag, err := reader.Close()
	result.Rows = tag.RowsAffected()
	w.wrote = w.wrote || result.Rows > 0 && !tag.Select()
	if guarded {
		result.Rows = s.Rows
	}
	return result, err
}

// integer is the first column of the row that was read.
func (w *wire) integer(reader *pgconn.ResultReader) (int64, error) {
	var value int64
	fields, values := reader.FieldDescriptions(), reader.Values()
	if len(fields) == 0 || len(values) == 0 {
		return 0, errors.New("a row without a column came")
	}
	err := w.conn.Conn().TypeMap().Scan(fields[0].DataTypeOID, fields[0].Format, values[0], &value)
	return value, err
}

// committed reads the answer to a COMMIT.
func (w *wire) committed(index int) error {
	tag, err := w.command()
	if err != nil {
		return classifyPostgres(err, index, 0, commitSent)
	}
	if tag.String() != "COMMIT" { // the server answers the COMMIT of a failed transaction with ROLLBACK
		return fail(clacks.Internal, "the transaction had failed before its commit", nil)
	}
	return nil
}

// notes are what is remembered of a connection.
type notes struct {
	prepared map[string]*pgconn.StatementDescription // by text
	stale    bool                                    // to be closed when it is no longer used
}

// maxPrepared is how many statements a connection keeps; one with more is replaced by a fresh one.
const maxPrepared = 512

func notesOf(conn *pgxpool.Conn) *notes {
	const key = "clacks"
	data := conn.Conn().PgConn().CustomData()
	n, _ := data[key].(*notes)
	if n == nil {
		n = &notes{prepared: map[string]*pgconn.StatementDescription{}}
		data[key] = n
	}
	return n
}

// prepare finds the prepared statements of items; those that are missing are prepared in one round trip.
func prepare(ctx context.Context, conn *pgxpool.Conn, list []item) error {
	known := notesOf(conn)
	var missing []*item
	names := map[string]bool{}
	for i := range list {
		one := &list[i]
		if one.prepared = known.prepared[one.text]; one.prepared == nil && !names[one.text] {
			names[one.text] = true
			missing = append(missing, one)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := prepareMissing(ctx, conn, known, missing); err != nil {
		return err
	}
	for i := range list {
		list[i].prepared = known.prepared[list[i].text]
	}
	return nil
}

func prepareMissing(ctx context.Context, conn *pgxpool.Conn, known *notes, missing []*item) error {
	pipeline := conn.Conn().PgConn().StartPipeline(ctx)
	defer pipeline.Close() //nolint:errcheck // whoever uses the connection next meets the same error
	first := len(known.prepared)
	name := func(i int) string { return "clacks_" + strconv.Itoa(first+i) }
	for i, one := range missing {
		pipeline.SendPrepare(name(i), one.text, nil)
	}
	if err := pipeline.Sync(); err != nil {
		return classifyPostgres(err, 0, 0, beforeCommit)
	}
	for i, one := range missing {
		results, err := pipeline.GetResults()
		if err != nil {
			known.stale = true
			return classifyPostgres(err, one.index, 0, beforeCommit)
		}
		described, ok := results.(*pgconn.StatementDescription)
		if !ok {
			known.stale = true
			return internal(one.index, fmt.Errorf("an answer of the wrong kind came: %T", results))
		}
		described.Name = name(i)
		known.prepared[one.text] = described
	}
	return nil
}

// note marks the connection after an error that its prepared statements may be the reason of: tables have changed.
func (w *wire) note(err error) {
	if clacks.IsKind(err, clacks.Internal) {
		notesOf(w.conn).stale = true
	}
}

// release gives a connection back.
func release(conn *pgxpool.Conn) {
	if n := notesOf(conn); n.stale || len(n.prepared) > maxPrepared {
		ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
		defer cancel()
		_ = conn.Conn().Close(ctx)
	}
	conn.Release()
}
