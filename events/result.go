package events

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"clacks"
)

// maxResult is the size in bytes of what a query may make of an event.
const maxResult = 4 << 20

// errResult ends a serialization.
var errResult = fmt.Errorf("the result is larger than %d bytes", maxResult)

// limitedText takes as much text as a result may have.
type limitedText struct{ strings.Builder }

// Write implements io.Writer.
func (l *limitedText) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxResult {
		return 0, errResult
	}
	return l.Builder.Write(p)
}

// output are the serialization parameters that the query sets, and those that hold otherwise: XML without a declaration.
// Any encoding but UTF-8 is clacks.Invalid.
func (f *filter) output() (map[string]string, error) {
	parameters := map[string]string{"method": "xml", "omit-xml-declaration": "yes"}
	maps.Copy(parameters, f.query.Output())
	if encoding := parameters["encoding"]; encoding != "" && !strings.EqualFold(encoding, "UTF-8") {
		return nil, clacks.E(clacks.Invalid, "events.subscribe", "results are delivered in UTF-8 only, not in %.40q", encoding)
	}
	return parameters, nil
}

// contentTypes are those of the serialization methods.
var contentTypes = map[string]string{
	"xml": "application/xml", "json": "application/json", "html": "text/html", "xhtml": "application/xhtml+xml",
	"text": "text/plain", "adaptive": "text/plain",
}

// result evaluates the query on an event and serializes what comes of it.
func (f *filter) result(ctx context.Context, e *Event) (text []byte, contentType string, err error) {
	parameters, err := f.output()
	if err != nil {
		return nil, "", err
	}
	document, err := parseAlone(e.Document)
	if err != nil {
		return nil, "", brief(err)
	}
	defer document.release()
	// Streamed, because then the limits of the evaluation hold for the writing, too.
	var out limitedText
	if err := f.query.Stream(context.WithoutCancel(ctx), f.input(e, document), &out, parameters); err != nil {
		return nil, "", brief(err)
	}
	contentType = contentTypes[parameters["method"]]
	if set := parameters["media-type"]; set != "" {
		contentType = set
	}
	return []byte(out.String()), contentType, nil
}

// errNoResult says that a subscriber has no query.
var errNoResult = errors.New("events: there is no query to give a result")

// Result is what the subscriber's query makes of an event that Next has given, serialized in UTF-8 as the query's options
// want it, with its content type. An error is counted as a failed evaluation.
func (s *Subscriber) Result(ctx context.Context, e *Event) (text []byte, contentType string, err error) {
	if s.filter == nil {
		return nil, "", errNoResult
	}
	release, err := s.log.budgets.liveTree(ctx, len(e.Document))
	if err != nil {
		return nil, "", err
	}
	defer release()
	text, contentType, err = s.filter.result(ctx, e)
	s.judge(err == nil, err)
	return text, contentType, err
}

// sequenceIn is a sequence number written in decimal digits.
func sequenceIn(text string) (int64, bool) {
	sequence, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return sequence, err == nil && sequence >= 0
}
